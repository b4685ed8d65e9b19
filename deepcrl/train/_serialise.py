"""Configs as JSON and TOML: plain values only, fields by name, agents by the name of their class."""

import dataclasses
import json
import tomllib
from collections.abc import Mapping
from typing import Any, TypeVar

import tomli_w

from .._errors import did_you_mean
from ..agents import AbstractAgent, AGENTS


C = TypeVar("C")
OPTION_FIELDS = ("env_options", "eval_env_options")  # pairs in a config, tables in a file
_PLAIN = bool | int | float | str


def to_dict(config: Any) -> dict[str, Any]:
    """Fields that are not `None`, in order; an agent becomes a table with its `name`."""
    values = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.type is AbstractAgent:
            if AGENTS.get(type(value).__name__) is not type(value):
                raise ValueError(
                    f"`{field.name}` has no name to be written by: {value!r}. Enter its class in `agents.AGENTS`."
                )
            value = {"name": type(value).__name__, **to_dict(value)}
        elif field.name in OPTION_FIELDS and value is not None:
            value = {key: _plain(f"{field.name}.{key}", option) for key, option in value}
        elif _is_nested(field):
            value = to_dict(value)
        elif value is not None:
            value = _plain(field.name, value)
        if value is not None:
            values[field.name] = value
    return values


def _is_nested(field: dataclasses.Field[Any]) -> bool:
    """Whether the field holds a config of plain values itself, such as an agent's `trunk`."""
    return dataclasses.is_dataclass(field.default)


def _plain(field: str, value: Any) -> Any:
    if isinstance(value, tuple | list) and all(isinstance(item, _PLAIN) for item in value):
        return list(value)
    if not isinstance(value, _PLAIN):
        raise ValueError(
            f"`{field}` holds an object that has no name to be written by: {value!r}. Register it and use its name."
        )
    return value


def from_dict(cls: type[C], values: Mapping[str, Any]) -> C:
    """The inverse of `to_dict` for the config class `cls`."""
    known = [field.name for field in dataclasses.fields(cls)]  # pyright: ignore[reportArgumentType]
    kwargs = dict(values)
    for name in kwargs:
        if name not in known:
            raise ValueError(f"`{cls.__name__}` has no field {name!r}. {did_you_mean(name, known)}")
    for field in dataclasses.fields(cls):  # pyright: ignore[reportArgumentType]
        given = kwargs.get(field.name)
        if field.type is AbstractAgent and isinstance(given, Mapping):
            kwargs[field.name] = _agent(field.name, given)
        if _is_nested(field) and isinstance(given, Mapping):
            kwargs[field.name] = from_dict(type(field.default), given)
    for name in OPTION_FIELDS:
        if isinstance(kwargs.get(name), Mapping):
            options = kwargs[name].items()
            kwargs[name] = {key: tuple(value) if isinstance(value, list) else value for key, value in options}
    return cls(**kwargs)


def _agent(field: str, values: Mapping[str, Any]) -> AbstractAgent:
    settings = dict(values)
    name = settings.pop("name", None)
    if name not in AGENTS:
        raise ValueError(f"`{field}.name` must name an agent, got {name!r}. {did_you_mean(str(name), AGENTS)}")
    return from_dict(AGENTS[name], settings)


def to_json(config: Any) -> str:
    """JSON text."""
    return json.dumps(to_dict(config), indent=2) + "\n"


def from_json(cls: type[C], text: str) -> C:
    """From JSON text. **Raises** `ValueError` for text that is not a JSON object."""
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"This is not the JSON of a `{cls.__name__}`: {error}.") from error
    if not isinstance(values, dict):
        raise ValueError(f"The JSON of a `{cls.__name__}` must be an object, got {type(values).__name__}.")
    return from_dict(cls, values)


def to_toml(config: Any) -> str:
    """TOML text."""
    return tomli_w.dumps(to_dict(config))


def from_toml(cls: type[C], text: str) -> C:
    """From TOML text. **Raises** `ValueError` for text that is not TOML."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"This is not the TOML of a `{cls.__name__}`: {error}.") from error
    return from_dict(cls, values)
