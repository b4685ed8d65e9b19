"""What an experiment is: a question, settings that all lanes share, and scales, each with its sets of lanes."""

import dataclasses
import itertools
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .._errors import check_integer, did_you_mean
from ..train import changed, Config, Lanes, lanes
from ..train._serialise import from_values, read, with_null
from ._measures import AbstractMeasure


_FIELDS = ("question", "config", "metrics", "last", "measures", "figures", "scales")
_FIGURES = ("success", "maze")


@dataclasses.dataclass(frozen=True)
class NamedLanes:
    """A set of an experiment: lanes of one program, and the name that each is grouped by."""

    lanes: Lanes
    """What is trained."""
    names: tuple[str, ...]
    """Of the networks, settings, ... that are compared, lane by lane; lanes of one name differ in their seed."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """An experiment, as its TOML file has it.

    ```toml
    question = "Does depth help?"
    metrics = ["success_any", "success_far"]  # what tables and pictures show
    last = 5                                   # evaluations that a final figure is the mean of
    figures = ["success", "maze"]

    [config]                                   # as `deepcrl.Config`, shared by all
    env = "point_hardest_maze"

    [[measures]]                               # besides the metrics, after every epoch
    name = "success_by_cell"

    [scales.laptop]                            # fields of the config, and:
    total_env_steps = 2_000_000
    seeds = 3

    [scales.laptop.sets]                       # each set is one program, each with all seeds
    grid = { depth = [4, 16], width = [64] }                           # the cross product, or
    parts = [{ actor_depth = 16 }, { name = "deep critic", critic_depth = 16 }]  # one by one
    ```
    """

    question: str
    """In one sentence."""
    config: Config
    """What all lanes share, but for the scale's own fields."""
    metrics: tuple[str, ...]
    """Columns of the tables and rows of the picture."""
    last: int
    """How many of the last evaluations a final figure is the mean of."""
    measures: tuple[AbstractMeasure, ...]
    """What is measured besides, after every epoch."""
    figures: tuple[str, ...]
    """`"success"`: curves and final figures by name; `"maze"`: cells, values and trajectories of the first and the last
    network of the first set."""
    sets: Mapping[str, NamedLanes]
    """What is trained, by name, in order."""

    @classmethod
    def from_toml(
        cls, file: str | Path, scale: str, *, seeds: int | None = None, changes: Mapping[str, Any] | None = None
    ) -> "Experiment":
        """**Arguments:**

        - `file`: as in the class's docstring.
        - `scale`: one of its scales.
        - `seeds`: how many, in place of the scale's own number.
        - `changes`: fields of the config or its agent at other values, for all lanes; `env_options.starts` is one option.

        **Raises:** `ValueError` for a file that is none of an experiment, with the field, and as [`deepcrl.lanes`][].
        """
        file = Path(file)
        try:
            tables = dict(with_null(tomllib.loads(file.read_text())))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise ValueError(f"{file} cannot be read as TOML: {error}.") from error
        for name in tables:
            if name not in _FIELDS:
                raise ValueError(f"{file}: an experiment has no field {name!r}. {did_you_mean(name, _FIELDS)}")
        for name in ("config", "scales"):
            if not isinstance(tables.get(name), dict):
                raise ValueError(f"{file}: an experiment needs a table `[{name}]`.")
        scales = tables["scales"]
        if scale not in scales:
            raise ValueError(f"{file} has no scale {scale!r}. {did_you_mean(scale, scales)}")
        for name in tables.get("figures", ()):
            if name not in _FIGURES:
                raise ValueError(f"{file}: there is no figure {name!r}. {did_you_mean(name, _FIGURES)}")
        own = dict(scales[scale])
        sets, number = own.pop("sets", {"seeds": [{}]}), seeds or own.pop("seeds", 1)
        own.pop("seeds", None)
        check_integer("seeds", number)
        config = Config.from_dict({**tables["config"], **own})
        config = changed(config, from_values(config, _options_merged(config, changes or {})))
        return cls(
            question=tables.get("question", ""),
            config=config,
            metrics=tuple(tables.get("metrics", ("success_any",))),
            last=tables.get("last", 5),
            measures=tuple(read("measures", AbstractMeasure, measure) for measure in tables.get("measures", ())),
            figures=tuple(tables.get("figures", ("success",))),
            sets={name: _named_lanes(config, given, range(number)) for name, given in sets.items()},
        )


def _options_merged(config: Config, changes: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for name, value in changes.items():
        field, dot, option = name.partition(".")
        before = merged.get(field) or dict(getattr(config, field, None) or ()) if dot else None
        merged[field] = value if before is None else {**before, option: value}
    return merged


def _named_lanes(config: Config, given: Mapping[str, Any] | Sequence[Mapping[str, Any]], seeds: range) -> NamedLanes:
    if isinstance(given, Mapping):
        given = [dict(zip(given, values, strict=True)) for values in itertools.product(*given.values())]
    made, names = [], []
    for settings in given:
        values = from_values(config, {name: value for name, value in settings.items() if name != "name"})
        axes: Any = {name: [value] for name, value in values.items()}
        own = lanes(config, seeds=seeds, **axes)
        made += own
        names += [str(settings.get("name") or _name_of(settings))] * len(own)
    return NamedLanes(Lanes(tuple(made)), tuple(names))


def _name_of(settings: Mapping[str, Any]) -> str:
    """For example `depth 4, width 64`."""
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in settings.items()) or "base"
