"""Lanes laid out by depth: no lane pays for the depth of another.

Under `jax.vmap` alone, every lane of a program runs as many blocks as the deepest. Here lanes of one depth are one group
with networks of just that depth; the groups stand side by side in one program, so that its work is the sum over lanes.
The lanes of a group are a batch, or a loop where batches gain nothing.
"""

import contextlib
import functools as ft
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jax.custom_batching import custom_vmap
from jaxtyping import Array, PyTree

from .._tree import is_concrete
from .._typing import IntScalar
from ..agents import Hypers
from ._devices import AXIS, blocks_of_lanes
from ._state import TrainState


Depths = tuple[tuple[int, int], ...]  # of actor and critic, lane by lane
# Of one lane: from a trainer of any depth and the arguments, a state and, from these, a new state and whatever else.
Start = Callable[..., TrainState]
Run = Callable[[Any, TrainState], tuple[TrainState | None, PyTree]]


class LaneFunction:
    """`run(trainer, start(trainer, *args))` of one lane as a jitted function that vmaps by depth.

    Depths are read from the `Hypers` in the arguments. Where `jax.vmap` sees their values, lanes are grouped by them;
    under an outer `jit`, which hides them, `promised` depths are taken, and without a promise idle blocks are masked.
    Inside `jax.shard_map` over `lane`, the promise is of the lanes of all devices. The numbers are the same but for
    rounding, and those of a single lane bit for bit where the layout is serial.
    """

    def __init__(self, trainer: Any, start: Start, run: Run, promised: Depths | None = None):
        """**Arguments:**

        - `trainer`: `trainer.at_depth(actor, critic)` is the same with networks of other depths.
        - `start`: gives the state, with networks as deep as the trainer's.
        - `run`: what is done with it, at whatever depth.
        - `promised`: depths that lanes will have where they cannot be seen.
        """
        self._trainer, self._start, self._run, self._promised = trainer, start, run, promised
        self._one = jax.jit(lambda *args: run(trainer, start(trainer, *args)))
        self._grouped = jax.jit(self._by_depth, static_argnums=0)
        self._lane = custom_vmap(self._one)
        self._lane.def_vmap(self._add_axis)
        self._lanes = custom_vmap(
            jax.jit(lambda *args: self._each(trainer, jax.vmap(ft.partial(start, trainer))(*args)))
        )
        self._lanes.def_vmap(self._merge_axes)

    def __call__(self, *args: PyTree) -> Any:
        """What `run` returns for one lane; vmap it for many."""
        concrete = all(is_concrete(leaf) for leaf in jtu.tree_leaves(args))
        return self._one(*args) if concrete else self._lane(*args)

    def _many(self, *args: PyTree) -> tuple[TrainState | None, PyTree]:
        """Of lanes along a leading axis of all leaves."""
        depths = lane_depths(args)
        if depths is not None:
            return self._grouped(depths, *args)
        if self._promised is not None and len(self._promised) == blocks_of_lanes() * _axis_size(args):
            return self._as_promised(self._promised, *args)
        # Without depths: either a jit stands around, then masks it is, or another vmap, whose rule has its turn now.
        return self._lanes(*args)

    def _as_promised(self, promised: Depths, *args: PyTree) -> tuple[TrainState | None, PyTree]:
        size = _axis_size(args)
        blocks = [promised[start : start + size] for start in range(0, len(promised), size)]
        if len(different := list(dict.fromkeys(blocks))) == 1:
            return self._grouped(different[0], *args)
        # All devices are given one program: it holds a branch for each different block, and a device takes its own.
        branch = jnp.asarray([different.index(block) for block in blocks])[jax.lax.axis_index(AXIS)]
        return jax.lax.switch(branch, [ft.partial(self._grouped, block) for block in different], *args)

    def _add_axis(self, size: int, batched: list[PyTree], *args: PyTree) -> tuple[PyTree, PyTree]:
        return _all_batched(self._many(*_broadcast(size, batched, args)))

    def _merge_axes(self, size: int, batched: list[PyTree], *args: PyTree) -> tuple[PyTree, PyTree]:
        args = _broadcast(size, batched, args)
        inner = _axis_size(args, axis=1)
        out = self._many(*jtu.tree_map(lambda leaf: leaf.reshape(size * inner, *leaf.shape[2:]), args))
        return _all_batched(jtu.tree_map(lambda leaf: leaf.reshape(size, inner, *leaf.shape[1:]), out))

    def _by_depth(self, depths: Depths, *args: PyTree) -> tuple[TrainState | None, PyTree]:
        state = jax.vmap(ft.partial(self._start, self._trainer))(*args)
        groups = {depth: [lane for lane, d in enumerate(depths) if d == depth] for depth in dict.fromkeys(depths)}
        parts = []
        for depth, lanes in groups.items():
            trainer = self._trainer.at_depth(*depth)
            wide = jtu.tree_map(ft.partial(_take, np.array(lanes)), state)
            narrow, extra = self._each(trainer, _narrowed(wide, trainer.lane_shapes()))
            parts.append((None if narrow is None else _widened(narrow, wide), extra))
        order = np.argsort(np.concatenate(list(groups.values())))
        return jtu.tree_map(lambda *leaves: _take(order, jnp.concatenate(leaves)), *parts)

    def _each(self, trainer: Any, states: TrainState) -> tuple[TrainState | None, PyTree]:
        """`run` for every lane of one depth."""
        layout = trainer.config.lane_layout or ("serial" if jax.default_backend() == "cpu" else "batched")
        run = ft.partial(self._run, trainer)
        return jax.vmap(run)(states) if layout == "batched" else _one_after_another(run, states)


def _one_after_another(
    run: Callable[[TrainState], tuple[TrainState | None, PyTree]], states: TrainState
) -> tuple[TrainState | None, PyTree]:
    """A loop inside the program, whose body is the program of one lane. States change in place: more lanes take no more
    memory than their states."""

    def step(states: TrainState, lane: IntScalar) -> tuple[TrainState, tuple[tuple[()] | None, PyTree]]:
        new, extra = run(jtu.tree_map(lambda leaf: leaf[lane], states))
        if new is None:
            return states, (None, extra)
        return jtu.tree_map(lambda leaf, value: leaf.at[lane].set(value), states, new), ((), extra)

    states, (changed, extra) = jax.lax.scan(step, states, jnp.arange(_axis_size(states)))
    return (None if changed is None else states), extra


def lane_depths(tree: PyTree) -> Depths | None:
    """The depths of the lanes whose `Hypers` stand in a tree, or `None` if they have no value now."""
    nodes = jtu.tree_leaves(tree, is_leaf=lambda node: isinstance(node, Hypers))
    hypers = next(node for node in nodes if isinstance(node, Hypers))
    if not (is_concrete(hypers.actor_depth) and is_concrete(hypers.critic_depth)):
        return None
    if hypers.actor_depth.ndim != 1:
        raise ValueError(
            f"The hypers of lanes need one leading `lane` axis, got axes {hypers.actor_depth.shape}. "
            "`lanes(config, seeds=..., ...)` makes them."
        )
    return tuple(zip(hypers.actor_depth.tolist(), hypers.critic_depth.tolist(), strict=True))


def _axis_size(tree: PyTree, axis: int = 0) -> int:
    return jtu.tree_leaves(tree)[0].shape[axis]


def _broadcast(size: int, batched: list[PyTree], args: tuple[PyTree, ...]) -> tuple[PyTree, ...]:
    def widen(is_batched: bool, leaf: Array) -> Array:
        if is_batched:
            return leaf
        # At once even under a jit, so that depths which one value gives to all lanes are seen.
        with jax.ensure_compile_time_eval() if is_concrete(leaf) else contextlib.nullcontext():
            return jnp.broadcast_to(leaf, (size, *leaf.shape))

    return jtu.tree_map(widen, tuple(batched), args)


def _all_batched(out: PyTree) -> tuple[PyTree, PyTree]:
    return out, jtu.tree_map(lambda _: True, out)


def _take(lanes: np.ndarray, leaf: Array) -> Array:
    """Of some lanes; all of them in order are the array itself, not a copy."""
    return leaf if np.array_equal(lanes, np.arange(leaf.shape[0])) else leaf[lanes]


def _corner(shape: tuple[int, ...]) -> tuple[slice, ...]:
    return (slice(None), *(slice(0, size) for size in shape))


def _narrowed(wide: TrainState, shapes: TrainState) -> TrainState:
    """The first blocks of deep networks, and all else: what a shallow network would hold, leaf by leaf."""
    shape_leaves, treedef = jtu.tree_flatten(shapes)
    leaves = [leaf[_corner(like.shape)] for leaf, like in zip(jtu.tree_leaves(wide), shape_leaves, strict=True)]
    return jtu.tree_unflatten(treedef, leaves)


def _widened(narrow: TrainState, wide: TrainState) -> TrainState:
    """`wide`, with the leaves of `narrow` in place of the first blocks; the idle ones keep their initial values."""

    def put(new: Array, old: Array) -> Array:
        return new if new.shape == old.shape else old.at[_corner(new.shape[1:])].set(new)

    wide_leaves, treedef = jtu.tree_flatten(wide)
    leaves = [put(new, old) for new, old in zip(jtu.tree_leaves(narrow), wide_leaves, strict=True)]
    return jtu.tree_unflatten(treedef, leaves)
