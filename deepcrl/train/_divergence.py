"""A lane that diverges stops learning and is marked; in a vmapped set, no other lane sees a difference.

Looked at once per roll-out, after its updates, so the check costs next to nothing beside them: a parameter that became
non-finite in the middle stays so until the end, as Adam's moments carry it on.
"""

import equinox as eqx
import jax.numpy as jnp
import jax.tree_util as jtu
from jaxtyping import PyTree

from .._tree import tree_where
from .._typing import BoolScalar
from ._state import TrainState


def all_finite(tree: PyTree) -> BoolScalar:
    """Whether every number of every floating-point leaf is finite."""
    floats = [leaf for leaf in jtu.tree_leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return jnp.all(jnp.asarray([jnp.all(jnp.isfinite(leaf)) for leaf in floats]))


def freeze_diverged(before: TrainState, after: TrainState, metrics: PyTree) -> TrainState:
    """`after` while all is finite, else `after` with the agent that it had `before`, marked for good.

    **Arguments:**

    - `before`: one lane's state before the updates of a roll-out.
    - `after`: the same lane's state after them.
    - `metrics`: of those updates, losses among them.
    """
    diverged = before.diverged | ~all_finite((after.agent, after.obs, metrics))
    learnt = lambda state: (state.agent, state.grad_steps)
    kept = tree_where(diverged, learnt(before), learnt(after))
    return eqx.tree_at(lambda s: (*learnt(s), s.diverged), after, (*kept, diverged))
