"""Names of environments."""

import functools as ft
import inspect
from collections.abc import Callable
from typing import Any

from jaxtyping import PyTree

from deepcrl._errors import did_you_mean

from ._api import AbstractGoalEnv
from ._mazes import Maze, MAZES
from ._tasks import PointMaze
from ._tasks._point_maze import CellChoice


_FACTORIES: dict[str, Callable[..., AbstractGoalEnv]] = {}


class UnknownEnvironmentError(KeyError):
    """No environment has that name."""

    def __str__(self) -> str:
        return str(self.args[0])


def register(name: str, factory: Callable[..., AbstractGoalEnv]) -> None:
    """Makes `make(name, **options)` call `factory(**options)`.

    **Raises:** `ValueError` if the name is taken: results are told by names.
    """
    if name in _FACTORIES:
        raise ValueError(f"An environment named {name!r} exists already. Choose another name.")
    _FACTORIES[name] = factory


def names() -> tuple[str, ...]:
    """All registered names, sorted."""
    return tuple(sorted(_FACTORIES))


def make(name: str, **options: Any) -> tuple[AbstractGoalEnv, PyTree]:
    """The environment of that name and its default parameters.

    **Arguments:**

    - `name`: one of [`deepcrl.envs.names`][].
    - `options`: passed to the environment: `episode_length` and `goal_reset` for all, `starts` and `goals` for the point
      mazes.

    **Raises:** `UnknownEnvironmentError`, with close matches; `ValueError` for an unknown option.
    """
    if name not in _FACTORIES:
        raise UnknownEnvironmentError(f"No environment is named {name!r}. {did_you_mean(str(name), _FACTORIES)}")
    factory = _FACTORIES[name]
    try:  # the signature alone, so that an error inside a factory keeps its own kind and place
        inspect.signature(factory).bind(**options)
    except TypeError as error:
        known = list(inspect.signature(factory).parameters)
        raise ValueError(
            f"`make({name!r}, ...)` does not take these options: {options}; {error}. It takes {known}."
        ) from error
    env = factory(**options)
    return env, env.default_params()


def _custom_point_maze(
    maze: str,
    *,
    starts: CellChoice = "R",
    goals: CellChoice = "G",
    episode_length: int = 300,
    goal_reset: str = "resample",
) -> AbstractGoalEnv:
    maze_options = {"starts": starts, "goals": goals, "episode_length": episode_length, "goal_reset": goal_reset}
    return PointMaze(Maze.from_text(maze), **maze_options)


for _name, _maze in MAZES.items():
    register(f"point_{_name}", ft.partial(PointMaze, _maze, episode_length=600 if "giant" in _name else 300))
register("point_maze", _custom_point_maze)
