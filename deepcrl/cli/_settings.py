"""What of a config the command line says besides single options: files and presets to start from, and options with several
values, which make lanes."""

import dataclasses
import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .._errors import check_choice
from ..agents import AbstractAgent
from ..train import Config
from ..train._config import PRESETS


_OPTIONS = ("env_options", "eval_env_options")  # of several values each


def base_config(args: list[str]) -> tuple[list[str], Config | None]:
    """The config that `--config FILE` or `--preset NAME` give, on which all other options build; without them none. Gives
    back the other arguments: of these two also the task, which the command names first.

    **Raises:** `ValueError` for a file without a config, or a preset that the task does not have.
    """
    args, file = _taken(args, "--config")
    args, preset = _taken(args, "--preset")
    if file is None and preset is None:
        return args, None
    if file is not None and preset is not None:
        raise ValueError("Give either `--config` or `--preset`.")
    task = args[1] if len(args) > 1 and not args[1].startswith("-") else None
    if task is not None:
        args = [args[0], *args[2:]]
    if preset is not None:
        check_choice("preset", preset, PRESETS)
        if task is None:
            raise ValueError(
                "A preset is one of a task: name it, for example `deepcrl train ant_u_maze --preset paper`."
            )
        return args, Config.preset(task, preset)
    config = read_config(Path(file or ""))
    return args, config if task is None else dataclasses.replace(config, env=task)


def read_config(file: Path) -> Config:
    """The config in a TOML or JSON file: fields as `Config.to_toml` and `to_json` write them, alone or, as in a run's
    `config.json`, under `config`. A run's folder stands for its file.

    **Raises:** `ValueError` for a file that is neither, or a config that is wrong.
    """
    file = file / "config.json" if file.is_dir() else file
    try:
        text = file.read_text()
        values = tomllib.loads(text) if file.suffix == ".toml" else json.loads(text)
        values = values.get("config", values)
    except (ValueError, AttributeError) as error:  # of TOML and JSON alike
        raise ValueError(f"{file} is neither the TOML nor the JSON of a config: {error}.") from error
    return Config.from_dict(values)


def split_axes(args: list[str], agent: type[AbstractAgent]) -> tuple[list[str], dict[str, list[str]]]:
    """The arguments with the first value of each option alone, and all values of those options of the config and its agent
    that have several: `--depth 4 16 64`. Other options of several values stay as they are."""
    fields = {field.name for cls in (Config, agent) for field in dataclasses.fields(cls)} - {*_OPTIONS}  # pyright: ignore
    left: list[str] = []
    axes: dict[str, list[str]] = {}
    place = 0
    while place < len(args):
        end = next((i for i in range(place + 1, len(args)) if args[i].startswith("--")), len(args))
        option, values = args[place], args[place + 1 : end]
        field = option.removeprefix("--").replace("-", "_")
        if option.startswith("--") and field in fields and len(values) > 1:
            axes[field], values = values, values[:1]
        left += [option, *values]
        place = end
    return left, axes


def with_value(args: Sequence[str], field: str, value: str) -> list[str]:
    """The arguments with another value of an option that they hold."""
    place = args.index("--" + field.replace("_", "-"))
    return [*args[: place + 1], value, *args[place + 2 :]]


def value_of(config: Config, field: str) -> Any:
    """A field of a config's agent or, if it has none of that name, of the config."""
    return getattr(config.agent if hasattr(config.agent, field) else config, field)


def _taken(args: list[str], option: str) -> tuple[list[str], str | None]:
    """The arguments without an option, and its value."""
    left, rest, found = [], iter(args), None
    for arg in rest:
        name, equals, value = arg.partition("=")
        if name != option:
            left.append(arg)
            continue
        found = value if equals else next(rest, "")
        if not found:
            raise ValueError(f"`{option}` takes a value.")
    return left, found
