"""Normalised inputs: the statistics are NumPy's, constants are not blown up, and a learner sees every task in one unit."""

import dataclasses

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import pytest
from hypothesis import given
from references import random_td_batch


@given(st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 6]), st.integers(0, 2**32 - 1))
def test_statistics_are_those_of_all_samples(batches, size, seed):
    from deepcrl.agents._normalizer import RunningStatistics

    spread, centre = np.array([1.0, 0.01, 300.0]), np.array([0.0, 2.0, -900.0])
    samples = np.random.default_rng(seed).normal(size=(batches, size, 3)) * spread + centre
    statistics = RunningStatistics.fresh(3)
    for batch in samples.astype(np.float32):
        statistics = statistics.after(jnp.asarray(batch))
    pooled = samples.reshape(-1, 3)
    np.testing.assert_allclose(statistics.mean, pooled.mean(axis=0), rtol=1e-5, atol=1e-5)
    # float32 sees spreads down to about 1e-7 of the mean
    np.testing.assert_allclose(statistics.variance, pooled.var(axis=0), rtol=1e-3, atol=1e-3)
    assert statistics.batches == batches


def test_what_hardly_varies_is_not_blown_up():
    """A ball that was never touched: its first true change is a number of the size of others, not one of thousands."""
    from deepcrl.agents._normalizer import RunningStatistics

    fresh, x = RunningStatistics.fresh(2), jnp.array([3.0, -7.0])
    assert np.array_equal(fresh(x), x)  # before the first batch nothing changes
    constant = fresh.after(jnp.stack([x, x]))
    assert np.array_equal(constant(x), [0.0, 0.0])
    np.testing.assert_allclose(constant(x + jnp.array([0.02, -0.001])), [2.0, -0.1], rtol=1e-3)  # floor of 0.01
    assert np.array_equal(constant(x + jnp.array([1.0, -1.0])), [10.0, -10.0])  # clip at 10
    varied = fresh.after(jnp.array([[-5.0, 0.0], [5.0, 0.004]]))
    np.testing.assert_allclose(varied(jnp.array([10.0, 0.012])), [2.0, 1.0], rtol=1e-5)  # floor below, std above it


def affine(tree, size, goal_size):
    """Observations and goals of a batch in other units, with another origin."""
    scale, shift = np.float32(2.0 ** np.arange(-3, size - 3)), np.float32(np.arange(size))
    move = jax.vmap(lambda x: x * scale[: x.size] + shift[: x.size])
    led_to = dataclasses.replace(tree.next, observation=move(tree.next.observation))
    return dataclasses.replace(tree, observation=move(tree.observation), goal=move(tree.goal), next=led_to)


@pytest.mark.parametrize("name", ["CRL", "TD3"])
def test_units_and_origins_make_no_difference(name):
    """To what is learnt, what is done and what it is worth; CRL has no next steps in its batches, TD3 bootstraps."""
    from deepcrl import agents
    from deepcrl.agents import AgentSpec
    from deepcrl.agents._normalizer import Normalized

    agent = Normalized(learner=getattr(agents, name)(depth=4, width=8))
    spec = AgentSpec(observation_size=4, goal_size=2, action_size=2)
    batches = [random_td_batch(jr.key(n), 16, observation_size=4, goal_size=2, action_size=2) for n in (0, 1)]
    hypers = agent.hypers()

    @jax.jit
    def learnt(batches):
        state = agent.init(spec, key=jr.key(0))
        for number, batch in enumerate(batches):
            batch = batch if agent.replay.keeps_next else dataclasses.replace(batch, next=None)
            state, metrics = agent.update(state, batch, hypers, key=jr.key(number))
        observation, goal = batches[0].observation[0], batches[0].goal[0]
        action = agent.act(state, observation, goal, hypers, key=jr.key(3))
        return state.learner, metrics, action, agent.value(state, observation, goal, hypers, jnp.ones(2) / 2)

    mine, other = learnt(batches), learnt([affine(batch, 4, 2) for batch in batches])
    for leaf, like in zip(jtu.tree_leaves(mine), jtu.tree_leaves(other), strict=True):
        np.testing.assert_allclose(leaf, like, rtol=1e-3, atol=1e-3)


def test_the_learner_is_updated_on_normalised_batches():
    """Next observations too."""
    from deepcrl.agents import AgentSpec, SAC
    from deepcrl.agents._normalizer import Normalized

    learner = SAC(depth=4, width=8)
    agent, spec = Normalized(learner=learner), AgentSpec(observation_size=4, goal_size=2, action_size=2)
    batch = random_td_batch(jr.key(0), 16, observation_size=4, goal_size=2, action_size=2)

    def unit(x, like):
        x, like = np.asarray(x), np.asarray(like)
        return jnp.asarray((x - like.mean(axis=0)) / like.std(axis=0))

    def learnt(agent, batch):
        update = lambda batch: agent.update(agent.init(spec, key=jr.key(1)), batch, agent.hypers(), key=jr.key(2))[0]
        return jax.jit(update)(batch)

    seen = dataclasses.replace(
        batch,
        observation=unit(batch.observation, batch.observation),
        goal=unit(batch.goal, batch.goal),
        next=dataclasses.replace(batch.next, observation=unit(batch.next.observation, batch.observation)),
    )
    mine, expected = learnt(agent, batch).learner, learnt(learner, seen)
    for leaf, like in zip(jtu.tree_leaves(mine), jtu.tree_leaves(expected), strict=True):
        np.testing.assert_allclose(leaf, like, rtol=1e-3, atol=1e-4)
