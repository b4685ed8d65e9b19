"""Goal-conditioned cloning: the density of a stored action, the update, and what it learns."""

import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from references import adam_in_numpy, fresh_moments, gaussian_heads, largest_difference
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


def test_an_update_is_an_adam_step_on_the_mean_negative_log_density_and_learns_to_act_by_the_goal():
    from deepcrl.agents import GCBC
    from deepcrl.replay import Batch

    observation, goal = jr.normal(jr.key(1), (BATCH, OBS)), jr.normal(jr.key(2), (BATCH, GOAL))
    batch = Batch(observation=observation, action=0.8 * jnp.tanh(goal - observation[:, :2]), goal=goal)
    agent = GCBC(depth=4, width=8, actor_lr=3e-3)
    state = fresh_state(agent, OBS, GOAL, ACTION)

    step = lambda state, key: agent.update(state, batch, agent.hypers(), key=key)
    scan = jax.jit(lambda state, keys: jax.lax.scan(step, state, keys))
    new, first = scan(state, jr.split(jr.key(3), 1))
    mean, log_std = gaussian_heads(state.policy, batch.observation, batch.goal)
    np.testing.assert_allclose(first.loss[0], -log_density(batch.action, mean, log_std).mean(), rtol=1e-4)
    error = np.sqrt(np.mean((np.tanh(np.asarray(mean, np.float64)) - np.asarray(batch.action)) ** 2))
    np.testing.assert_allclose(first.error[0], error, rtol=1e-5)

    @jax.jit
    @jax.grad
    def gradient(policy):
        mean, log_std = gaussian_heads(policy, batch.observation, batch.goal)
        noise = (jnp.arctanh(batch.action) - mean) / jnp.exp(log_std)
        return jnp.mean(jnp.sum(0.5 * noise**2 + log_std, axis=1))  # the rest does not depend on the policy

    desired, _ = adam_in_numpy(state.policy, gradient(state.policy), fresh_moments(state.policy), 3e-3, 1)
    assert largest_difference(new.policy, desired) < 2e-5
    assert largest_difference(new.policy, state.policy) > 2e-3

    _, metrics = scan(state, jr.split(jr.key(3), 500))
    assert metrics.error[0] > 0.3
    assert metrics.error[-1] < 0.2
    assert metrics.loss[-1] < metrics.loss[0] - 1.0


def test_gcsl_is_gcbc_on_goals_that_are_uniform_and_of_the_newest_steps():
    from deepcrl.agents import GCBC, GCSL
    from deepcrl.replay import FutureGoals, NewestSteps, Replay, UniformSteps

    assert (GCSL().gamma, GCSL().replay) == (1.0, Replay(steps=NewestSteps(1000), goals=FutureGoals()))
    assert (GCBC().gamma, GCBC().replay) == (0.99, Replay(steps=UniformSteps(), goals=FutureGoals()))
    assert all(getattr(GCSL, name) is getattr(GCBC, name) for name in ("__post_init__", "init", "act", "update"))
    fields = [{field.name: (field.type, field.metadata) for field in dataclasses.fields(kind)} for kind in (GCSL, GCBC)]
    assert fields[0] == fields[1]


@pytest.mark.parametrize("changes, message", [({"gamma": 0.0}, "`gamma`"), ({"depth": 5}, "4 or 8")])
def test_wrong_settings_are_refused(changes, message):
    from deepcrl.agents import GCBC

    with unchecked(), pytest.raises(ValueError, match=message):
        GCBC(**changes)
