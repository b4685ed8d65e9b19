"""How the fields of a config that are not plain values are read from the command line."""

from collections.abc import Mapping
from typing import Any

from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from ..envs import AbstractGoalEnv
from ..losses import AbstractContrastiveLoss, AbstractEnergy, ENERGIES, LOSSES
from ..train import EnvOptions


REGISTRY = ConstructorRegistry()

# Fields that take a name or an object: the command line knows the names.
_NAMED: dict[Any, tuple[str, tuple[str, ...] | None]] = {
    str | AbstractGoalEnv: ("TASK", None),
    str | AbstractGoalEnv | None: ("TASK", None),
    str | AbstractEnergy: ("{" + ",".join(ENERGIES) + "}", tuple(ENERGIES)),
    str | AbstractContrastiveLoss: ("{" + ",".join(LOSSES) + "}", tuple(LOSSES)),
}


@REGISTRY.primitive_rule
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


@REGISTRY.primitive_rule
def _options_rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
    if info.type != EnvOptions | Mapping[str, Any]:  # as `Config.env_options` is declared
        return None
    return PrimitiveConstructorSpec(
        nargs="*",
        metavar="NAME=VALUE",
        instance_from_str=lambda args: tuple(_option(arg) for arg in args),
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=lambda value: [f"{name}={option}" for name, option in value],
    )


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError(f"options of a task are written name=value, got {text!r}")
    if value.replace(",", "").isdigit() and "," in value:  # a cell: goals=3,1
        return name, tuple(int(part) for part in value.split(","))
    return name, int(value) if value.isdigit() and len(value) < 10 else value
