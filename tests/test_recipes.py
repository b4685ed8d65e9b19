"""Recipes: the single file of contrastive RL computes what the library computes."""

import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
import pytest


RECIPES = Path(__file__).parent.parent / "recipes"
EPOCHS = 3
# Sizes of the settings that mean the same on both sides; two buffers' worth of steps, so that the ring turns.
SHARED = {
    "env": "point_u_maze",
    "total_env_steps": 4 * 20 * 3 + EPOCHS * 4 * 20 * 5,
    "epochs": EPOCHS,
    "num_envs": 4,
    "rollout_length": 20,
    "batch_size": 16,
    "buffer_length": 300,
    "prefill_length": 60,
    "eval_envs": 8,
}
NETWORK = {"depth": 8, "width": 16, "repr_dim": 8, "gamma": 0.9, "target_entropy": -0.3}


@pytest.fixture(scope="module")
def single_file():
    return runpy.run_path(str(RECIPES / "single_file_crl.py"))


@pytest.fixture(scope="module")
def both(single_file):
    """The states and losses of three epochs by the single file, and the library's result."""
    from deepcrl import Config, make_train
    from deepcrl.agents import CRL

    settings = single_file["Settings"](**SHARED, **NETWORK, learning_rate=1e-3, penalty=0.2, updates_per_rollout=4)
    init, epoch = single_file["make_program"](settings)
    agent = CRL(**NETWORK, actor_lr=1e-3, critic_lr=1e-3, alpha_lr=1e-3, logsumexp_penalty=0.2)
    train = make_train(Config(**SHARED, agent=agent, utd_ratio=4 / (4 * 20)))
    state, root_key = jax.jit(init)(7)
    epoch = jax.jit(epoch)
    losses, successes = [], []
    with jax.numpy_dtype_promotion("standard"):  # optax raises a float to an integer step count
        for _ in range(EPOCHS):
            state, loss, evaluation = epoch(state, root_key)
            losses.append(loss)
            successes.append(evaluation)
    evaluations = jtu.tree_map(lambda *leaves: jnp.stack(leaves), *successes)
    return state, jnp.stack(losses), evaluations, train(7)


def test_the_single_file_computes_what_the_library_computes(both):
    state, losses, evaluations, result = both
    assert int(state.env_steps) == int(result.state.env_steps) == SHARED["total_env_steps"]
    assert int(state.updates) == int(result.state.grad_steps) == EPOCHS * 5 * 4
    np.testing.assert_allclose(losses, result.metrics.agent.critic.loss, rtol=1e-4)
    for name in ("policy", "critic", "log_alpha"):
        mine, theirs = getattr(state.learner, name), getattr(result.state.agent, name)
        for a, b in zip(jtu.tree_leaves(mine), jtu.tree_leaves(theirs), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    for a, b in zip(jtu.tree_leaves(state.queue), jtu.tree_leaves(result.state.queue), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(evaluations.distance, result.metrics.evaluation.distance, rtol=1e-3)


def test_the_defaults_of_the_single_file_are_the_librarys(single_file):
    from deepcrl import Config
    from deepcrl.agents import CRL

    settings, config, agent = single_file["Settings"](), Config(env="point_u_maze"), CRL()
    for name in ("num_envs", "rollout_length", "batch_size", "buffer_length", "prefill_length", "eval_envs"):
        assert getattr(settings, name) == getattr(config, name), name
    assert settings.updates_per_rollout == config.updates_per_step
    for name in ("depth", "repr_dim", "gamma", "target_entropy"):
        assert getattr(settings, name) == getattr(agent, name), name
    assert settings.learning_rate == agent.actor_lr == agent.critic_lr == agent.alpha_lr
    assert settings.penalty == agent.logsumexp_penalty
