r"""The residual trunk of Wang et al. 2025: stacked blocks of Dense-LayerNorm-swish layers under one `lax.scan`."""

import functools as ft

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, Int

from .._typing import IntScalar, Key


LAYERS_PER_BLOCK = 4
LAYER_NORM_EPS = 1e-6


def dense(in_size: int, out_size: int, *, key: Key) -> eqx.nn.Linear:
    r"""An affine layer with kernel $U(-1/\sqrt{n}, 1/\sqrt{n})$, $n$ = `in_size`, and bias 0.

    That is variance scaling with scale 1/3, fan-in, uniform: the initialiser of every layer of the paper's networks,
    output heads included (`eqx.nn.Linear` draws the kernel just so, but draws the bias too).
    """
    linear = eqx.nn.Linear(in_size, out_size, key=key)
    return eqx.tree_at(lambda layer: layer.bias, linear, jnp.zeros(out_size))


def blocks_of_depth(depth: int, name: str = "depth") -> int:
    """The number of residual blocks that hold `depth` Dense layers, 4 a block.

    **Raises:** `ValueError` unless `depth` is a positive multiple of 4; the message names the neighbours.
    """
    if not isinstance(depth, int) or isinstance(depth, bool):
        raise TypeError(f"`{name}` must be an integer, got {depth!r} of type `{type(depth).__name__}`.")
    if depth < LAYERS_PER_BLOCK or depth % LAYERS_PER_BLOCK != 0:
        below = depth // LAYERS_PER_BLOCK * LAYERS_PER_BLOCK
        above = max(below + LAYERS_PER_BLOCK, LAYERS_PER_BLOCK)
        near = f"{below} or {above}" if below >= LAYERS_PER_BLOCK else f"{above}"
        raise ValueError(
            f"`{name}` counts the Dense layers inside residual blocks, {LAYERS_PER_BLOCK} a block, so it must be a "
            f"positive multiple of {LAYERS_PER_BLOCK}; got {depth}. Use {near}."
        )
    return depth // LAYERS_PER_BLOCK


class DenseLayer(eqx.Module):
    """Dense, LayerNorm (epsilon 1e-6, learned scale and shift), swish: paper section 3, `paper` figure 2."""

    linear: eqx.nn.Linear
    norm: eqx.nn.LayerNorm

    def __init__(self, in_size: int, width: int, *, key: Key):
        """**Arguments:**

        - `in_size`: the size of the input.
        - `width`: the size of the output.
        - `key`: draws the kernel.
        """
        self.linear = dense(in_size, width, key=key)
        self.norm = eqx.nn.LayerNorm(width, eps=LAYER_NORM_EPS)

    def __call__(self, x: Float[Array, " in"]) -> Float[Array, " width"]:
        """The activation of one sample."""
        return jax.nn.silu(self.norm(self.linear(x)))


class ResidualBlock(eqx.Module):
    """Four Dense-LayerNorm-swish layers whose output is added to their input; nothing is applied to the sum."""

    layers: tuple[DenseLayer, ...]

    def __init__(self, width: int, *, key: Key):
        """**Arguments:**

        - `width`: the size of input and output.
        - `key`: draws the kernels.
        """
        self.layers = tuple(DenseLayer(width, width, key=k) for k in jr.split(key, LAYERS_PER_BLOCK))

    def branch(self, x: Float[Array, " width"]) -> Float[Array, " width"]:
        """What the block adds to its input."""
        for layer in self.layers:
            x = layer(x)
        return x

    def __call__(self, x: Float[Array, " width"]) -> Float[Array, " width"]:
        """The block's output for one sample."""
        return x + self.branch(x)


class ResidualTrunk(eqx.Module):
    r"""`num_blocks` residual blocks, $h_{i+1} = h_i + F_i(h_i)$, as one `lax.scan` over stacked weights.

    Compile time does not grow with the number of blocks. Block $i$ has the same initial weights whatever the number of
    blocks (its key is `fold_in(key, i)`), and a trunk told to use `active_blocks` of its blocks computes bit for bit
    what a trunk of that many blocks computes (XLA unrolls a scan of one block, so there to a unit in the last place),
    with zero gradient for the idle ones: networks of different depth can be lanes of one vmapped program.

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

    blocks: ResidualBlock  # every array has a leading `block` axis
    num_blocks: int = eqx.field(static=True)
    remat: bool = eqx.field(static=True)

    def __init__(self, width: int, num_blocks: int, *, remat: bool = False, key: Key):
        """**Arguments:**

        - `width`: the size of input and output.
        - `num_blocks`: residual blocks, at least 1; depth is four times that.
        - `remat`: recompute a block's activations in the backward pass instead of storing them. Memory then holds one
          array of `width` numbers per block and sample, at the price of one more forward pass.
        - `key`: block $i$ is drawn from `fold_in(key, i)`.
        """
        if num_blocks < 1:
            raise ValueError(f"`num_blocks` must be at least 1, got {num_blocks}.")

        def make_block(index: Int[Array, ""]) -> ResidualBlock:
            return ResidualBlock(width, key=jr.fold_in(key, index))

        self.blocks = eqx.filter_vmap(make_block)(jnp.arange(num_blocks))
        self.num_blocks = num_blocks
        self.remat = remat

    def __call__(self, x: Float[Array, " width"], active_blocks: IntScalar | None = None) -> Float[Array, " width"]:
        """**Arguments:**

        - `x`: the input of one sample.
        - `active_blocks`: how many of the blocks, counted from the first, are switched on; all by default.

        **Returns:** the residual stream after the last block. No norm follows it, so it grows with depth.
        """
        last = self.num_blocks if active_blocks is None else active_blocks
        keep_block = jnp.arange(self.num_blocks) < last

        def step(h: Float[Array, " width"], xs: tuple[ResidualBlock, Bool[Array, ""]]) -> tuple[Array, None]:
            block, keep = xs
            return h + jnp.where(keep, block.branch(h), 0.0), None

        body = ft.partial(jax.checkpoint, prevent_cse=False)(step) if self.remat else step
        h, _ = jax.lax.scan(body, x, (self.blocks, keep_block), length=self.num_blocks)
        return h
