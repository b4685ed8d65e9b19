"""What the blocks of a network are made of: the choices that the paper's ablations switch."""

import dataclasses
from typing import Literal

from .._errors import check_choice, check_flag, check_integer
from .._registry import as_part
from ._activations import AbstractActivation
from ._blocks import AbstractBlock
from ._layers import LayerSpec
from ._norms import AbstractNorm, NoNorm


_LAYERS_PER_BLOCK = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlockSpec:
    """The make of a network's layers and blocks. The defaults are the paper's. Names stand for objects, which may be given
    too: `BlockSpec(norm="rms")` is `BlockSpec(norm=deepcrl.nn.RMSNorm())`, and one of your own has a name once it is
    registered ([`deepcrl.register`][]).

    Known to fail: without norm, with ReLU or without residuals depth does not pay, says the paper. At initialisation,
    blocks without norm add next to nothing to the stream; with neither norm nor residuals the signal dies out within
    some dozens of layers.
    """

    block: str | AbstractBlock = "paper"
    """Residual block: `paper`, or in the style of SimBa or BroNet, `simba` and `bronet` (both 2 Dense layers a block)."""
    layers_per_block: int | None = None
    """Dense layers in a block (by default 4; blocks of SimBa and BroNet have 2 and no other number)."""
    norm: str | AbstractNorm = "layer"
    """What stands between a Dense layer and its activation: `layer`, `rms`, `none` or `hyperspherical`."""
    activation: str | AbstractActivation = "swish"
    """The activation: `swish`, `relu` or `gelu`."""
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
        for name, base in (("block", AbstractBlock), ("norm", AbstractNorm), ("activation", AbstractActivation)):
            object.__setattr__(self, name, as_part(name, base, getattr(self, name)))
        check_choice("products", self.products, ("float32", "bfloat16"))
        for name in ("residual", "tied", "final_norm"):
            check_flag(name, getattr(self, name))
        if self.layers_per_block is not None:
            check_integer("layers_per_block", self.layers_per_block)
            fixed = self.block.fixed_layers  # pyright: ignore[reportAttributeAccessIssue]
            if fixed is not None:
                raise ValueError(
                    f"`layers_per_block` is no choice for blocks whose number of layers is fixed: a "
                    f"`{type(self.block).__name__}` has {fixed}; got {self.layers_per_block}. Leave it out."
                )
        if self.final_norm and isinstance(self.norm, NoNorm):
            raise ValueError("`final_norm` needs a norm, got `norm='none'`. Choose another norm, or leave it out.")

    @property
    def kind(self) -> AbstractBlock:
        """The `block` as the object that it is."""
        return as_part("block", AbstractBlock, self.block)

    @property
    def layers(self) -> LayerSpec:
        """What layers are made of."""
        return LayerSpec(
            norm=as_part("norm", AbstractNorm, self.norm),
            activation=as_part("activation", AbstractActivation, self.activation),
            rounded=self.products == "bfloat16",
        )

    @property
    def block_depth(self) -> int:
        """Dense layers in a block: what a depth must be a multiple of."""
        return self.kind.fixed_layers or self.layers_per_block or _LAYERS_PER_BLOCK


PAPER_SPEC = BlockSpec()


def blocks_of_depth(depth: int, name: str = "depth", layers_per_block: int = _LAYERS_PER_BLOCK) -> int:
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
