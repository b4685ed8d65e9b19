"""Activations: what a Dense layer applies to each of its features."""

import abc

import equinox as eqx
import jax
from jaxtyping import Array, Float

from .._registry import register


class AbstractActivation(eqx.Module):
    """The interface of activations. They hold settings, and no arrays: nothing of them is learnt."""

    @abc.abstractmethod
    def __call__(self, x: Float[Array, " width"]) -> Float[Array, " width"]:
        """The activation of one sample."""


class Swish(AbstractActivation):
    r"""$x / (1 + e^{-x})$; the paper's."""

    def __call__(self, x: Float[Array, " width"]) -> Float[Array, " width"]:
        """The activation of one sample."""
        return jax.nn.silu(x)


class ReLU(AbstractActivation):
    r"""$\max(x, 0)$."""

    def __call__(self, x: Float[Array, " width"]) -> Float[Array, " width"]:
        """The activation of one sample."""
        return jax.nn.relu(x)


class GELU(AbstractActivation):
    r"""$x\, \Phi(x)$ with the normal distribution function $\Phi$, in its approximation by $\tanh$."""

    def __call__(self, x: Float[Array, " width"]) -> Float[Array, " width"]:
        """The activation of one sample."""
        return jax.nn.gelu(x)


register(Swish, "swish")
register(ReLU, "relu")
register(GELU, "gelu")
