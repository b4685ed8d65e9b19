"""Random streams that depend on a root key and a counter alone, so that a resumed run draws what it would have drawn."""

import zlib

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from ._typing import IntScalar, Key


def stream(key: Key, name: str, step: IntScalar | int) -> Key:
    """The key of stream `name` at `step`; streams of different names are independent."""
    return jr.fold_in(jr.fold_in(key, zlib.crc32(name.encode())), step)


def as_key(seed: object) -> Key:
    """A typed key from an integer seed, an integer array of any shape, or a typed key, which is returned as it is.

    **Raises:** `TypeError` for anything else, `ValueError` for a negative Python integer.
    """
    if isinstance(seed, jax.Array) and jnp.issubdtype(seed.dtype, jax.dtypes.prng_key):
        return seed
    integer = isinstance(seed, int | np.integer | np.ndarray | jax.Array) and not isinstance(seed, bool)
    if not integer or not jnp.issubdtype(jnp.result_type(seed), jnp.integer):
        raise TypeError(f"`seed` must be an integer, an integer array or a typed key (`jax.random.key`), got {seed!r}.")
    if isinstance(seed, int) and seed < 0:
        raise ValueError(f"`seed` must not be negative, got {seed}.")
    return jr.key(seed)  # pyright: ignore[reportArgumentType]
