"""What MJX in Warp needs besides: it keeps the contacts of all simulations in one store, whose size a program must know."""

from collections.abc import Callable, Sequence
from typing import Any, TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir
from jaxtyping import Array, PyTree


if TYPE_CHECKING:
    import mujoco


_CONTACTS = 64  # of a simulation, pairs of shapes that come near among them


def all_at_once(function: Callable[..., PyTree]) -> Callable[..., PyTree]:
    """`function(count, ...)` of `count` samples at a time, as one of single samples: however many vmaps are around it, it
    is called with all of their samples in one leading axis.

    A primitive, and no `jax.custom_batching.custom_vmap`, which takes no function with constants where a branch is chosen
    per sample.
    """

    def single(*args: PyTree) -> PyTree:
        leaves, structure = jax.tree.flatten(jax.tree.map(lambda x: x[None], args))

        def batch(*leaves: Array) -> PyTree:
            return function(leaves[0].shape[0], *jax.tree.unflatten(structure, leaves))

        out = _BATCH.bind(*leaves, function=lambda *leaves: jax.tree.leaves(batch(*leaves)))
        return jax.tree.unflatten(jax.tree.structure(jax.eval_shape(batch, *leaves)), [x[0] for x in out])

    return single


def _shapes(*leaves: Any, function: Callable[..., list[Array]]) -> list[ShapedArray]:
    return [ShapedArray(x.shape, x.dtype) for x in jax.eval_shape(function, *leaves)]


def _join_axes(
    leaves: Sequence[Array], axes: Sequence[int | None], *, function: Callable[..., list[Array]]
) -> tuple[list[Array], list[int]]:
    (size,) = {x.shape[axis] for x, axis in zip(leaves, axes, strict=True) if axis is not None}
    flat = []
    for x, axis in zip(leaves, axes, strict=True):
        spread = jnp.broadcast_to(x, (size, *x.shape)) if axis is None else jnp.moveaxis(x, axis, 0)
        flat.append(spread.reshape(-1, *spread.shape[2:]))
    out = _BATCH.bind(*flat, function=function)
    return [x.reshape(size, -1, *x.shape[1:]) for x in out], [0] * len(out)


def _run(*leaves: Array, function: Callable[..., list[Array]]) -> list[Array]:
    return function(*leaves)


_BATCH = Primitive("all_at_once")
_BATCH.multiple_results = True
_BATCH.def_impl(lambda *leaves, function: jax.jit(function)(*leaves))
_BATCH.def_abstract_eval(_shapes)
batching.primitive_batchers[_BATCH] = _join_axes
mlir.register_lowering(_BATCH, mlir.lower_fun(_run, multiple_results=True))


def make_warp_data(model: "mujoco.MjModel", count: int) -> Any:
    """MJX's data of one simulation, with room for the contacts of `count`.
    Warp leaves out what does not fit, and says so."""
    from mujoco import mj_name2id, mjtObj, mjx

    numeric = mj_name2id(model, mjtObj.mjOBJ_NUMERIC, "max_contact_points")
    named = int(model.numeric_data[model.numeric_adr[numeric]]) if numeric >= 0 else 0
    contacts = max(_CONTACTS, 2 * named)
    rows = contacts * max(1, 2 * (int(np.max(model.geom_condim, initial=1)) - 1))  # of a friction pyramid
    rows += 6 * model.neq + model.njnt + model.nv + 3 * model.ntendon  # equalities, limits, friction
    with jax.ensure_compile_time_eval():
        data = mjx.make_data(model, impl="warp", naconmax=count * contacts, njmax=rows)
    # made by the program, not a part of it
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype) if x.shape[:1] == (count * contacts,) else x, data)
