"""A lane that diverges stops learning and is marked; in a vmapped set, no other lane sees a difference.

Looked at once per roll-out, after its updates, so the check costs next to nothing beside them: a parameter that became
non-finite in the middle stays so until the end, as Adam's moments carry it on. The moments themselves are two thirds of an
agent's arrays and are not looked at: one that is not finite makes a parameter or the gradient's norm so.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import optax
from jaxtyping import PyTree

from .._typing import BoolScalar, IntScalar
from ._state import TrainState


def all_finite(tree: PyTree) -> BoolScalar:
    """Whether every number of every floating-point leaf is finite, Adam's moments apart."""
    is_moments = lambda node: isinstance(node, optax.ScaleByAdamState)
    leaves = [leaf for leaf in jtu.tree_leaves(tree, is_leaf=is_moments) if not is_moments(leaf)]
    floats = [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return jnp.all(jnp.asarray([jnp.all(jnp.isfinite(leaf)) for leaf in floats]))


def freeze_diverged(before: TrainState, learnt: tuple[PyTree, PyTree, IntScalar], metrics: PyTree) -> TrainState:
    """The state with what was `learnt` while all is finite, else as it was `before`, marked for good.

    **Arguments:**

    - `before`: one lane's state before the updates of a roll-out.
    - `learnt`: agent, collector and number of updates after them.
    - `metrics`: of those updates, losses among them.
    """
    old = (before.agent, before.collector, before.grad_steps)
    diverged = before.diverged | ~all_finite((learnt[:2], before.obs, metrics))
    kept = jax.lax.cond(diverged, lambda: old, lambda: learnt)
    is_none = lambda node: node is None
    where = lambda s: (s.agent, s.collector, s.grad_steps, s.diverged)
    return eqx.tree_at(where, before, (*kept, diverged), is_leaf=is_none)
