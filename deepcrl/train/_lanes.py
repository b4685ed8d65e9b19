"""Sweeps: the cross product of seeds and settings, as lanes of one program."""

import dataclasses
import itertools
from collections.abc import Iterable
from typing import NamedTuple

import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Array, Int

from .._errors import check_integer, did_you_mean
from .._tree import is_concrete
from ..agents import AbstractAgent, Hypers
from ..nn import blocks_of_depth
from ._config import Config
from ._state import lane_table


_DEPTHS = ("actor_depth", "critic_depth")


class Lanes(NamedTuple):
    """Seeds and hypers with a leading `lane` axis, for `jax.vmap(train)(*lanes(...))`."""

    seeds: Int[Array, " lane"]
    """One per lane."""
    hypers: Hypers
    """Leaves have a leading `lane` axis."""

    def table(self) -> list[dict[str, int | float]]:
        """What each lane is: one dictionary per lane of `lane`, `seed` and the lane's numbers."""
        rows = zip(self.seeds.tolist(), lane_table(self.hypers), strict=True)
        return [{"lane": lane, "seed": seed, **row} for lane, (seed, row) in enumerate(rows)]

    def dealt(self, devices: int) -> "Lanes":
        """The same lanes, large and small ones dealt out like cards to so many devices: first all lanes of the first
        device, then those of the second, and so on.

        A device that got only large lanes would keep the others waiting, and one that got another mix than the others
        needs code of its own to be compiled.

        **Raises:** `ValueError` unless `devices` divides the number of lanes.
        """
        if devices < 1 or len(self.seeds) % devices:
            raise ValueError(
                f"`devices` must divide the number of lanes, {len(self.seeds)}, so that all have equally many; got "
                f"{devices}."
            )
        depth = np.asarray(self.hypers.actor_depth + self.hypers.critic_depth)
        width = np.ones_like(depth) if self.hypers.width is None else np.asarray(self.hypers.width)
        work = depth * np.square(width, dtype=float)
        by_work = np.lexsort((width, work))  # by width where the work is equal, so that alike ones stand together
        order = by_work.reshape(-1, devices).T.ravel()
        return Lanes(*jtu.tree_map(lambda leaf: leaf[order], tuple(self)))


def lanes(config: Config, *, seeds: Iterable[int], zipped: bool = False, **settings: Iterable[int | float]) -> Lanes:
    """The cross product of seeds and settings (seeds vary fastest), or seeds and settings side by side.

    ```python
    config = Config(env="point_u4_maze", agent=CRL(depth=64))
    seeds, hypers = lanes(config, seeds=range(4), depth=(4, 16, 64))  # 12 lanes
    result = jax.vmap(make_train(config))(seeds, hypers)
    ```

    **Arguments:**

    - `config`: gives the settings that are not named, and the deepest and widest networks a lane may have.
    - `seeds`: one or more integers.
    - `zipped`: lane $i$ takes the $i$-th seed and the $i$-th value of every setting, in place of the cross product.
    - `settings`: values for fields of [`deepcrl.agents.Hypers`][], one or more each; `depth` sets both depths.

    **Raises:** `ValueError` for an unknown name, an empty list, lists of different length where they are zipped, or a
    depth or width that the config does not build.
    """
    agent, default = config.agent, config.hypers()
    if "width" in settings and agent.width is not None:
        default = dataclasses.replace(default, width=jnp.asarray(agent.width, jnp.int32))
    known = [name for name in Hypers.__dataclass_fields__ if getattr(default, name) is not None] + ["depth"]
    seeds = list(seeds)
    axes = {name: list(values) for name, values in settings.items()}
    for name, values in {"seeds": seeds, **axes}.items():
        if name != "seeds" and name not in known:
            raise ValueError(f"Lanes of {type(agent).__name__} cannot differ in {name!r}. {did_you_mean(name, known)}")
        if not values:
            raise ValueError(f"`{name}` must list at least one value.")
    if "depth" in axes and set(axes) & set(_DEPTHS):
        raise ValueError("Give either `depth`, which sets both, or `actor_depth` and `critic_depth`.")

    lengths = {"seeds": len(seeds)} | {name: len(values) for name, values in axes.items()}
    if zipped and len(set(lengths.values())) > 1:
        raise ValueError(
            f"Zipped lists must be of one length, got {lengths}. Leave `zipped` out for the cross product."
        )
    if zipped:
        combinations = zip(seeds, *axes.values(), strict=True)
    else:
        combinations = ((seed, *values) for *values, seed in itertools.product(*axes.values(), seeds))

    rows = []
    for seed, *combination in combinations:
        values = dict(zip(axes, combination, strict=True))
        if "depth" in values:
            values |= dict.fromkeys(_DEPTHS, values.pop("depth"))
        for name in set(_DEPTHS) & set(values):
            blocks_of_depth(values[name], name, agent.trunk.block_depth)  # pyright: ignore[reportArgumentType]
        if "width" in values:
            check_integer("width", values["width"])
        arrays = {name: jnp.asarray(value, getattr(default, name).dtype) for name, value in values.items()}
        row = dataclasses.replace(default, **arrays)
        check_hypers(row, agent)
        rows.append((int(seed), row))
    seed_array = jnp.asarray([seed for seed, _ in rows], jnp.int32)
    return Lanes(seed_array, jtu.tree_map(lambda *leaves: jnp.stack(leaves), *[row for _, row in rows]))


def check_hypers(hypers: Hypers, agent: AbstractAgent) -> None:
    """Raises `ValueError` where concrete depths or widths of `hypers` are not what the agent's networks can do."""
    built = agent.hypers()
    for name in _DEPTHS:
        for depth in _values(getattr(hypers, name)):
            blocks_of_depth(depth, name, agent.trunk.block_depth)
            if depth > getattr(built, name):
                raise ValueError(
                    f"A lane's `{name}` must not exceed the depth that the config builds, {getattr(built, name)}; got "
                    f"{depth}. Build the deepest: `CRL(depth={depth})`."
                )
    if hypers.width is None:
        return
    if agent.width is None:
        raise ValueError(f"Lanes of {type(agent).__name__} cannot differ in `width`. Leave it `None`.")
    for width in _values(hypers.width):
        check_integer("width", width)
        if width > agent.width:
            raise ValueError(
                f"A lane's `width` must not exceed the width that the config builds, {agent.width}; got {width}. Build "
                f"the widest: `CRL(width={width})`."
            )


def _values(of_lanes: Array) -> list[int]:
    """The different ones; none under vmap or jit, where `lanes` has looked."""
    return jnp.unique(of_lanes).tolist() if is_concrete(of_lanes) else []
