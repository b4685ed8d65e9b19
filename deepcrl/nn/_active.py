"""How much of a network is switched on: one that was built larger computes what a smaller one does."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._typing import IntScalar, Scalar


class Active(NamedTuple):
    """The part of a network that is switched on; by default all of it.

    Networks of different size can so be lanes of one vmapped program. What is switched off gets a gradient of exactly
    zero.
    """

    blocks: IntScalar | None = None
    """Residual blocks, counted from the first. Idle ones may hold any finite weights."""
    width: IntScalar | None = None
    """Hidden units, counted from the first. All weights of idle ones must be zero: a narrower network's weights, padded
    with zeros, then compute what it does, as norms count active units alone."""


ALL = Active()


def without_idle(x: Float[Array, " width"], width: IntScalar | None) -> Float[Array, " width"]:
    """With zeros for idle units."""
    return x if width is None else jnp.where(jnp.arange(x.shape[0]) < width, x, 0.0)


def active_mean(x: Float[Array, " width"], width: IntScalar | None) -> Scalar:
    """Over active units; the idle ones are masked, though they be zero, as a sum gives every summand a gradient."""
    return jnp.mean(x) if width is None else jnp.sum(without_idle(x, width)) / width.astype(jnp.float32)
