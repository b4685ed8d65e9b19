"""Goal-conditioned cloning: the density of a stored action, the update, and what it learns."""

import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import pytest
from references import adam_in_numpy, largest_difference, network_rows
from scipy import stats
from strategies import fresh_state, unchecked


BATCH, OBS, GOAL, ACTION = 16, 4, 2, 2


def log_density(action, mean, log_std):
    """float64 closed form of rows."""
    action = np.clip(np.asarray(action, np.float64), -1 + 1e-6, 1 - 1e-6)
    normal = stats.norm(np.asarray(mean, np.float64), np.exp(np.asarray(log_std, np.float64)))
    return (normal.logpdf(np.arctanh(action)) - np.log(1.0 - action**2 + 1e-6)).sum(-1)


def test_the_density_of_an_action_is_the_closed_form_and_finite_at_the_ends():
    from deepcrl.nn import TanhGaussian

    mean, log_std = jnp.asarray([0.3, -0.8]), jnp.asarray([-1.0, 0.2])
    actions = jr.uniform(jr.key(0), (64, 2), minval=-0.98, maxval=0.98)
    log_prob = jax.vmap(TanhGaussian(mean, log_std).log_prob)
    np.testing.assert_allclose(log_prob(actions), log_density(actions, mean, log_std), rtol=1e-4, atol=1e-4)
    ends = jnp.asarray([[1.0, -1.0], [-1.0, 1.0]])
    assert np.isfinite(log_prob(ends)).all()
    assert np.isfinite(jax.grad(lambda m: jnp.sum(jax.vmap(TanhGaussian(m, log_std).log_prob)(ends)))(mean)).all()


def test_a_draw_has_the_density_that_it_was_drawn_with():
    from deepcrl.nn import TanhGaussian

    one = TanhGaussian(jnp.asarray([0.3, -0.2]), jnp.asarray([-1.0, -0.5]))
    actions, log_probs = jax.vmap(lambda key: one.sample_and_log_prob(key=key))(jr.split(jr.key(1), 64))
    np.testing.assert_allclose(jax.vmap(one.log_prob)(actions), log_probs, atol=2e-3)


@pytest.fixture(scope="module")
def batch():
    from deepcrl.agents import Batch

    observation, goal = jr.normal(jr.key(1), (BATCH, OBS)), jr.normal(jr.key(2), (BATCH, GOAL))
    return Batch(observation=observation, action=0.8 * jnp.tanh(goal - observation[:, :2]), goal=goal)


@pytest.fixture(scope="module", params=["GCBC", "GCSL"])
def agent(request):
    from deepcrl import agents

    return getattr(agents, request.param)(depth=4, width=8, actor_lr=3e-3)


def heads_of(policy, batch):
    heads = network_rows(policy.encoder, jnp.concatenate([batch.observation, batch.goal], axis=1))
    return heads[:, :ACTION], -5.0 + 3.5 * (jnp.tanh(heads[:, ACTION:]) + 1.0)


def test_an_update_is_an_adam_step_on_the_mean_negative_log_density(agent, batch):
    state = fresh_state(agent, OBS, GOAL, ACTION)
    new, metrics = jax.jit(lambda s: agent.update(s, batch, agent.hypers(), key=jr.key(0)))(state)
    mean, log_std = heads_of(state.policy, batch)
    np.testing.assert_allclose(metrics.loss, -log_density(batch.action, mean, log_std).mean(), rtol=1e-4)
    error = np.sqrt(np.mean((np.tanh(np.asarray(mean, np.float64)) - np.asarray(batch.action)) ** 2))
    np.testing.assert_allclose(metrics.error, error, rtol=1e-5)

    @jax.jit
    @jax.grad
    def gradient(policy):
        mean, log_std = heads_of(policy, batch)
        noise = (jnp.arctanh(batch.action) - mean) / jnp.exp(log_std)
        return jnp.mean(jnp.sum(0.5 * noise**2 + log_std, axis=1))  # the rest does not depend on the policy

    moments = [(0.0, 0.0)] * len(jtu.tree_leaves(state.policy))
    desired, _ = adam_in_numpy(state.policy, gradient(state.policy), moments, 3e-3, 1)
    assert largest_difference(new.policy, desired) < 2e-5
    assert largest_difference(new.policy, state.policy) > 2e-3


def test_actions_that_depend_on_the_goal_are_learnt(agent, batch):
    @jax.jit
    def fit(state):
        step = lambda state, key: agent.update(state, batch, agent.hypers(), key=key)
        return jax.lax.scan(step, state, jr.split(jr.key(3), 500))[1]

    metrics = fit(fresh_state(agent, OBS, GOAL, ACTION))
    assert metrics.error[0] > 0.3
    assert metrics.error[-1] < 0.2
    assert metrics.loss[-1] < metrics.loss[0] - 1.0


def test_goals_of_gcsl_are_uniform_and_recent_and_those_of_gcbc_discounted():
    from deepcrl.agents import GCBC, GCSL

    assert (GCSL().gamma, GCSL().newest_steps, GCSL().hindsight) == (1.0, 1000, "future")
    assert (GCBC().gamma, GCBC().newest_steps, GCBC().hindsight) == (0.99, None, "future")


@pytest.mark.parametrize(
    "changes, message",
    [({"hindsight": "none"}, "`hindsight` must be one of"), ({"gamma": 0.0}, "`gamma`"), ({"depth": 5}, "4 or 8")],
)
@pytest.mark.parametrize("name", ["GCBC", "GCSL"])
def test_wrong_settings_are_refused(name, changes, message):
    from deepcrl import agents

    with unchecked(), pytest.raises(ValueError, match=message):
        getattr(agents, name)(**changes)
