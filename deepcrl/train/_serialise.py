"""Configs as JSON and TOML. A part (a frozen dataclass or an `eqx.Module`) is written as its registered name and its
fields; a part without fields by its name alone; fields that can hold one class only need no name."""

import dataclasses
import functools as ft
import inspect
import json
import re
import tomllib
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import tomli_w

from .._errors import did_you_mean
from .._registry import kind_of, name_of, part_named


C = TypeVar("C")
OPTION_FIELDS = ("env_options", "eval_env_options")  # pairs in a config, tables in a file
_PLAIN = bool | int | float | str | None
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_WORDS = {"true": True, "false": False, "none": None}
_UNSET = "unset"  # TOML has no null: the fields that are `None`, where the default is another value


def to_dict(config: Any) -> dict[str, Any]:
    """The fields in order, but those that are `None` by default and so."""
    values = {}
    for field in _fields(type(config)):
        value = getattr(config, field.name)
        if value is None and field.default is None:
            continue
        values[field.name] = _write_field(field.name, field.type, value)
    return values


def _write_field(name: str, hint: Any, value: Any) -> Any:
    if name in OPTION_FIELDS and value is not None:
        return {key: _write(f"{name}.{key}", None, option) for key, option in dict(value).items()}
    return _write(name, hint, value)


def _write(field: str, hint: Any, value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_write(field, item_hint, item) for item_hint, item in _items(hint, value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        if classes_in(hint) == [type(value)]:
            return to_dict(value)
        name, fields = name_of(field, type(value)), to_dict(value)
        return {"name": name, **fields} if fields else name
    if not isinstance(value, _PLAIN):
        raise ValueError(
            f"`{field}` holds what cannot be written to a file: {value!r}. Fields of parts are plain values (numbers, "
            "texts, tuples) or parts themselves."
        )
    return value


def from_dict(cls: Callable[..., C], values: Mapping[str, Any]) -> C:
    """The inverse of `to_dict` for a config class, or what a registered function makes of the values."""
    values = with_null(values)
    made: Any = cls.func if isinstance(cls, ft.partial) else cls
    hints = _hints(made)
    for name in values:
        if name not in hints:
            raise ValueError(f"`{made.__name__}` has no field {name!r}. {did_you_mean(name, hints)}")
    return cls(**{name: _read_field(name, hints[name], value) for name, value in values.items()})


def _read_field(name: str, hint: Any, value: Any) -> Any:
    if name in OPTION_FIELDS and isinstance(value, Mapping):
        return {key: read(f"{name}.{key}", None, option) for key, option in value.items()}
    return read(name, hint, value)


def read(field: str, hint: Any, value: Any) -> Any:
    """What a file's value of a field of that type stands for."""
    if isinstance(value, list | tuple):
        return tuple(read(field, item_hint, item) for item_hint, item in _items(hint, value))
    classes = classes_in(hint)
    if isinstance(value, Mapping):
        fields = dict(value)
        if "name" not in fields and len(classes) == 1 and not kind_of(classes[0]).startswith("Abstract"):
            return from_dict(classes[0], fields)
        name = fields.pop("name", None)
        return from_dict(part_named(f"{field}.name", classes[0] if classes else None, str(name)), fields)
    if isinstance(value, str) and classes and str not in _options(hint):
        return from_dict(part_named(field, classes[0], value), {})
    return value


def _hints(made: Any) -> dict[str, Any]:
    """The types of the settings of a class or a function, by name."""
    if dataclasses.is_dataclass(made):
        return {field.name: field.type for field in _fields(made)}  # pyright: ignore[reportArgumentType]
    return {name: given.annotation for name, given in inspect.signature(made).parameters.items()}


def _fields(cls: type) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(cls) if field.init]


def _options(hint: Any) -> tuple[Any, ...]:
    """The alternatives of a type."""
    return typing.get_args(hint) if _is_union(hint) else (hint,)


def _is_union(hint: Any) -> bool:
    return isinstance(hint, type(int | str)) or typing.get_origin(hint) is typing.Union


def classes_in(hint: Any) -> list[type]:
    """The classes of parts among the alternatives of a type."""
    part = lambda option: (
        isinstance(option, type) and (dataclasses.is_dataclass(option) or option.__name__.startswith("Abstract"))
    )
    return [option for option in _options(hint) if part(option)]


def _items(hint: Any, values: tuple[Any, ...] | list[Any]) -> list[tuple[Any, Any]]:
    """What is known of the type of each value of a tuple."""
    hints = next((typing.get_args(option) for option in _options(hint) if typing.get_origin(option) is tuple), ())
    if len(hints) == 2 and hints[1] is ...:
        hints = hints[:1] * len(values)
    return list(zip(hints if len(hints) == len(values) else [None] * len(values), values, strict=True))


def to_json(config: Any) -> str:
    """JSON text."""
    return json.dumps(to_dict(config), indent=2) + "\n"


def parsed_json(cls: type, text: str) -> dict[str, Any]:
    """The values in the JSON text of a config. **Raises** `ValueError` for text that is not a JSON object."""
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"This is not the JSON of a `{cls.__name__}`: {error}.") from error
    if not isinstance(values, dict):
        raise ValueError(f"The JSON of a `{cls.__name__}` must be an object, got {type(values).__name__}.")
    return values


def to_toml(config: Any) -> str:
    """TOML text."""
    return tomli_w.dumps(_without_null("", to_dict(config)))


def from_toml(cls: type[C], text: str) -> C:
    """From TOML text. **Raises** `ValueError` for text that is not TOML."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"This is not the TOML of a `{cls.__name__}`: {error}.") from error
    return from_dict(cls, values)


def _without_null(field: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        unset = [name for name, item in value.items() if item is None]
        kept = {name: _without_null(name, item) for name, item in value.items() if item is not None}
        return {_UNSET: unset, **kept} if unset else kept
    if isinstance(value, list):
        if None in value:
            raise ValueError(
                f"`{field}` holds a list with `None` in it, for which TOML has no word: {value}. Use JSON."
            )
        return [_without_null(field, item) for item in value]
    return value


def with_null(value: Any) -> Any:
    if isinstance(value, Mapping):
        values = {name: with_null(item) for name, item in value.items()}
        return {**dict.fromkeys(values.pop(_UNSET, ())), **values}
    return [with_null(item) for item in value] if isinstance(value, list) else value


def to_values(config: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a lane of a config, whose fields or whose agent's fields they are, as plain values."""
    hints = _setting_hints(config)
    return {name: _write_field(name, hints.get(name), value) for name, value in settings.items()}


def from_values(config: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `to_values`."""
    hints = _setting_hints(config)
    return {name: _read_field(name, hints.get(name), value) for name, value in values.items()}


def _setting_hints(config: Any) -> dict[str, Any]:
    return {**_hints(type(config)), **_hints(type(config.agent))}


def text_of(value: Any) -> str:
    """A value in one line, as the command line takes it: a part by its name and what differs from its defaults, for example
    `best_of:count=4`. A part that needs no name has none: `norm=none`, or `default`."""
    if isinstance(value, tuple):
        return ",".join(map(text_of, value))
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return str(value)
    told = {field: text_of(getattr(value, field.name)) for field in _fields(type(value))}
    # A default may be a name, which stands for an object once the part is made.
    settings = [f"{field.name}={text}" for field, text in told.items() if text != text_of(field.default)]
    named = [name_of("", type(value))] if kind_of(type(value)).startswith("Abstract") else []
    return ":".join([*named, *settings]) or "default"


def plain_value(text: str) -> Any:
    """A value as a file would have it: a number, true, false, none, several of them between commas, or a text."""
    if "," in text:
        items = [plain_value(item.strip()) for item in text.split(",")]
        return text if any(isinstance(item, str) for item in items) else tuple(items)  # a cell: goals=3,1
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if not _NUMBER.fullmatch(text):
        return text
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text) if len(text) < 10 else text  # the grid of a maze is not a number
    return float(text)
