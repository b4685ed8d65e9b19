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


def check_seed(name: str, seed: object) -> int:
    """`seed` as a Python integer.

    **Raises:** `TypeError` for what is no integer, `ValueError` for one that is not in [0, 2^32): JAX would take it for the
    one that it equals modulo 2^32.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer | np.ndarray | jax.Array):
        raise TypeError(f"`{name}` must be integers, got {seed!r}.")
    if not np.issubdtype(np.asarray(seed).dtype, np.integer) or np.ndim(seed):
        raise TypeError(f"`{name}` must be integers, got {seed!r}.")
    if not 0 <= int(seed) < 2**32:
        raise ValueError(f"`{name}` must be in [0, 2^32), got {int(seed)}.")
    return int(seed)


def as_key(seed: object) -> Key:
    """A typed key from an integer seed, an integer array of any shape, or a typed key, which is returned as it is.

    **Raises:** `TypeError` for anything else, `ValueError` for a Python integer that is not in [0, 2^32).
    """
    if isinstance(seed, jax.Array) and jnp.issubdtype(seed.dtype, jax.dtypes.prng_key):
        return seed
    if isinstance(seed, int | np.integer):
        return jr.key(np.uint32(check_seed("seed", seed)))
    if not isinstance(seed, np.ndarray | jax.Array) or not jnp.issubdtype(seed.dtype, jnp.integer):
        raise TypeError(f"`seed` must be an integer, an integer array or a typed key (`jax.random.key`), got {seed!r}.")
    if seed.shape[-1:] == (2,) and seed.dtype == jnp.uint32:
        raise TypeError("`seed` is an old-style key, as `jax.random.PRNGKey` makes it. Take `jax.random.key(...)`.")
    return jr.key(seed)  # pyright: ignore[reportArgumentType]
