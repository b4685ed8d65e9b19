"""Steps whose simulation breaks down are counted for every lane, and the latest can be taken again."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from strategies import registering, tiny


LIMIT = 1.0  # of actions in [-2, 2]: an untrained policy passes it now and then


class FragileState(eqx.Module):
    x: jax.Array
    goal: jax.Array
    broken: jax.Array


def fragile_class():
    from deepcrl.envs import AbstractGoalEnv, Box, GoalObservation

    class Fragile(AbstractGoalEnv):
        """A point on a plane; a push to the right beyond the limit breaks it."""

        limit: float = eqx.field(default=LIMIT, static=True)

        @property
        def default_params(self):
            return {"speed": jnp.float32(0.1)}

        def observation_space(self, params):
            return GoalObservation(*[Box(-9.0, 9.0, (2,))] * 3)

        def action_space(self, params):
            return Box(-2.0, 2.0, (2,))

        def reset_env(self, key, params):
            x, goal = jr.uniform(key, (2, 2), minval=-1.0, maxval=1.0)
            return FragileState(x, goal, jnp.zeros((), bool))

        def step_env(self, key, inner, action, params):
            broken = action[0] > self.limit
            x = jnp.where(broken, inner.x, jnp.clip(inner.x + params["speed"] * action, -9.0, 9.0))
            return FragileState(x, inner.goal, broken), jnp.zeros(()), broken

        def failed(self, inner, params):
            return inner.broken

        def observe(self, inner, params):
            return GoalObservation(inner.x, inner.x, inner.goal)

        def distance(self, achieved_goal, desired_goal, params):
            return jnp.max(jnp.abs(achieved_goal - desired_goal))

        def success(self, achieved_goal, desired_goal, params):
            return self.distance(achieved_goal, desired_goal, params) < 0.2

    return Fragile


SEEDS = (3, 4)


@pytest.fixture(scope="module")
def run_of(tmp_path_factory):
    """A run whose buffer keeps every step, and its folder."""
    from deepcrl import register
    from deepcrl.runs import run

    out = tmp_path_factory.mktemp("fragile")
    with registering():
        register(fragile_class(), "fragile")
        config = dataclasses.replace(tiny(), env="fragile", buffer_length=200)
        yield run(config, seeds=SEEDS, out=out), out


def failures_of(state):
    """What the buffer knows: the observation and action (in the environment's units) of every failed step, oldest first."""
    data, steps = state.queue.data, int(state.queue.num_added)
    action = 2.0 * np.asarray(data.action[:, :steps])
    failed = action[..., 0] > LIMIT
    np.testing.assert_array_equal(np.asarray(data.terminated[:, :steps]), failed)
    time, env = np.nonzero(failed.T)
    # Of several at once, the environment with the lowest number is kept.
    order = np.lexsort((-env, time))
    return np.asarray(data.observation)[env[order], time[order]], action[env[order], time[order]]


def test_failed_steps_are_counted_for_every_lane(run_of):
    result, _ = run_of
    for lane in range(len(SEEDS)):
        rows = [row for row in result.rows if row["lane"] == lane]
        seen = len(failures_of(result.state(lane))[0])
        assert 0 < rows[0]["failed_steps"] <= rows[1]["failed_steps"] == seen < rows[1]["env_steps"] / 2
    physics = [(alarm.epoch, alarm.lane) for alarm in result.alarms if alarm.kind == "physics"]
    assert physics == [(1, 0), (1, 1)]


@pytest.mark.parametrize("lane", range(len(SEEDS)))
def test_the_latest_failed_step_is_kept_and_fails_again(run_of, lane):
    from deepcrl.runs import load_failed_step

    result, out = run_of
    step = load_failed_step(out, lane)
    observations, actions = failures_of(result.state(lane))
    assert step.count == len(observations)
    np.testing.assert_array_equal(step.inner.x, observations[-1])
    np.testing.assert_allclose(step.action, actions[-1], rtol=1e-6)
    after, _, ended = step.env.step_env(jr.key(0), step.inner, step.action, step.params)
    assert after.broken and ended and not step.inner.broken


def test_a_lane_without_failed_steps_has_none_to_load(swept, tmp_path):
    from deepcrl.runs import load_failed_step, Plan, RunFolder

    folder = RunFolder(tmp_path)
    folder.begin(Plan(tiny(), swept.lanes))
    with pytest.raises(ValueError, match="has no checkpoint"):
        load_failed_step(tmp_path)
    store = folder.store()
    store.save(swept.states, 2, 0.0, {})
    store.wait()
    with pytest.raises(ValueError, match="No step of lane 0 of the run"):
        load_failed_step(tmp_path)
    with pytest.raises(ValueError, match="one of the run's 3, from 0; got 3"):
        load_failed_step(tmp_path, lane=3)


def test_a_robot_that_broke_down_breaks_down_again():
    from deepcrl import envs
    from deepcrl.train._collected import Failures

    env, params = envs.make("reacher", engine="native")
    many = envs.VectorEnv(env, 3)
    _, state = many.reset(jr.key(0), params)
    size = env.action_space(params).shape[0]
    action = jnp.linspace(-1.0, 1.0, 3 * size).reshape(3, size)
    failures = Failures.none(state.inner, size)

    def step(state, failures):
        *_, info = many.step(jr.key(1), state, action, params)
        return failures.after(info["failed"], state.inner, action)

    step = jax.jit(step)
    assert int(step(state, failures).count) == 0
    qvel = state.inner.physics.qvel.at[1].set(1e20)
    state = eqx.tree_at(lambda s: s.inner.physics.qvel, state, qvel)
    failures = step(state, failures)
    assert int(failures.count) == 1
    np.testing.assert_array_equal(failures.inner.physics.qvel, qvel[1])
    np.testing.assert_array_equal(failures.action, action[1])
    after, _, ended = env.step_env(jr.key(0), failures.inner, failures.action, params)
    assert ended and after.physics.failed and jnp.isfinite(after.physics.qvel).all()


@pytest.mark.parametrize("push, failed, length", [(1.0, 1.0, 1.0), (0.0, 0.0, 5.0)])
def test_evaluations_count_the_episodes_that_broke_down(push, failed, length):
    from deepcrl.eval import evaluate

    env = fragile_class()(episode_length=5)
    metrics = evaluate(env, env.default_params, lambda *_, key: jnp.array([push, 0.0]), 3, key=jr.key(0))
    assert (metrics.failed_episodes, metrics.episode_length) == (failed, length)
