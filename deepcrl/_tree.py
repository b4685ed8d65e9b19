"""Small helpers on trees of arrays."""

import jax
import jax.core
import jax.numpy as jnp
import jax.tree_util as jtu
from jax.sharding import PartitionSpec
from jaxtyping import Array, Bool, PyTree

from ._typing import Scalar


ENVS = "env"  # the axis of a mesh whose devices share the environments of a lane


def tree_where(condition: Bool[Array, ""], if_true: PyTree, if_false: PyTree) -> PyTree:
    """`if_true` where the scalar `condition` holds, else `if_false`, leaf by leaf; typed keys included."""
    return jtu.tree_map(lambda a, b: jax.lax.select(condition, a, b), if_true, if_false)


def tree_norm(tree: PyTree) -> Scalar:
    """The Euclidean norm over all leaves."""
    return jnp.sqrt(sum((jnp.sum(jnp.square(leaf)) for leaf in jtu.tree_leaves(tree)), start=jnp.float32(0.0)))


def tree_bytes(tree: PyTree) -> int:
    """Bytes of all array leaves (or of `jax.ShapeDtypeStruct` leaves, so nothing needs to be allocated)."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jtu.tree_leaves(tree))


def is_concrete(x: object) -> bool:
    """Whether `x` has a value now, outside of any transformation."""
    return not isinstance(x, jax.core.Tracer)


def spread_envs(tree: PyTree) -> PyTree:
    """`tree`, whose leaves have a leading `env` axis, laid over the devices that share the environments of a lane, if the
    program that is being traced has any."""
    if ENVS not in jax.sharding.get_abstract_mesh().auto_axes:
        return tree
    return jax.lax.with_sharding_constraint(tree, PartitionSpec(ENVS))
