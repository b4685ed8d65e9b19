r"""Dense layers with their norm and activation."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._typing import Key, Scalar
from ._trunk import PAPER_TRUNK, Trunk


NORM_EPS = 1e-6
_ACTIVATIONS = {"swish": jax.nn.silu, "relu": jax.nn.relu, "gelu": jax.nn.gelu}


def dense(in_size: int, out_size: int, *, key: Key) -> eqx.nn.Linear:
    r"""An affine layer with kernel $U(-1/\sqrt{n}, 1/\sqrt{n})$, $n$ = `in_size`, and bias 0.

    That is variance scaling with scale 1/3, fan-in, uniform: the initialiser of every layer of the paper's networks,
    output heads included (`eqx.nn.Linear` draws the kernel just so, but draws the bias too).
    """
    linear = eqx.nn.Linear(in_size, out_size, key=key)
    return eqx.tree_at(lambda layer: layer.bias, linear, jnp.zeros(out_size))


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
        return self.weight * _inverse_length(self.weight)

    def __call__(self, x: Float[Array, " in"]) -> Float[Array, " out"]:
        """The projection of one sample on every row."""
        return self.kernel() @ x


class SphericalNorm(eqx.Module):
    r"""The projection on the sphere of radius $\sqrt{n}$: every feature is of order 1, and nothing is learned."""

    def __call__(self, x: Float[Array, " width"]) -> Float[Array, " width"]:
        """The projection of one sample."""
        return x * _inverse_length(x) * jnp.sqrt(jnp.float32(x.shape[0]))


def _inverse_length(x: Float[Array, "*axes size"]) -> Float[Array, "*axes 1"]:
    return jax.lax.rsqrt(jnp.maximum(jnp.sum(jnp.square(x), axis=-1, keepdims=True), NORM_EPS**2))


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


def make_linear(
    in_size: int, out_size: int, trunk: Trunk, *, key: Key
) -> eqx.nn.Linear | SphericalLinear | RoundedLinear:
    """The Dense layer of a trunk: an affine one, or one with its kernel on the sphere."""
    make = SphericalLinear if trunk.norm == "hyperspherical" else dense
    linear = make(in_size, out_size, key=key)
    return linear if trunk.products == "float32" else RoundedLinear(linear)


def make_norm(width: int, trunk: Trunk) -> eqx.Module:
    """The norm of a trunk, over the features of one sample."""
    makers = {
        "layer": lambda: eqx.nn.LayerNorm(width, eps=NORM_EPS),
        "rms": lambda: eqx.nn.RMSNorm(width, eps=NORM_EPS, use_bias=False),
        "none": eqx.nn.Identity,
        "hyperspherical": SphericalNorm,
    }
    return makers[trunk.norm]()


def apply_norm(norm: eqx.Module, x: Float[Array, " width"]) -> Float[Array, " width"]:
    """A norm of `make_norm`."""
    return norm(x)  # pyright: ignore[reportCallIssue]


def _standardised(x: Float[Array, " width"]) -> tuple[Float[Array, " width"], Scalar]:
    """With mean 0 and variance 1, and what it was multiplied by."""
    centred = x - jnp.mean(x)
    inverse = jax.lax.rsqrt(jnp.mean(jnp.square(centred)) + NORM_EPS)
    return centred * inverse, inverse


def activate(x: Float[Array, " width"], activation: str) -> Float[Array, " width"]:
    """The activation of that name."""
    return _ACTIVATIONS[activation](x)


@jax.custom_vjp
def norm_swish(
    x: Float[Array, " width"], scale: Float[Array, " width"], shift: Float[Array, " width"]
) -> Float[Array, " width"]:
    r"""$\mathrm{swish}(\mathrm{scale} \cdot \mathrm{LayerNorm}(x) + \mathrm{shift})$, with a backward pass by hand.

    It keeps the normalised sample and one number for the backward pass and does the rest in two sweeps, where derivatives
    by rule take four and keep twice as much. Reverse mode only.
    """
    return _norm_swish_forward(x, scale, shift)[0]


def _norm_swish_forward(x: Array, scale: Array, shift: Array) -> tuple[Array, tuple[Array, ...]]:
    unit, inverse = _standardised(x)
    return jax.nn.silu(scale * unit + shift), (scale, shift, unit, inverse)


def _norm_swish_backward(kept: tuple[Array, ...], grad: Array) -> tuple[Array, Array, Array]:
    scale, shift, unit, inverse = kept
    inner = scale * unit + shift
    gate = jax.nn.sigmoid(inner)
    grad_shift = grad * gate * (1 + inner * (1 - gate))
    grad_unit = grad_shift * scale
    grad_x = inverse * (grad_unit - jnp.mean(grad_unit) - unit * jnp.mean(grad_unit * unit))
    return grad_x, grad_shift * unit, grad_shift


norm_swish.defvjp(_norm_swish_forward, _norm_swish_backward)


class DenseLayer(eqx.Module):
    """Dense, norm, activation; in the paper (section 3, figure 2) LayerNorm of epsilon 1e-6 and swish."""

    linear: eqx.Module
    norm: eqx.Module
    activation: str = eqx.field(static=True)

    def __init__(self, in_size: int, width: int, trunk: Trunk = PAPER_TRUNK, *, key: Key):
        """**Arguments:**

        - `in_size`: the size of the input.
        - `width`: the size of the output.
        - `trunk`: which norm and activation.
        - `key`: draws the kernel.
        """
        self.linear = make_linear(in_size, width, trunk, key=key)
        self.norm = make_norm(width, trunk)
        self.activation = trunk.activation

    def __call__(self, x: Float[Array, " in"]) -> Float[Array, " width"]:
        """The activation of one sample."""
        x = self.linear(x)  # pyright: ignore[reportCallIssue]
        if isinstance(self.norm, eqx.nn.LayerNorm) and self.activation == "swish":
            return norm_swish(x, self.norm.weight, self.norm.bias)  # pyright: ignore[reportArgumentType]
        return activate(apply_norm(self.norm, x), self.activation)
