"""What collecting says of itself: how far the actions spread, and the steps in which a simulation broke down."""

import equinox as eqx
import jax.numpy as jnp
import jax.tree_util as jtu
from jaxtyping import Array, Bool, Float, PyTree

from .._tree import tree_where
from .._typing import IntScalar, Scalar


class Spread(eqx.Module):
    """First two moments of the actions of a roll-out; of an epoch's roll-outs, leaves have a leading axis."""

    mean: Float[Array, "*axes action"]
    """Mean over time and environments."""
    variance: Float[Array, "*axes action"]
    """Variance over the same."""

    @classmethod
    def of(cls, action: Float[Array, "time env action"]) -> "Spread":
        """Of one roll-out."""
        return cls(mean=jnp.mean(action, axis=(0, 1)), variance=jnp.var(action, axis=(0, 1)))

    def std(self) -> Scalar:
        """Standard deviation over all roll-outs, which are equally long, mean over the action's dimensions.

        By the law of total variance: a difference of mean squares would lose what is below 3e-4 to rounding.
        """
        return jnp.mean(jnp.sqrt(jnp.mean(self.variance, axis=0) + jnp.var(self.mean, axis=0)))


class Failures(eqx.Module):
    """Steps in which a simulation came to numbers that are not finite, and where the latest of them began."""

    count: IntScalar
    """How many there were so far, prefill included."""
    inner: PyTree
    """The environment's `inner` state before the latest; while there is none, that of the first reset."""
    action: Float[Array, " action"]
    """The action of the latest, in the environment's units; zeros while there is none."""

    @classmethod
    def none(cls, inner: PyTree, action_size: int) -> "Failures":
        """Before the first step; `inner` has leaves `env ...`."""
        first = jtu.tree_map(lambda leaf: leaf[0], inner)
        return cls(count=jnp.zeros((), jnp.int32), inner=first, action=jnp.zeros(action_size))

    def after(self, failed: Bool[Array, " env"], inner: PyTree, action: Float[Array, "env action"]) -> "Failures":
        """The same after a step of all environments, from the states `inner` under `action`."""
        index = jnp.argmax(failed)
        latest = jtu.tree_map(lambda leaf: leaf[index], (inner, action))
        inner, action = tree_where(jnp.any(failed), latest, (self.inner, self.action))
        return Failures(count=self.count + jnp.sum(failed, dtype=jnp.int32), inner=inner, action=action)
