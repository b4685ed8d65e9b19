r"""Norms: what stands between a Dense layer and its activation, over the features of one sample."""

import abc
from collections.abc import Callable
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._registry import register
from .._typing import Key, Scalar
from ._linear import dense, inverse_length, NORM_EPS, SphericalLinear


Map: TypeAlias = Callable[[Array], Array]  # a module from one sample to one sample


class AbstractNorm(eqx.Module):
    """The interface of norms: settings, without arrays, that build the module with its weights."""

    @abc.abstractmethod
    def build(self, width: int) -> Map:
        """An `eqx.Module` that takes one sample of `width` features and returns as many. Its leaves are arrays, which are
        learnt; settings are static fields of it."""

    def linear(self, in_size: int, out_size: int, *, key: Key) -> eqx.nn.Linear | SphericalLinear:
        """The linear layer that the norm stands behind: affine, unless the norm needs another."""
        return dense(in_size, out_size, key=key)


class LayerNorm(AbstractNorm):
    r"""Zero mean and unit variance (with $10^{-6}$ added to it), then a learnt scale and shift; the paper's."""

    def build(self, width: int) -> Map:
        """An [`equinox.nn.LayerNorm`][]."""
        return eqx.nn.LayerNorm(width, eps=NORM_EPS)


class RMSNorm(AbstractNorm):
    r"""Unit mean square (with $10^{-6}$ added to it), then a learnt scale."""

    def build(self, width: int) -> Map:
        """An [`equinox.nn.RMSNorm`][] without bias."""
        return eqx.nn.RMSNorm(width, eps=NORM_EPS, use_bias=False)


class NoNorm(AbstractNorm):
    """Nothing in the place of a norm."""

    def build(self, width: int) -> Map:
        """The identity."""
        return eqx.nn.Identity()


class HypersphericalNorm(AbstractNorm):
    r"""Everything on a sphere: the linear layer before it has a kernel with rows of unit length and no bias,
    $y_k = w_k^\top x / \lVert w_k \rVert_2$, and the norm scales a sample to a length of $\sqrt{n}$. Nothing is learnt in
    the norm, and any optimiser may step the kernel: its gradient is tangent to the sphere."""

    def build(self, width: int) -> Map:
        """The projection on the sphere."""
        return SphericalNorm()

    def linear(self, in_size: int, out_size: int, *, key: Key) -> eqx.nn.Linear | SphericalLinear:
        """One with its rows on the sphere."""
        return SphericalLinear(in_size, out_size, key=key)


register(LayerNorm, "layer")
register(RMSNorm, "rms")
register(NoNorm, "none")
register(HypersphericalNorm, "hyperspherical")


class SphericalNorm(eqx.Module):
    r"""The projection on the sphere of radius $\sqrt{n}$: every feature is of order 1, and nothing is learned."""

    def __call__(self, x: Float[Array, " width"]) -> Float[Array, " width"]:
        """The projection of one sample."""
        return x * inverse_length(x) * jnp.sqrt(jnp.float32(x.shape[0]))


@jax.custom_vjp
def norm_swish(
    x: Float[Array, " width"], scale: Float[Array, " width"], shift: Float[Array, " width"]
) -> Float[Array, " width"]:
    r"""$\mathrm{swish}(\mathrm{scale} \cdot \mathrm{LayerNorm}(x) + \mathrm{shift})$, with a backward pass by hand.

    It keeps the normalised sample and one number for the backward pass and does the rest in two sweeps, where derivatives
    by rule take four and keep twice as much. Reverse mode only.
    """
    return _norm_swish_forward(x, scale, shift)[0]


def _standardised(x: Float[Array, " width"]) -> tuple[Float[Array, " width"], Scalar]:
    """With mean 0 and variance 1, and what it was multiplied by."""
    centred = x - jnp.mean(x)
    inverse = jax.lax.rsqrt(jnp.mean(jnp.square(centred)) + NORM_EPS)
    return centred * inverse, inverse


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
