r"""Linear layers: affine ones, with kernels on the sphere, and with rounded products."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._typing import Key


NORM_EPS = 1e-6


def dense(in_size: int, out_size: int, *, key: Key) -> eqx.nn.Linear:
    r"""An affine layer with kernel $U(-1/\sqrt{n}, 1/\sqrt{n})$, $n$ = `in_size`, and bias 0.

    That is variance scaling with scale 1/3, fan-in, uniform: the initialiser of every layer of the paper's networks,
    output heads included (`eqx.nn.Linear` draws the kernel just so, but draws the bias too).
    """
    linear = eqx.nn.Linear(in_size, out_size, key=key)
    return eqx.tree_at(lambda layer: layer.bias, linear, jnp.zeros(out_size))


def inverse_length(x: Float[Array, "*axes size"]) -> Float[Array, "*axes 1"]:
    """Of the last axis, which is at least `NORM_EPS` long."""
    return jax.lax.rsqrt(jnp.maximum(jnp.sum(jnp.square(x), axis=-1, keepdims=True), NORM_EPS**2))


class SphericalLinear(eqx.Module):
    r"""A linear layer whose kernel has rows of unit length and no bias: $y_k = w_k^\top x / \lVert w_k \rVert_2$.

    The rows are projected when they are used, so any optimiser may step them; the gradient is tangent to the sphere.
    """

    weight: Float[Array, "out in"]

    def __init__(self, in_size: int, out_size: int, *, key: Key):
        """**Arguments:** sizes, and the key that draws the kernel as [`deepcrl.nn.dense`][] does."""
        self.weight = dense(in_size, out_size, key=key).weight

    def kernel(self) -> Float[Array, "out in"]:
        """The rows, of unit length."""
        return self.weight * inverse_length(self.weight)

    def __call__(self, x: Float[Array, " in"]) -> Float[Array, " out"]:
        """The projection of one sample on every row."""
        return self.kernel() @ x


class RoundedLinear(eqx.Module):
    """A linear layer of float32 parameters that multiplies bfloat16 numbers, in the backward pass too."""

    linear: eqx.nn.Linear | SphericalLinear

    def __call__(self, x: Float[Array, " in"]) -> Float[Array, " out"]:
        """The output of one sample."""
        kernel = self.linear.kernel() if isinstance(self.linear, SphericalLinear) else self.linear.weight
        # The product is of the type of its factors, so its cotangent is too, and thereby both products of the gradient.
        y = (kernel.astype(jnp.bfloat16) @ x.astype(jnp.bfloat16)).astype(jnp.float32)
        bias = getattr(self.linear, "bias", None)
        return y if bias is None else y + bias
