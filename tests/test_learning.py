"""Training from scratch reaches what the quick start promises. Minutes: `pytest -m learning tests/test_learning.py`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest


# Fields of the config that the quick start of the README uses.
QUICKSTART = {}
SEEDS = (0, 1, 2)


@pytest.mark.learning
def test_the_point_learns_the_u_maze_from_scratch():
    from deepcrl import Config, make_train

    config = Config(**{"env": "point_u_maze", **QUICKSTART})
    assert config.epochs >= 10
    success = np.asarray(jax.vmap(make_train(config))(jnp.asarray(SEEDS)).metrics.success_any)
    assert success.shape == (len(SEEDS), config.epochs)
    assert (success[:, -5:].mean(axis=1) >= 0.9).all(), success
