"""Names of environments."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from jaxtyping import PyTree

from deepcrl._errors import did_you_mean
from deepcrl._registry import registered

from ._api import AbstractGoalEnv


Factory = Callable[..., AbstractGoalEnv]

_FAMILIES: list[Callable[[str], Factory | None]] = []


class UnknownEnvironmentError(KeyError):
    """No environment has that name."""

    def __str__(self) -> str:
        return str(self.args[0])


def register_family(family: Callable[[str], Factory | None]) -> None:
    """Makes `make(name, ...)` call `family(name)(...)` for names not registered one by one, where that is not `None`."""
    _FAMILIES.append(family)


def names() -> tuple[str, ...]:
    """All registered names, sorted."""
    return tuple(sorted(registered(AbstractGoalEnv)))


def templates() -> tuple[str, ...]:
    """The names among them that need options, such as the grid of a maze of one's own."""
    factories = registered(AbstractGoalEnv)
    required = inspect.Parameter.empty
    return tuple(
        name
        for name in names()
        if any(
            option.default is required and option.kind not in (option.VAR_POSITIONAL, option.VAR_KEYWORD)
            for option in inspect.signature(factories[name]).parameters.values()
        )
    )


def make(name: str, **options: Any) -> tuple[AbstractGoalEnv, PyTree]:
    """The environment of that name and its default parameters.

    **Arguments:**

    - `name`: one of [`deepcrl.envs.names`][].
    - `options`: passed to the environment: `episode_length` and `goal_reset` for all, `starts` and `goals` for mazes,
      `reward` for mazes and robots, `engine` for robots, `body` for ant and humanoid, `control_step` and
      `paper_observation` for the humanoid.

    **Raises:** `UnknownEnvironmentError`, with close matches; `ValueError` for an unknown option.
    """
    if not isinstance(name, str):
        kind = type(name).__name__
        raise TypeError(f"`make` takes a name, got a `{kind}`. `Config(env=...)` takes an environment as it is.")
    env = factory_for(name, options)(**options)
    return env, env.default_params


def _in_module(name: str) -> Factory | None:
    """The environment's class that is named with its module, `my_module:MyEnv`. Only such classes are called, whatever a
    file names."""
    module, _, attribute = name.partition(":")
    if not attribute:
        return None
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ImportError as error:
        raise UnknownEnvironmentError(f"The module of the environment {name!r} cannot be imported: {error}.") from error
    if not (isinstance(found, type) and issubclass(found, AbstractGoalEnv)):
        raise UnknownEnvironmentError(f"{name!r} names no class of an environment (`AbstractGoalEnv`).")
    return found


def factory_for(name: str, options: Mapping[str, Any]) -> Factory:
    """What makes the environment of that name with these options; nothing is built. **Raises** as `make`."""
    factories = registered(AbstractGoalEnv)
    found = (made for family in (*_FAMILIES, _in_module) if (made := family(name)))
    factory = factories.get(name) or next(found, None)
    if factory is None:
        raise UnknownEnvironmentError(
            f"No environment is named {name!r}. {did_you_mean(str(name), factories)} One of your own must be registered "
            "before it is named: `deepcrl.register(MyEnv, name)`, or `--import MODULE` on the command line."
        )
    try:  # the signature alone, so that an error inside a factory keeps its own kind and place
        inspect.signature(factory).bind(**options)
    except TypeError as error:
        parameters = inspect.signature(factory).parameters
        grid = " A maze is a text, such as maze='11111/1R0G1/11111'." if "maze" in parameters else ""
        raise ValueError(
            f"`make({name!r}, ...)`, called with the options {dict(options)}: {error}. It takes {list(parameters)}.{grid}"
        ) from error
    return factory
