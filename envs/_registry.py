"""Names of environments."""

from collections.abc import Callable
from typing import Any

from jaxtyping import PyTree

from deepcrl._errors import did_you_mean

from ._api import AbstractGoalEnv
from ._mazes import Maze, MAZES
from ._tasks import PointMaze


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
    try:
        env = _FACTORIES[name](**options)
    except TypeError as error:
        raise ValueError(f"`make({name!r}, ...)` does not take these options: {options}. {error}") from error
    return env, env.default_params()


def _point_maze(maze: Maze, episode_length: int) -> Callable[..., AbstractGoalEnv]:
    def factory(**options: Any) -> AbstractGoalEnv:
        return PointMaze(maze, **{"episode_length": episode_length, **options})

    return factory


def _custom_point_maze(maze: str, **options: Any) -> AbstractGoalEnv:
    return PointMaze(Maze.from_text(maze), **options)


for _name, _maze in MAZES.items():
    register(f"point_{_name}", _point_maze(_maze, 600 if "giant" in _name else 300))
register("point_maze", _custom_point_maze)
