"""What the blocks of a network are made of: the choices that the paper's ablations switch."""

import dataclasses
from typing import Literal

from .._errors import check_choice, check_flag, check_integer


NORMS = ("layer", "rms", "none", "hyperspherical")
ACTIVATIONS = ("swish", "relu", "gelu")
BLOCKS = ("paper", "simba", "bronet")
PRODUCTS = ("float32", "bfloat16")
_LAYERS_PER_BLOCK = {"paper": 4, "simba": 2, "bronet": 2}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trunk:
    """The make of a network's layers and blocks; plain values. The defaults are the paper's.

    Known to fail: without norm, with ReLU or without residuals depth does not pay, says the paper. At initialisation,
    blocks without norm add next to nothing to the stream; with neither norm nor residuals the signal dies out within
    some dozens of layers.
    """

    block: Literal["paper", "simba", "bronet"] = "paper"
    """Residual block: the paper's, or in the style of SimBa or BroNet (both 2 Dense layers a block)."""
    layers_per_block: int | None = None
    """Dense layers in a block (by default 4; blocks of SimBa and BroNet have 2 and no other number)."""
    norm: Literal["layer", "rms", "none", "hyperspherical"] = "layer"
    """What stands between a Dense layer and its activation."""
    activation: Literal["swish", "relu", "gelu"] = "swish"
    """The activation."""
    residual: bool = True
    """Add a block's input to its output."""
    tied: bool = False
    """Weight-tied depth: one block's weights, used again and again."""
    final_norm: bool = False
    """A norm between the last block and the output layer, without which the residual stream grows with depth."""
    products: Literal["float32", "bfloat16"] = "float32"
    """What numbers Dense layers multiply. Parameters, norms, activations, the residual stream and the output layer are
    float32 either way; bfloat16 is for devices with units for it, and no faster on a CPU."""

    def __post_init__(self):
        check_choice("block", self.block, BLOCKS)
        check_choice("norm", self.norm, NORMS)
        check_choice("activation", self.activation, ACTIVATIONS)
        check_choice("products", self.products, PRODUCTS)
        for name in ("residual", "tied", "final_norm"):
            check_flag(name, getattr(self, name))
        if self.layers_per_block is not None:
            check_integer("layers_per_block", self.layers_per_block)
            if self.block != "paper":
                raise ValueError(
                    f"`layers_per_block` is a choice for blocks of the paper's kind alone: one of `block={self.block!r}` "
                    f"has {_LAYERS_PER_BLOCK[self.block]}; got {self.layers_per_block}. Leave it out."
                )
        if self.final_norm and self.norm == "none":
            raise ValueError("`final_norm` needs a norm, got `norm='none'`. Choose another norm, or leave it out.")

    @property
    def block_depth(self) -> int:
        """Dense layers in a block: what a depth must be a multiple of."""
        return _LAYERS_PER_BLOCK[self.block] if self.layers_per_block is None else self.layers_per_block


PAPER_TRUNK = Trunk()


def blocks_of_depth(depth: int, name: str = "depth", layers_per_block: int = 4) -> int:
    """The number of residual blocks that hold `depth` Dense layers, `layers_per_block` a block (4 in the paper).

    **Raises:** `ValueError` unless `depth` is a positive multiple of that; the message names the neighbours.
    """
    if not isinstance(depth, int) or isinstance(depth, bool):
        raise TypeError(f"`{name}` must be an integer, got {depth!r} of type `{type(depth).__name__}`.")
    if depth < layers_per_block or depth % layers_per_block != 0:
        below = depth // layers_per_block * layers_per_block
        above = max(below + layers_per_block, layers_per_block)
        near = f"{below} or {above}" if below >= layers_per_block else f"{above}"
        raise ValueError(
            f"`{name}` counts the Dense layers inside residual blocks, {layers_per_block} a block, so it must be a "
            f"positive multiple of {layers_per_block}; got {depth}. Use {near}."
        )
    return depth // layers_per_block
