"""What MJX in Warp needs besides: it keeps the contacts of all simulations in one store, whose size a program must know."""

from collections.abc import Callable
from typing import Any, TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree


if TYPE_CHECKING:
    import mujoco


_CONTACTS = 64  # of a simulation, pairs of shapes that come near among them


def all_at_once(function: Callable[..., PyTree]) -> Callable[..., PyTree]:
    """`function(count, ...)` of `count` samples at a time, as one of single samples: however many vmaps are around it, it
    is called with all of their samples in one leading axis."""

    @jax.custom_batching.custom_vmap
    def batch(*args: PyTree) -> PyTree:
        return function(jax.tree.leaves(args)[0].shape[0], *args)

    @batch.def_vmap
    def _(axis_size: int, batched: Any, *args: PyTree) -> tuple[PyTree, PyTree]:
        spread = lambda x, has: x if has else jnp.broadcast_to(x, (axis_size, *x.shape))
        flat = jax.tree.map(lambda x, has: spread(x, has).reshape(-1, *x.shape[1 + has :]), args, tuple(batched))
        out = jax.tree.map(lambda x: x.reshape(axis_size, -1, *x.shape[1:]), batch(*flat))
        return out, jax.tree.map(lambda _: True, out)

    return lambda *args: jax.tree.map(lambda x: x[0], batch(*jax.tree.map(lambda x: x[None], args)))


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
