r"""Residual blocks: each is a branch $F$ whose output the trunk adds to its input."""

import abc
from typing import ClassVar

import equinox as eqx
import jax.random as jr
from jaxtyping import Array, Float

from .._registry import register
from .._typing import Key
from ._activations import AbstractActivation
from ._layers import DenseLayer, LayerSpec
from ._norms import Map


_SIMBA_EXPANSION = 4


class AbstractBlock(eqx.Module):
    """The interface of blocks: settings, without arrays, that build the module with a block's weights."""

    fixed_layers: eqx.AbstractClassVar[int | None]
    """Dense layers in a block of this kind, or `None` where `BlockSpec.layers_per_block` says how many."""

    @abc.abstractmethod
    def build(self, width: int, num_layers: int, spec: LayerSpec, *, key: Key) -> Map:
        """**Arguments:**

        - `width`: the size of input and output.
        - `num_layers`: Dense layers in the block.
        - `spec`: what layers are made of: `DenseLayer(width, width, spec, key=key)`, `spec.linear(width, width, key=key)`,
          `spec.norm.build(width)`, `spec.activation`.
        - `key`: draws the kernels.

        **Returns:** an `eqx.Module` that takes one sample and returns what the block adds to it. Its leaves are
        arrays, which are learnt, and stacked over the blocks of a trunk.
        """


class Chain(eqx.Module):
    """Modules one after the other, such as the layers of a block."""

    layers: tuple[Map, ...]

    def __call__(self, x: Float[Array, " in"]) -> Float[Array, " out"]:
        """The last one's output for one sample."""
        for layer in self.layers:
            x = layer(x)
        return x


class Activate(eqx.Module):
    """An activation as a member of a [`deepcrl.nn.Chain`][]."""

    activation: AbstractActivation = eqx.field(static=True)

    def __call__(self, x: Float[Array, " width"]) -> Float[Array, " width"]:
        """The activation of one sample."""
        return self.activation(x)


class PaperBlock(AbstractBlock):
    """The paper's block: some (by default 4) Dense-LayerNorm-swish layers whose output is added to their input; nothing
    is applied to the sum."""

    fixed_layers: ClassVar[int | None] = None

    def build(self, width: int, num_layers: int, spec: LayerSpec, *, key: Key) -> Map:
        """The layers of one block."""
        return Chain(tuple(DenseLayer(width, width, spec, key=k) for k in jr.split(key, num_layers)))


class SimbaBlock(AbstractBlock):
    r"""A block in the style of SimBa: $x + W_2\, \sigma(W_1\, \mathrm{norm}(x))$ with an inner layer 4 times as wide.

    The norm stands before the layers, so nothing bounds the stream: SimBa ends it with a norm,
    `BlockSpec(final_norm=True)`, and uses ReLU. Not taken over: the running normalisation of observations.

    ??? cite "Reference"
        ```bibtex
        @inproceedings{lee2025simba,
          title={{SimBa}: Simplicity Bias for Scaling Up Parameters in Deep Reinforcement Learning},
          author={Lee, Hojoon and Hwang, Dongyoon and Kim, Donghu and Kim, Hyunseung and Tai, Jun Jet and
                  Subramanian, Kaushik and Wurman, Peter R. and Choo, Jaegul and Stone, Peter and Seno, Takuma},
          booktitle={International Conference on Learning Representations},
          year={2025}
        }
        ```
    """

    fixed_layers: ClassVar[int | None] = 2

    def build(self, width: int, num_layers: int, spec: LayerSpec, *, key: Key) -> Map:
        """Norm, wide layer, activation, narrow layer."""
        wide_key, narrow_key = jr.split(key)
        wide = spec.linear(width, _SIMBA_EXPANSION * width, key=wide_key)
        narrow = spec.linear(_SIMBA_EXPANSION * width, width, key=narrow_key)
        return Chain((spec.norm.build(width), wide, Activate(spec.activation), narrow))


class BroNetBlock(AbstractBlock):
    r"""A block in the style of BroNet: $x + \mathrm{norm}(W_2\, \sigma(\mathrm{norm}(W_1 x)))$; the original uses ReLU.

    ??? cite "Reference"
        ```bibtex
        @inproceedings{nauman2024bigger,
          title={Bigger, Regularized, Optimistic: Scaling for Compute and Sample-Efficient Continuous Control},
          author={Nauman, Michal and Ostaszewski, Mateusz and Jankowski, Krzysztof and Mi{\l}o{\'s}, Piotr and
                  Cygan, Marek},
          booktitle={Advances in Neural Information Processing Systems},
          year={2024}
        }
        ```
    """

    fixed_layers: ClassVar[int | None] = 2

    def build(self, width: int, num_layers: int, spec: LayerSpec, *, key: Key) -> Map:
        """Dense layer, linear layer, norm."""
        inner_key, linear_key = jr.split(key)
        inner = DenseLayer(width, width, spec, key=inner_key)
        return Chain((inner, spec.linear(width, width, key=linear_key), spec.norm.build(width)))


register(PaperBlock, "paper")
register(SimbaBlock, "simba")
register(BroNetBlock, "bronet")
