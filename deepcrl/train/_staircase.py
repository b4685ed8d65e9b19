"""Lanes laid out by size: no lane pays for the depth or the width of another.

Under `jax.vmap` alone, every lane of a program runs as many blocks as the deepest and as many units as the widest. Here
lanes of one size are one group with networks of just that size; the groups stand side by side in one program, so that
its work is the sum over lanes. The lanes of a group are a batch, or a loop where batches gain nothing.
"""

import contextlib
import functools as ft
from collections.abc import Callable
from typing import Any

import equinox as eqx
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


Size = tuple[int | None, int | None, int | None]  # depth of actor and critic, width; `None` for what the config builds
Sizes = tuple[Size, ...]  # lane by lane
# Of one lane: from a trainer of any size and the arguments, a state and, from these, a new state and whatever else.
Start = Callable[..., TrainState]
Run = Callable[[Any, TrainState], tuple[TrainState | None, PyTree]]


class LaneFunction:
    """`run(trainer, start(trainer, *args))` of one lane as a jitted function that vmaps by size.

    Sizes are read from the `Hypers` in the arguments. Where `jax.vmap` sees their values, lanes are grouped by them;
    under an outer `jit`, which hides them, `promised` sizes are taken, and without a promise what is idle is masked.
    Inside `jax.shard_map` over `lane`, the promise is of the lanes of all devices. The numbers are the same but for
    rounding, and those of a single lane bit for bit where the layout is serial.

    States have networks of the trainer's size throughout. Those of a narrow lane are the narrow network's, padded with
    zeros: the corner of what a wide network draws would not do, as the draw depends on the width.
    """

    def __init__(self, trainer: Any, start: Start, run: Run, promised: Sizes | None = None):
        """**Arguments:**

        - `trainer`: `trainer.at_size(actor_depth, critic_depth, width)` is the same with networks of another size.
        - `start`: gives the state, with networks as large as the trainer's.
        - `run`: what is done with it, at whatever size.
        - `promised`: sizes that lanes will have where they cannot be seen.
        """
        self._trainer, self._start, self._run, self._promised = trainer, start, run, promised
        self._one = jax.jit(lambda *args: run(trainer, start(trainer, *args)))
        self._grouped = jax.jit(self._by_size, static_argnums=0)
        self._lane = custom_vmap(self._one)
        self._lane.def_vmap(self._add_axis)
        self._lanes = custom_vmap(
            jax.jit(lambda *args: self._each(trainer, jax.vmap(ft.partial(start, trainer))(*args)))
        )
        self._lanes.def_vmap(self._merge_axes)

    def __call__(self, *args: PyTree) -> Any:
        """What `run` returns for one lane; vmap it for many."""
        if not all(is_concrete(leaf) for leaf in jtu.tree_leaves(args)):
            return self._lane(*args)
        if _hypers(args).width is None:
            return self._one(*args)
        out = self._many(*jtu.tree_map(lambda leaf: leaf[None], args))
        return jtu.tree_map(lambda leaf: leaf[0], out)

    def _many(self, *args: PyTree) -> tuple[TrainState | None, PyTree]:
        """Of lanes along a leading axis of all leaves."""
        sizes = lane_sizes(args)
        if sizes is not None:
            return self._grouped(sizes, *args)
        if self._promised is not None and self._is_kept(self._promised, args):
            return self._as_promised(self._promised, *args)
        # Without sizes: either a jit stands around, then masks it is, or another vmap, whose rule has its turn now.
        return self._lanes(*args)

    def _is_kept(self, promised: Sizes, args: tuple[PyTree, ...]) -> bool:
        """As far as can be seen."""
        same_kind = (promised[0][-1] is None) == (_hypers(args).width is None)
        return same_kind and len(promised) == blocks_of_lanes() * _axis_size(args)

    def _as_promised(self, promised: Sizes, *args: PyTree) -> tuple[TrainState | None, PyTree]:
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

    def _by_size(self, sizes: Sizes, *args: PyTree) -> tuple[TrainState | None, PyTree]:
        """Lanes of one width start together, then those of one size run together."""
        return _in_groups(lambda size: size[-1], self._of_width, sizes, args)

    def _of_width(self, sizes: Sizes, args: tuple[PyTree, ...]) -> tuple[TrainState | None, PyTree]:
        width = sizes[0][-1]
        trainer = self._trainer if width is None else self._trainer.at_size(width=width)
        states = jax.vmap(ft.partial(self._start, trainer))(*_with_widths(None, args))
        new, extra = _in_groups(lambda size: size, self._of_size, sizes, states)
        if new is None or width is None:
            return new, extra
        return _with_widths(_hypers(args).width, _padded(new, self._trainer.lane_shapes())), extra

    def _of_size(self, sizes: Sizes, states: TrainState) -> tuple[TrainState | None, PyTree]:
        trainer = self._trainer.at_size(*sizes[0])
        new, extra = self._each(trainer, _narrowed(states, trainer.lane_shapes()))
        return (None if new is None else _widened(new, states)), extra

    def _each(self, trainer: Any, states: TrainState) -> tuple[TrainState | None, PyTree]:
        """`run` for every lane of one size."""
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


def _in_groups(
    key: Callable[[Size], Any], run: Callable[[Sizes, PyTree], PyTree], sizes: Sizes, tree: PyTree
) -> PyTree:
    """`run` of the sizes and the leaves of lanes with the same key, for each key; what it returns is put in order."""
    keys = [key(size) for size in sizes]
    groups = [[lane for lane, own in enumerate(keys) if own == other] for other in dict.fromkeys(keys)]
    parts = [
        run(tuple(sizes[lane] for lane in lanes), jtu.tree_map(ft.partial(_take, np.array(lanes)), tree))
        for lanes in groups
    ]
    order = np.argsort(np.concatenate(groups))
    return jtu.tree_map(lambda *leaves: _take(order, jnp.concatenate(leaves)), *parts)


def lane_sizes(tree: PyTree) -> Sizes | None:
    """The sizes of the lanes whose `Hypers` stand in a tree, or `None` if they have no value now."""
    hypers = _hypers(tree)
    if not all(map(is_concrete, jtu.tree_leaves((hypers.actor_depth, hypers.critic_depth, hypers.width)))):
        return None
    if hypers.actor_depth.ndim != 1:
        raise ValueError(
            f"The hypers of lanes need one leading `lane` axis, got axes {hypers.actor_depth.shape}. "
            "`lanes(config, seeds=..., ...)` makes them."
        )
    widths = [None] * len(hypers.actor_depth) if hypers.width is None else hypers.width.tolist()
    return tuple(zip(hypers.actor_depth.tolist(), hypers.critic_depth.tolist(), widths, strict=True))


def _hypers(tree: PyTree) -> Hypers:
    return next(node for node in jtu.tree_leaves(tree, is_leaf=_is_hypers) if _is_hypers(node))


def _is_hypers(node: Any) -> bool:
    return isinstance(node, Hypers)


def _with_widths(width: Array | None, tree: PyTree) -> PyTree:
    """With that width in the `Hypers` in a tree."""
    is_none = lambda node: node is None
    change = lambda node: eqx.tree_at(lambda h: h.width, node, width, is_leaf=is_none) if _is_hypers(node) else node
    return jtu.tree_map(change, tree, is_leaf=_is_hypers)


def _axis_size(tree: PyTree, axis: int = 0) -> int:
    return jtu.tree_leaves(tree)[0].shape[axis]


def _broadcast(size: int, batched: list[PyTree], args: tuple[PyTree, ...]) -> tuple[PyTree, ...]:
    def widen(is_batched: bool, leaf: Array) -> Array:
        if is_batched:
            return leaf
        # At once even under a jit, so that sizes which one value gives to all lanes are seen.
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
    """The first blocks and units of large networks, and all else: what a small network would hold, leaf by leaf."""
    shape_leaves, treedef = jtu.tree_flatten(shapes)
    leaves = [leaf[_corner(like.shape)] for leaf, like in zip(jtu.tree_leaves(wide), shape_leaves, strict=True)]
    return jtu.tree_unflatten(treedef, leaves)


def _widened(narrow: TrainState, wide: TrainState) -> TrainState:
    """`wide`, with the leaves of `narrow` in place of the first blocks and units; the idle ones stay as they are."""

    def put(new: Array, old: Array) -> Array:
        return new if new.shape == old.shape else old.at[_corner(new.shape[1:])].set(new)

    wide_leaves, treedef = jtu.tree_flatten(wide)
    leaves = [put(new, old) for new, old in zip(jtu.tree_leaves(narrow), wide_leaves, strict=True)]
    return jtu.tree_unflatten(treedef, leaves)


def _padded(narrow: TrainState, shapes: TrainState) -> TrainState:
    """With zeros in place of the units that a wider network has."""

    def pad(leaf: Array, like: jax.ShapeDtypeStruct) -> Array:
        if leaf.shape[1:] == like.shape:
            return leaf
        return jnp.pad(leaf, [(0, 0), *((0, size - own) for size, own in zip(like.shape, leaf.shape[1:], strict=True))])

    shape_leaves, treedef = jtu.tree_flatten(shapes)
    leaves = [pad(leaf, like) for leaf, like in zip(jtu.tree_leaves(narrow), shape_leaves, strict=True)]
    return jtu.tree_unflatten(treedef, leaves)
