"""Normalised inputs: the statistics are NumPy's, and a learner inside sees every task in one unit."""

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
from strategies import tiny


@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_statistics_are_those_of_all_samples(batches, size, seed):
    from deepcrl.agents import RunningStatistics

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


def test_before_the_first_batch_nothing_changes_and_a_constant_does_no_harm():
    from deepcrl.agents import RunningStatistics

    fresh, x = RunningStatistics.fresh(2), jnp.array([3.0, -7.0])
    assert np.array_equal(fresh(x), x)
    assert np.array_equal(fresh.after(jnp.stack([x, x]))(x), [0.0, 0.0])


def affine(tree, size, goal_size):
    """Observations and goals of a batch in other units, with another origin."""
    scale, shift = np.float32(2.0 ** np.arange(-3, size - 3)), np.float32(np.arange(size))
    move = jax.vmap(lambda x: x * scale[: x.size] + shift[: x.size])
    outcome = dataclasses.replace(tree.outcome, next_observation=move(tree.outcome.next_observation))
    return dataclasses.replace(tree, observation=move(tree.observation), goal=move(tree.goal), outcome=outcome)


@pytest.mark.parametrize("name", ["CRL", "SAC", "TD3", "GCBC", "GCSL"])
def test_units_and_origins_make_no_difference(name):
    """To what is learnt, what is done and what it is worth."""
    from deepcrl import agents
    from deepcrl.agents import AgentSpec, WithNormalizer

    agent = WithNormalizer(learner=getattr(agents, name)(depth=4, width=8))
    spec = AgentSpec(observation_size=4, goal_size=2, action_size=2)
    batches = [random_td_batch(jr.key(n), 16, observation_size=4, goal_size=2, action_size=2) for n in (0, 1)]
    hypers = agent.hypers()

    @jax.jit
    def learnt(batches):
        state = agent.init(spec, key=jr.key(0))
        for number, batch in enumerate(batches):
            state, metrics = agent.update(state, batch, hypers, key=jr.key(number))
        observation, goal = batches[0].observation[0], batches[0].goal[0]
        action = agent.act(state, observation, goal, hypers, key=jr.key(3))
        return state.learner, metrics, action, agent.value(state, observation, goal, hypers, jnp.ones(2) / 2)

    mine, other = learnt(batches), learnt([affine(batch, 4, 2) for batch in batches])
    for leaf, like in zip(jtu.tree_leaves(mine), jtu.tree_leaves(other), strict=True):
        np.testing.assert_allclose(leaf, like, rtol=1e-3, atol=1e-3)


def test_the_learner_is_updated_on_normalised_batches():
    """Next observations too."""
    from deepcrl.agents import AgentSpec, SAC, WithNormalizer

    learner = SAC(depth=4, width=8)
    agent, spec = WithNormalizer(learner=learner), AgentSpec(observation_size=4, goal_size=2, action_size=2)
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
        outcome=dataclasses.replace(
            batch.outcome, next_observation=unit(batch.outcome.next_observation, batch.observation)
        ),
    )
    mine, expected = learnt(agent, batch).learner, learnt(learner, seen)
    for leaf, like in zip(jtu.tree_leaves(mine), jtu.tree_leaves(expected), strict=True):
        np.testing.assert_allclose(leaf, like, rtol=1e-3, atol=1e-4)


def test_a_collector_inside_sees_the_same():
    from deepcrl import make_train
    from deepcrl.agents import CRL, Random, WithCollector, WithNormalizer

    agent = WithNormalizer(learner=WithCollector(learner=CRL(depth=4, width=8), collector=CRL(depth=8, width=8)))
    train = make_train(dataclasses.replace(tiny(), agent=agent.learner, normalize_observations=True))
    assert train.agent == agent
    state = jax.eval_shape(train.init, 0)
    actor = agent.collecting(state.agent, state.hypers)
    assert actor.agent == WithNormalizer(learner=agent.learner.collector)
    assert actor.state.learner is state.agent.learner.collector
    assert actor.state.observation is state.agent.observation
    assert not WithNormalizer(learner=Random()).has_critic


def test_a_run_of_lanes_and_its_policy(tmp_path):
    """Two widths; what is exported acts as the run does."""
    from deepcrl import lanes, load_policy
    from deepcrl.runs import export_policy, load_policies, run

    config = tiny(normalize_observations=True)
    seeds, hypers = lanes(config, seeds=[0, 0], width=(4, 8), zipped=True)
    result = run(config, seeds=seeds.tolist(), hypers=hypers, out=tmp_path / "run")
    statistics = result.state.agent.observation
    assert (statistics.batches == config.actual_updates).all()
    assert (np.asarray(statistics.variance) != 1.0).all() and np.isfinite(statistics.mean).all()
    trained = load_policies(tmp_path / "run", best=False)
    observation, goal = jnp.array([0.3, -0.2, 0.1, 0.0]), jnp.array([0.5, 0.5])
    for lane, policy in enumerate(trained):
        export_policy(tmp_path / "run", tmp_path / f"policy{lane}", lane=lane)
        action = load_policy(tmp_path / f"policy{lane}")(observation, goal)
        assert np.array_equal(action, policy(observation, goal))
    plain = dataclasses.replace(trained[0], agent=trained[0].agent.learner, state=trained[0].state.learner)
    assert not np.allclose(plain(observation, goal), trained[0](observation, goal))
