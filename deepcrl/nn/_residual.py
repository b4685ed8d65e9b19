r"""The residual trunk of Wang et al. 2025: stacked blocks under one `lax.scan`."""

import functools as ft

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, Int

from .._typing import IntScalar, Key
from ._norms import Map
from ._spec import BlockSpec, PAPER_SPEC


class ResidualTrunk(eqx.Module):
    r"""`num_blocks` residual blocks, $h_{i+1} = h_i + F_i(h_i)$, as one `lax.scan` over stacked weights.

    Compile time does not grow with the number of blocks. Block $i$ has the same initial weights whatever the number of
    blocks (its key is `fold_in(key, i)`), and a trunk told that only the first `active_blocks` count computes bit
    for bit what a trunk of that many blocks computes (XLA unrolls a scan of one block, so there up to rounding), with zero
    gradient for the idle ones. So trunks of different depth can be lanes of one vmapped program.

    ??? cite "Reference"
        ```bibtex
        @inproceedings{wang2025thousand,
          title={1000 Layer Networks for Self-Supervised {RL}: Scaling Depth Can Enable New Goal-Reaching Capabilities},
          author={Wang, Kevin and Javali, Ishaan and Bortkiewicz, Micha{\l} and Trzci{\'n}ski, Tomasz and
                  Eysenbach, Benjamin},
          booktitle={Advances in Neural Information Processing Systems},
          year={2025}
        }
        ```
    """

    blocks: Map  # what `AbstractBlock.build` makes; every array has a leading `block` axis, unless `tied`
    num_blocks: int = eqx.field(static=True)
    residual: bool = eqx.field(static=True)
    tied: bool = eqx.field(static=True)
    remat: bool = eqx.field(static=True)

    def __init__(self, width: int, num_blocks: int, *, spec: BlockSpec = PAPER_SPEC, remat: bool = False, key: Key):
        """**Arguments:**

        - `width`: the size of input and output.
        - `num_blocks`: residual blocks, at least 1; depth is `spec.block_depth` (four) times that.
        - `spec`: what the blocks are made of. With `residual=False` a block's output takes the place of its input; with
          `tied=True` all blocks have the weights of the first.
        - `remat`: recompute a block's activations in the backward pass instead of storing them. Memory then holds one
          array of `width` numbers per block and sample, at the price of one more forward pass.
        - `key`: block $i$ is drawn from `fold_in(key, i)`.
        """
        if num_blocks < 1:
            raise ValueError(f"`num_blocks` must be at least 1, got {num_blocks}.")

        def make_block(index: Int[Array, ""]) -> Map:
            return spec.kind.build(width, spec.block_depth, spec.layers, key=jr.fold_in(key, index))

        self.blocks = make_block(jnp.asarray(0)) if spec.tied else eqx.filter_vmap(make_block)(jnp.arange(num_blocks))
        self.num_blocks = num_blocks
        self.residual = spec.residual
        self.tied = spec.tied
        self.remat = remat

    def __call__(self, x: Float[Array, " width"], active_blocks: IntScalar | None = None) -> Float[Array, " width"]:
        """**Arguments:**

        - `x`: the input of one sample.
        - `active_blocks`: how many blocks are switched on, counted from the first (by default all). Idle ones may hold any
          finite weights.

        **Returns:** the residual stream after the last block. No norm follows it, so it grows with depth.
        """
        last = self.num_blocks if active_blocks is None else active_blocks
        keep_block = jnp.arange(self.num_blocks) < last

        def step(h: Float[Array, " width"], xs: tuple[Map | None, Bool[Array, ""]]) -> tuple[Array, None]:
            block, keep = xs
            branch = (self.blocks if block is None else block)(h)
            return (h + jnp.where(keep, branch, 0.0) if self.residual else jnp.where(keep, branch, h)), None

        body = ft.partial(jax.checkpoint, prevent_cse=False)(step) if self.remat else step
        stacked = None if self.tied else self.blocks
        h, _ = jax.lax.scan(body, x, (stacked, keep_block), length=self.num_blocks)
        return h
