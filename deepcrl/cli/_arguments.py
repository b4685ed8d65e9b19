"""How the fields of a config that are not plain values are read from the command line."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from ..agents import AbstractAgent, AGENTS, CRL
from ..envs import AbstractGoalEnv
from ..losses import AbstractContrastiveLoss, AbstractEnergy, ENERGIES, LOSSES
from ..train import EnvOptions


# Fields that take a name or an object: the command line knows the names.
_NAMED: dict[Any, tuple[str, tuple[str, ...] | None]] = {
    str | AbstractGoalEnv: ("TASK", None),
    str | AbstractGoalEnv | None: ("TASK", None),
    str | AbstractEnergy: ("{" + ",".join(ENERGIES) + "}", tuple(ENERGIES)),
    str | AbstractContrastiveLoss: ("{" + ",".join(LOSSES) + "}", tuple(LOSSES)),
}


def registry_for(args: Sequence[str]) -> ConstructorRegistry:
    """How fields are read, given the whole command line: the options of an agent depend on which one it names."""
    registry = ConstructorRegistry()
    registry.primitive_rule(_name_rule)
    registry.primitive_rule(_options_rule)
    registry.struct_rule(_agent_rule(_agent_named(args)))
    return registry


def last_value(args: Sequence[str], option: str) -> str | None:
    """What the command line gives that option, before anything is parsed."""
    pairs = [arg.split("=", 1) if "=" in arg else [arg, *args[i + 1 : i + 2]] for i, arg in enumerate(args)]
    return next((value for name, *values in reversed(pairs) if name == option for value in values), None)


def _plain_agents() -> dict[str, type[AbstractAgent]]:
    """The agents without agents in their fields: options are not nested."""
    holds_agent = lambda agent: any(field.type is AbstractAgent for field in dataclasses.fields(agent))
    return {name: agent for name, agent in AGENTS.items() if not holds_agent(agent)}


def _agent_named(args: Sequence[str]) -> type[AbstractAgent]:
    return _plain_agents().get(last_value(args, "--agent") or "", CRL)  # an unknown name is refused where it is parsed


def _agent_rule(agent: type[AbstractAgent]) -> Any:
    """`--agent NAME`, and beside it the options of that agent."""
    default = agent()

    def rule(info: StructTypeInfo) -> StructConstructorSpec | None:
        if not isinstance(info.default, AbstractAgent) or info.default is default:  # the latter: its own fields
            return None
        names: Any = Literal[tuple(_plain_agents())]  # pyright: ignore[reportInvalidTypeForm]
        return StructConstructorSpec(
            instantiate=lambda agent, settings: settings,
            fields=(
                StructFieldSpec("agent", names, agent.__name__, "The algorithm; it has options of its own."),
                StructFieldSpec("settings", agent, default, f"Of {agent.__name__}."),
            ),
        )

    return rule


def _name_rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
    if info.type not in _NAMED:
        return None
    metavar, choices = _NAMED[info.type]
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda args: args[0],
        is_instance=lambda value: value is None or isinstance(value, str),
        str_from_instance=lambda value: [str(value)],
        choices=choices,
    )


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
        raise ValueError(f"options of a task are written name=value, got {text!r}")
    if value.replace(",", "").isdigit() and "," in value:  # a cell: goals=3,1
        return name, tuple(int(part) for part in value.split(","))
    if value.lower() in ("true", "false"):
        return name, value.lower() == "true"
    if re.fullmatch(r"\d*\.\d+", value):
        return name, float(value)
    return name, int(value) if value.isdigit() and len(value) < 10 else value
