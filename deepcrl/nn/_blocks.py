r"""Residual blocks: each is a branch $F$ whose output the trunk adds to its input."""

import equinox as eqx
import jax.random as jr
from jaxtyping import Array, Float

from .._typing import Key
from ._layers import activate, apply_norm, DenseLayer, make_linear, make_norm
from ._trunk import PAPER_TRUNK, Trunk


_SIMBA_EXPANSION = 4


class ResidualBlock(eqx.Module):
    """The paper's block: some (by default 4) Dense-LayerNorm-swish layers whose output is added to their input; nothing
    is applied to the sum."""

    layers: tuple[DenseLayer, ...]

    def __init__(self, width: int, trunk: Trunk = PAPER_TRUNK, *, key: Key):
        """**Arguments:**

        - `width`: the size of input and output.
        - `trunk`: how many layers, which norm and activation.
        - `key`: draws the kernels.
        """
        self.layers = tuple(DenseLayer(width, width, trunk, key=k) for k in jr.split(key, trunk.block_depth))

    def branch(self, x: Float[Array, " width"]) -> Float[Array, " width"]:
        """What the block adds to its input."""
        for layer in self.layers:
            x = layer(x)
        return x

    def __call__(self, x: Float[Array, " width"]) -> Float[Array, " width"]:
        """The block's output for one sample."""
        return x + self.branch(x)


class SimbaBlock(eqx.Module):
    r"""A block in the style of SimBa: $x + W_2\, \sigma(W_1\, \mathrm{norm}(x))$ with an inner layer 4 times as wide.

    The norm stands before the layers, so nothing bounds the stream: SimBa ends it with a norm, `Trunk(final_norm=True)`,
    and uses ReLU. Not taken over: the running normalisation of observations.

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

    norm: eqx.Module
    wide: eqx.Module
    narrow: eqx.Module
    activation: str = eqx.field(static=True)

    def __init__(self, width: int, trunk: Trunk, *, key: Key):
        """**Arguments:** as for [`deepcrl.nn.ResidualBlock`][]."""
        wide_key, narrow_key = jr.split(key)
        self.norm = make_norm(width, trunk)
        self.wide = make_linear(width, _SIMBA_EXPANSION * width, trunk, key=wide_key)
        self.narrow = make_linear(_SIMBA_EXPANSION * width, width, trunk, key=narrow_key)
        self.activation = trunk.activation

    def branch(self, x: Float[Array, " width"]) -> Float[Array, " width"]:
        """What the block adds to its input."""
        x = activate(self.wide(apply_norm(self.norm, x)), self.activation)  # pyright: ignore[reportCallIssue]
        return self.narrow(x)  # pyright: ignore[reportCallIssue]


class BroNetBlock(eqx.Module):
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

    inner: DenseLayer
    linear: eqx.Module
    norm: eqx.Module

    def __init__(self, width: int, trunk: Trunk, *, key: Key):
        """**Arguments:** as for [`deepcrl.nn.ResidualBlock`][]."""
        inner_key, linear_key = jr.split(key)
        self.inner = DenseLayer(width, width, trunk, key=inner_key)
        self.linear = make_linear(width, width, trunk, key=linear_key)
        self.norm = make_norm(width, trunk)

    def branch(self, x: Float[Array, " width"]) -> Float[Array, " width"]:
        """What the block adds to its input."""
        x = self.linear(self.inner(x))  # pyright: ignore[reportCallIssue]
        return apply_norm(self.norm, x)


BLOCK_TYPES: dict[str, type[ResidualBlock | SimbaBlock | BroNetBlock]] = {
    "paper": ResidualBlock,
    "simba": SimbaBlock,
    "bronet": BroNetBlock,
}
