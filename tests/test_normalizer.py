"""Normalised inputs: the statistics are NumPy's, constants are not blown up, and a learner sees every task in one unit."""

import dataclasses

import hypothesis.strategies as st
import jax.numpy as jnp
import jax.random as jr
import numpy as np
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


def test_learners_see_normalised_inputs_alone():
    """In batches, next observations too; when acting; and when asked for a value. By NumPy, of all batches so far."""
    from deepcrl.agents import AbstractAgent, AgentSpec
    from deepcrl.agents._normalizer import Normalized
    from deepcrl.replay import AbstractReplay, CommandedGoals, Replay

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Witness(AbstractAgent):
        """Its state is the batch that it saw last, its actions and values are its inputs."""

        replay: AbstractReplay = Replay(goals=CommandedGoals())

        def init(self, spec, *, key):
            return None

        def act(self, state, observation, goal, hypers, *, key, deterministic=False):
            return jnp.concatenate([observation, goal])

        def value(self, state, observation, goal, hypers, action=None):
            return jnp.sum(observation) - jnp.sum(goal)

        def update(self, state, batch, hypers, *, key):
            return batch, None

    agent = Normalized(learner=Witness())
    state, hypers = agent.init(AgentSpec(observation_size=4, goal_size=2, action_size=2), key=jr.key(0)), agent.hypers()
    scale, shift = np.float32([0.125, 1.0, 30.0, 4.0]), np.float32([0.0, -7.0, 100.0, 3.0])  # other units and origins
    batches = []
    for number in range(2):
        drawn = random_td_batch(jr.key(number), 16, observation_size=4, goal_size=2, action_size=2)
        led_to = dataclasses.replace(drawn.next, observation=drawn.next.observation * scale[None] + shift[None])
        changes = {"observation": drawn.observation * scale[None] + shift[None], "goal": 5.0 * drawn.goal - 2.0}
        batches.append(dataclasses.replace(drawn, **changes, next=led_to))
        state, _ = agent.update(state, batches[-1], hypers, key=jr.key(number))

    def unit(x, name):
        pooled = np.concatenate([np.asarray(getattr(batch, name), np.float64) for batch in batches])
        return (np.asarray(x, np.float64) - pooled.mean(axis=0)) / pooled.std(axis=0)

    close = lambda one, two: np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-4)
    seen, last = state.learner, batches[-1]
    close(seen.observation, unit(last.observation, "observation"))
    close(seen.goal, unit(last.goal, "goal"))
    close(seen.next.observation, unit(last.next.observation, "observation"))
    same = [(seen.action, last.action), (seen.next.reward, last.next.reward)]
    assert all(np.array_equal(*pair) for pair in [*same, (seen.next.terminated, last.next.terminated)])
    inputs = last.observation[0], last.goal[0]
    observation, goal = unit(inputs[0], "observation"), unit(inputs[1], "goal")
    close(agent.act(state, *inputs, hypers, key=jr.key(0)), np.concatenate([observation, goal]))
    close(agent.value(state, *inputs, hypers), observation.sum() - goal.sum())
    without, _ = agent.update(state, dataclasses.replace(last, next=None), hypers, key=jr.key(0))
    assert without.learner.next is None
