"""How tests compare trees: bit for bit, or but for rounding."""

import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np


def named(tree):
    """The leaves by name, as NumPy arrays; of typed keys the data."""
    is_key = lambda leaf: jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    as_array = lambda leaf: np.asarray(jr.key_data(leaf) if is_key(leaf) else leaf)
    return {jtu.keystr(path): as_array(leaf) for path, leaf in jtu.tree_leaves_with_path(tree)}


def lane(tree, index):
    return jtu.tree_map(lambda leaf: leaf[index], tree)


def copied(tree):
    """To be donated."""
    return jtu.tree_map(jnp.copy, tree)


def assert_equal(actual, desired):
    actual, desired = named(actual), named(desired)
    assert actual.keys() == desired.keys()
    for name in actual:
        np.testing.assert_array_equal(actual[name], desired[name], err_msg=name)


def assert_near(actual, desired, tolerance, name):
    """Near on the whole, and nowhere far.

    Adam steps a weight that has hardly a gradient either way, by rounding, and gradients that follow differ more than
    weights do; accuracy counts ties, which rounding decides.
    """
    tolerance = 0.13 if name.endswith("accuracy") else 100 * tolerance if "_opt" in name else tolerance
    difference, size = actual - desired, np.sqrt(np.mean(np.square(desired)))
    assert np.sqrt(np.mean(np.square(difference))) <= tolerance * (1.0 + size), name
    assert np.abs(difference).max() <= 10 * tolerance * (1.0 + size), name


def assert_close(actual, desired, tolerance=1e-4):
    """Integers, booleans and keys are equal, floats are near."""
    actual, desired = named(actual), named(desired)
    assert actual.keys() == desired.keys()
    for name, array in actual.items():
        if array.dtype.kind == "f":
            assert_near(array, desired[name], tolerance, name)
        else:
            np.testing.assert_array_equal(array, desired[name], err_msg=name)
