"""Dense layers with their norm and activation, and what makes them."""

import dataclasses

import equinox as eqx
from jaxtyping import Array, Float

from .._typing import Key
from ._activations import AbstractActivation, Swish
from ._linear import RoundedLinear
from ._norms import AbstractNorm, LayerNorm, Map, norm_swish


@dataclasses.dataclass(frozen=True)
class LayerSpec:
    """What the layers of a network are made of: the part of a [`deepcrl.nn.BlockSpec`][] that blocks build from."""

    norm: AbstractNorm
    """The norm."""
    activation: AbstractActivation
    """The activation."""
    rounded: bool = False
    """Multiply bfloat16 numbers."""

    def linear(self, in_size: int, out_size: int, *, key: Key) -> Map:
        """A linear layer alone."""
        linear = self.norm.linear(in_size, out_size, key=key)
        return RoundedLinear(linear) if self.rounded else linear


PAPER_LAYERS = LayerSpec(LayerNorm(), Swish())


class DenseLayer(eqx.Module):
    """Dense, norm, activation; in the paper (section 3, figure 2) LayerNorm of epsilon 1e-6 and swish."""

    linear: Map
    norm: Map
    activation: AbstractActivation = eqx.field(static=True)
    fused: bool = eqx.field(static=True)

    def __init__(self, in_size: int, width: int, spec: LayerSpec = PAPER_LAYERS, *, key: Key):
        """**Arguments:**

        - `in_size`: the size of the input.
        - `width`: the size of the output.
        - `spec`: which norm and activation.
        - `key`: draws the kernel.
        """
        self.linear = spec.linear(in_size, width, key=key)
        self.norm = spec.norm.build(width)
        self.activation = spec.activation
        self.fused = isinstance(spec.norm, LayerNorm) and isinstance(spec.activation, Swish)

    def __call__(self, x: Float[Array, " in"]) -> Float[Array, " width"]:
        """The activation of one sample."""
        x = self.linear(x)
        if self.fused:
            return norm_swish(x, self.norm.weight, self.norm.bias)  # pyright: ignore[reportFunctionMemberAccess]
        return self.activation(self.norm(x))
