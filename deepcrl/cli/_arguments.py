"""How the fields of a config that are not plain values are read from the command line."""

import dataclasses
import importlib
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from .._registry import name_of, registered
from ..agents import AbstractActing, AbstractAgent, BestOf, CRL
from ..envs import AbstractGoalEnv
from ..train import Config, EnvOptions
from ..train._serialise import classes_in, plain_value, read, text_of


def registry_for(args: Sequence[str], base: Config | None = None) -> ConstructorRegistry:
    """How fields are read, given the whole command line: the options of an agent depend on which one it names, and build on
    the `base`."""
    registry = ConstructorRegistry()
    registry.primitive_rule(_part_rule)
    registry.primitive_rule(_options_rule)
    agent = agent_of(args, base)
    default: Any = agent() if base is None or type(base.agent) is not agent else base.agent
    registry.struct_rule(_agent_rule(dataclasses.replace(default)))  # an object of its own: the rule knows it by that
    return registry


def last_value(args: Sequence[str], option: str) -> str | None:
    """What the command line gives that option, before anything is parsed."""
    pairs = [arg.split("=", 1) if "=" in arg else [arg, *args[i + 1 : i + 2]] for i, arg in enumerate(args)]
    return next((value for name, *values in reversed(pairs) if name == option for value in values), None)


def import_modules(args: Sequence[str]) -> list[str]:
    """Imports the modules that `--import MODULE` names, which register parts that other arguments name; gives back the
    other arguments. A module is looked for in the working directory too, and may be named by its file."""
    left, rest = [], iter(args)
    for arg in rest:
        option, equals, name = arg.partition("=")
        if option != "--import":
            left.append(arg)
            continue
        name = name if equals else next(rest, "")
        if not name:
            raise ValueError("`--import` takes the name of a module, such as `--import my_parts`.")
        file = Path(name)
        sys.path.insert(0, str(file.parent.resolve() if file.suffix == ".py" else Path.cwd()))
        importlib.import_module(file.stem if file.suffix == ".py" else name)
    return left


def _plain_agents() -> dict[str, Any]:
    """The agents without agents in their fields: options are not nested."""
    holds_agent = lambda agent: any(field.type is AbstractAgent for field in dataclasses.fields(agent))
    return {name: agent for name, agent in registered(AbstractAgent).items() if not holds_agent(agent)}


def agent_of(args: Sequence[str], base: Config | None = None) -> type[AbstractAgent]:
    """The class of the agent that the command line names, or else of the base's."""
    if base is not None and last_value(args, "--agent") is None:
        return type(base.agent)
    return _plain_agents().get(last_value(args, "--agent") or "", CRL)  # an unknown name is refused where it is parsed


def option_of_another_agent(args: Sequence[str]) -> str:
    """A sentence on the options that the agent named does not have and another one has; empty if there are none."""
    mine = agent_of(args)
    own = {field.name for field in dataclasses.fields(mine)}  # pyright: ignore[reportArgumentType]
    agents = {name: {field.name for field in dataclasses.fields(agent)} for name, agent in _plain_agents().items()}
    for arg in args:
        field = re.sub("^(no-)?", "", arg.removeprefix("--").partition("=")[0]).replace("-", "_")
        others = [name for name, fields in agents.items() if field in fields]
        if arg.startswith("--") and others and field not in own:
            return f"`{arg.partition('=')[0]}` belongs to {', '.join(others)}, not to {mine.__name__}."
    return ""


def _agent_rule(default: AbstractAgent) -> Any:
    """`--agent NAME`, and beside it the options of that agent."""
    agent = type(default)

    def rule(info: StructTypeInfo) -> StructConstructorSpec | None:
        if not isinstance(info.default, AbstractAgent) or info.default is default:  # the latter: its own fields
            return None
        names: Any = Literal[tuple(_plain_agents())]  # pyright: ignore[reportInvalidTypeForm]
        return StructConstructorSpec(
            instantiate=lambda agent, settings: settings,
            fields=(
                StructFieldSpec("agent", names, name_of("agent", agent), "The algorithm; it has options of its own."),
                StructFieldSpec("settings", agent, default, f"Of {agent.__name__}."),
            ),
        )

    return rule


def _part_rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
    """Fields that hold parts: `--loss infonce`, or with settings of its own `--loss my_loss:temperature=0.5`."""
    bases = [base for base in classes_in(info.type) if base.__name__.startswith("Abstract")]
    if not bases or info.type is AbstractAgent:
        return None
    (base,) = bases
    is_task = base is AbstractGoalEnv
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="TASK" if is_task else "{" + ",".join(registered(base)) + "}",
        instance_from_str=lambda args: args[0] if is_task else _part(base, args[0]),
        is_instance=lambda value: value is None or isinstance(value, str | base),
        str_from_instance=lambda value: [text_of(value)],
    )


def _part(base: type, text: str) -> Any:
    if base is AbstractActing and text.isdigit():  # `--collect-actions 16`
        return BestOf(int(text))
    name, *settings = text.split(":")
    return read(base.__name__.removeprefix("Abstract").lower(), base, {"name": name, **dict(map(_option, settings))})


def _options_rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
    # As `Config.env_options` and `Config.eval_env_options` are declared.
    if info.type not in (EnvOptions | Mapping[str, Any], EnvOptions | Mapping[str, Any] | None):
        return None
    return PrimitiveConstructorSpec(
        nargs="*",
        metavar="NAME=VALUE",
        instance_from_str=lambda args: tuple(_option(arg) for arg in args),
        is_instance=lambda value: value is None or isinstance(value, tuple),
        str_from_instance=lambda value: ["None"] if value is None else [f"{name}={option}" for name, option in value],
    )


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError(f"options are written name=value, got {text!r}")
    return name, plain_value(value)
