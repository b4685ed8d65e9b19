"""Lanes: seeds and settings, as the cross product or side by side."""

import dataclasses
import functools as ft
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Array, UInt32

from .._errors import did_you_mean
from .._hypers import depth_fields, Hypers, number_fields, with_default_numbers
from .._random import check_seed
from .._tree import is_concrete
from ..nn import blocks_of_depth
from ._config import Config


@dataclasses.dataclass(frozen=True)
class Lane:
    """One training run among several."""

    seed: int
    """Of all its draws."""
    config: Config
    """All its settings."""
    settings: Mapping[str, Any]
    """Those that it was given, by which lanes are told apart: for example `{"depth": 16, "gamma": 0.9}`."""

    @classmethod
    def of(cls, config: Config, seed: int, settings: Mapping[str, Any]) -> "Lane":
        """The lane of a config with these settings at other values. **Raises** as [`deepcrl.lanes`][]."""
        return cls(seed, changed(config, settings), settings)

    def value(self, name: str) -> Any:
        """A setting of the lane, given or not, by the name of a field of its agent or of its config."""
        values = {**vars(self.config), **vars(self.config.agent), **depth_fields(self.config.agent), **self.settings}
        return values[name]


@dataclasses.dataclass(frozen=True)
class Lanes:
    """Several lanes, from [`deepcrl.lanes`][]: for [`deepcrl.sweep`][] and [`deepcrl.run`][], and, if they differ in
    numbers alone, for `jax.vmap(train)(lanes.seeds, lanes.hypers)`."""

    lanes: tuple[Lane, ...]
    """In the order of all results."""

    def __len__(self) -> int:
        return len(self.lanes)

    def __iter__(self) -> Iterator[Lane]:
        return iter(self.lanes)

    @property
    def seeds(self) -> UInt32[Array, " lane"]:
        """The seeds as an array."""
        return jnp.asarray(np.array([lane.seed for lane in self], np.uint32))

    @ft.cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """The lanes' places, those together that differ in numbers and seeds alone: they share one program."""
        groups: dict[Config, list[int]] = {}
        for place, lane in enumerate(self):
            groups.setdefault(self._apart_from_numbers(lane, {}), []).append(place)
        return tuple(map(tuple, groups.values()))

    def hypers_of(self, places: Iterable[int]) -> Hypers:
        """The numbers of the lanes at these places, leaves `lane`."""
        return _stacked([self.lanes[place].config.hypers() for place in places])

    @property
    def hypers(self) -> Hypers:
        """The numbers of all lanes, leaves `lane`: for `jax.vmap` of the training function of the deepest one.

        Where depths differ they are among the numbers, and what is idle in a lane is masked: all lanes then cost as much as
        the deepest.

        **Raises:** `ValueError` for lanes that differ in what cannot be vmapped.
        """
        depths = [depth_fields(lane.config.agent) for lane in self]
        deepest = {name: max(given.get(name, 0) for given in depths) for name in depths[0]}
        if len({self._apart_from_numbers(lane, deepest) for lane in self}) > 1:
            raise ValueError(
                f"These lanes differ in more than numbers ({', '.join(sorted(self.settings))}), and `jax.vmap` has one "
                "program for all. Train them by `deepcrl.sweep(config, ...)`, whose lanes may differ in anything."
            )
        differ = any(given != depths[0] for given in depths)
        numbers = [number_fields(lane.config.agent) for lane in self]
        return _stacked(
            [Hypers(**own, **(given if differ else {})) for own, given in zip(numbers, depths, strict=True)]
        )

    def _apart_from_numbers(self, lane: Lane, depths: Mapping[str, int]) -> Config:
        agent = with_default_numbers(lane.config.agent)
        if depths.keys() == depth_fields(agent).keys() and depths:
            agent = dataclasses.replace(agent, **{"depth": max(depths.values()), **depths})
        return dataclasses.replace(lane.config, agent=agent)

    def under(self, config: Config) -> "Lanes":
        """The same seeds and settings as lanes of another config."""
        return Lanes(tuple(Lane.of(config, lane.seed, lane.settings) for lane in self))

    @property
    def settings(self) -> list[str]:
        """The names of the settings that lanes were given."""
        return list(dict.fromkeys(name for lane in self for name in lane.settings))

    def table(self) -> list[dict[str, Any]]:
        """What each lane is: one dictionary per lane of `lane`, `seed` and the settings that any of them was given."""
        return [
            {"lane": place, "seed": lane.seed, **{name: lane.value(name) for name in self.settings}}
            for place, lane in enumerate(self)
        ]

    def select(self, **settings: Any) -> list[int]:
        """The places of the lanes with these settings.

        **Raises:** `ValueError` for an unknown name, or for settings that no lane has.
        """
        table = self.table()
        for name in settings:
            if name not in table[0]:
                raise ValueError(f"Lanes have no setting {name!r}. {did_you_mean(name, table[0])}")
        chosen = [row["lane"] for row in table if all(row[name] == value for name, value in settings.items())]
        if not chosen:
            there = {name: list(dict.fromkeys(row[name] for row in table)) for name in settings}
            raise ValueError(f"No lane has {settings}. The lanes have {there}.")
        return chosen


def lanes(config: Config, *, seeds: Iterable[int] = (0,), zipped: bool = False, **settings: Iterable[Any]) -> Lanes:
    """The cross product of seeds and settings (seeds vary fastest), or seeds and settings side by side.

    ```python
    config = Config(env="point_u4_maze", agent=CRL(depth=64))
    few = lanes(config, seeds=range(4), depth=(4, 16, 64))  # 12 lanes
    result = jax.vmap(make_train(config))(few.seeds, few.hypers)
    ```

    **Arguments:**

    - `config`: gives the settings that are not named.
    - `seeds`: one or more different integers.
    - `zipped`: lane $i$ takes the $i$-th seed and the $i$-th value of every setting, in place of the cross product.
    - `settings`: values for fields of the config's agent (`depth`, `width`, `gamma`, `loss`, ...) or of the config
        (`batch_size`, `env`, ...), one or more each. `depth` sets all depths of an agent.

    **Raises:** `ValueError` for an unknown name, an empty list, the same lane twice, lists of different length where they
    are zipped, and whatever the agent or the config says of a value.
    """
    seeds = [check_seed("seeds", seed) for seed in _listed("seeds", seeds)]
    axes = {name: _listed(name, values) for name, values in settings.items()}
    lengths = {"seeds": len(seeds)} | {name: len(values) for name, values in axes.items()}
    if zipped and len(set(lengths.values())) > 1:
        raise ValueError(
            f"Zipped lists must be of one length, got {lengths}. Leave `zipped` out for the cross product."
        )
    if "epochs" in axes:
        raise ValueError(
            "Lanes share their epochs, after which all are measured: `epochs` is the config's. They may differ in "
            "`total_env_steps`."
        )
    if zipped:
        combinations = list(zip(seeds, *axes.values(), strict=True))
    else:
        combinations = [(seed, *values) for *values, seed in itertools.product(*axes.values(), seeds)]
    made: list[Lane] = []
    for seed, *values in combinations:
        given = dict(zip(axes, values, strict=True))
        lane = Lane.of(config, seed, given)
        if lane in made:
            raise ValueError(
                f"Two lanes are the same, seed {seed} with {given or 'the same settings'}: list each once."
            )
        made.append(lane)
    return Lanes(tuple(made))


def changed(config: Config, settings: Mapping[str, Any]) -> Config:
    """The config with some of its own or its agent's fields at other values. **Raises** as [`deepcrl.lanes`][]."""
    agent = config.agent
    of_agent = [field.name for field in dataclasses.fields(agent)]  # pyright: ignore[reportArgumentType]
    of_config = [field.name for field in dataclasses.fields(config)]
    if "agent" in settings:
        raise ValueError(
            "Lanes share one kind of agent, and with it one kind of metrics: they differ in its fields, as in "
            "`depth=(4, 16)`. Make a sweep for each agent."
        )
    for name in settings:
        if name not in of_agent and name not in of_config:
            known = [*of_agent, *of_config]
            raise ValueError(f"Lanes of {type(agent).__name__} cannot differ in {name!r}. {did_you_mean(name, known)}")
    values = {name: value for name, value in settings.items() if name in of_agent}
    if "depth" in values:
        values = dict.fromkeys((name for name in depth_fields(agent) if name != "depth"), None) | values
    outer = {name: value for name, value in settings.items() if name not in of_agent}
    return dataclasses.replace(config, **outer, agent=dataclasses.replace(agent, **values))  # pyright: ignore


def _listed(name: str, values: Any) -> list[Any]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"`{name}` must list one or more values, for example `{name}=({values!r},)`; got {values!r}.")
    values = list(values)
    if not values:
        raise ValueError(f"`{name}` must list at least one value.")
    return values


def _stacked(hypers: list[Hypers]) -> Hypers:
    return jtu.tree_map(lambda *leaves: jnp.stack(leaves), *hypers)


def check_hypers(hypers: Hypers, config: Config) -> None:
    """Raises `ValueError` unless `hypers` hold the numbers of the config's agent, and depths that it builds."""
    own, built = config.hypers().values.keys(), depth_fields(config.agent)
    if missing := own - hypers.values.keys():
        raise ValueError(
            f"`hypers` of {type(config.agent).__name__} lack {sorted(missing)}. Start from `config.hypers()`."
        )
    if unknown := hypers.values.keys() - own - built.keys():
        raise ValueError(f"{type(config.agent).__name__} has no use for these hypers: {sorted(unknown)}.")
    for name in built.keys() & hypers.values.keys():
        for depth in jnp.unique(hypers.values[name]).tolist() if is_concrete(hypers.values[name]) else []:
            blocks_of_depth(depth, name, config.agent.trunk.block_depth)  # pyright: ignore
            if depth > built[name]:
                raise ValueError(
                    f"A lane's `{name}` must not exceed the depth that the config builds, {built[name]}; got {depth}. "
                    f"Build the deepest: `CRL(depth={depth})`."
                )
