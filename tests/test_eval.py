"""Evaluation: the first episode of each environment and nothing else, against NumPy and scripted policies."""

import equinox as eqx
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given
from strategies import tiny


TIME, ENVS = 6, 4
METRICS = jax.jit(lambda episodes: episodes.metrics())
RIGHT, LEFT = jnp.array([0.0, 1.0]), jnp.array([0.0, -1.0])


@given(
    lengths=hnp.arrays(np.int32, ENVS, elements=st.integers(1, TIME)),
    success=hnp.arrays(bool, (TIME, ENVS)),
    distance=hnp.arrays(np.float32, (TIME, ENVS), elements=st.floats(0.0, 100.0, width=32)),
    failed=hnp.arrays(bool, (TIME, ENVS)),
)
def test_metrics_are_means_over_first_episodes(lengths, success, distance, failed):
    from deepcrl.eval import Episodes

    alive = np.arange(TIME)[:, None] < lengths[None, :]
    arrays = {"alive": alive, "success": success, "distance": distance, "failed": failed}
    metrics = METRICS(Episodes(obs=None, **{name: jnp.asarray(array) for name, array in arrays.items()}))
    first = [(success[:n, env], distance[:n, env]) for env, n in enumerate(lengths)]
    close = lambda actual, desired: np.testing.assert_allclose(actual, desired, rtol=1e-5, atol=1e-5)
    close(metrics.success_any, np.mean([hits.any() for hits, _ in first]))
    close(metrics.time_at_goal, np.mean([hits.sum() for hits, _ in first]))
    close(metrics.success_end, np.mean([hits[-1] for hits, _ in first]))
    close(metrics.distance, np.mean([far[-1] for _, far in first], dtype=np.float64))
    close(metrics.episode_length, np.mean(lengths))
    close(metrics.failed_episodes, np.mean([failed[:n, env].any() for env, n in enumerate(lengths)]))


@pytest.fixture(scope="module")
def stairs():
    """One number that an action moves by one; the goal is 2, and the task ends at 3 or above."""
    from deepcrl.envs import AbstractGoalEnv, Box, GoalObservation

    class Stairs(AbstractGoalEnv):
        @property
        def default_params(self):
            return jnp.zeros(())

        def observation_space(self, params):
            return GoalObservation(*[Box(-10.0, 10.0, (1,))] * 3)

        def action_space(self, params):
            return Box(-1.0, 1.0, (1,))

        def reset_env(self, key, params):
            return jnp.zeros(1)

        def step_env(self, key, inner, action, params):
            inner = inner + action
            return inner, jnp.zeros(()), inner[0] > 2.5

        def observe(self, inner, params):
            return GoalObservation(inner, inner, jnp.full(1, 2.0))

        def distance(self, achieved_goal, desired_goal, params):
            return jnp.abs(achieved_goal - desired_goal)[0]

        def success(self, achieved_goal, desired_goal, params):
            return self.distance(achieved_goal, desired_goal, params) < 0.5

    return Stairs(episode_length=10)


def always(action):
    return lambda observation, goal, *, key: action


def test_an_episode_that_the_task_ends_counts_once(stairs):
    from deepcrl.eval import rollout_episodes

    params = stairs.default_params
    up = rollout_episodes(stairs, params, always(jnp.ones(1)), 3, key=jr.key(0))
    np.testing.assert_array_equal(up.success[:, 0], [0, 1, 0, 0, 1, 0, 0, 1, 0, 0])  # three episodes and a bit
    np.testing.assert_array_equal(up.alive[:, 0], [1, 1, 1] + [0] * 7)
    np.testing.assert_array_equal(up.obs.observation[:4, 0, 0], [0.0, 1.0, 2.0, 0.0])
    metrics = up.metrics()
    assert (metrics.success_any, metrics.time_at_goal, metrics.success_end) == (1.0, 1.0, 0.0)
    assert (metrics.episode_length, metrics.distance) == (3.0, 1.0)


def test_success_in_a_later_episode_does_not_count(stairs):
    from deepcrl.eval import evaluate

    class Impatient(type(stairs)):
        """Ends before the goal, and from then on starts at it."""

        def reset_env(self, key, params):
            return jnp.where(params > 0, 2.0, 0.0) * jnp.ones(1)

        def step_env(self, key, inner, action, params):
            return inner + action, jnp.zeros(()), inner[0] > 0.5

    env = Impatient(episode_length=10)
    still = always(jnp.zeros(1))
    assert evaluate(env, jnp.ones(()), still, 2, key=jr.key(0)).time_at_goal == 1.0  # of ten episodes of one step
    assert evaluate(env, jnp.zeros(()), still, 2, key=jr.key(0)).time_at_goal == 0.0


@pytest.fixture(scope="module")
def corridor():
    from deepcrl.envs import make

    return make("point_maze", maze="11111/1R0G1/11111", episode_length=60)


def test_scripted_policies_score_what_they_must(corridor):
    from deepcrl.eval import rollout_episodes

    env, params = corridor
    run = jax.jit(lambda action, key: rollout_episodes(env, params, always(action), 16, key=key))
    right, left, still = (run(action, jr.key(3)) for action in (RIGHT, LEFT, 0.0 * RIGHT))
    good, bad = right.metrics(), left.metrics()
    assert (good.success_any, good.success_end, good.episode_length) == (1.0, 1.0, 60.0)
    assert 30.0 < good.time_at_goal < 60.0
    assert good.distance < 0.5
    assert (bad.success_any, bad.success_end, bad.time_at_goal) == (0.0, 0.0, 0.0)
    assert 2.0 < bad.distance < 2.5  # at the left wall, two cells and a bit from the goal
    assert right.alive.all()
    # A policy that does nothing stays where it starts, up to 0.2 m from the cell's centre in both axes.
    np.testing.assert_array_equal(still.obs.observation[0], still.obs.observation[-1])
    assert len(np.unique(still.distance[-1])) == 16


def test_a_policy_that_reads_its_goal_and_its_key_gets_them(corridor):
    from deepcrl.eval import rollout_episodes

    env, params = corridor

    def noisy_seeker(observation, goal, *, key):
        return jnp.clip(5.0 * (goal - observation[:2]) + 0.01 * jr.normal(key, (2,)), -1.0, 1.0)

    run = jax.jit(lambda key: rollout_episodes(env, params, noisy_seeker, 8, key=key))
    one, again, other = (run(jr.key(seed)) for seed in (0, 0, 1))
    assert one.metrics().success_any == 1.0
    assert one.metrics().success_end == 1.0
    assert eqx.tree_equal(one, again)
    assert (one.obs.observation[0] != other.obs.observation[0]).any()


def test_observations_are_kept_on_request_only(corridor):
    from deepcrl.eval import evaluate, rollout_episodes

    env, params = corridor
    lean = rollout_episodes(env, params, always(RIGHT), 4, key=jr.key(0), keep_obs=False)
    full = rollout_episodes(env, params, always(RIGHT), 4, key=jr.key(0))
    assert lean.obs is None
    assert full.obs.observation.shape == (60, 4, 4)
    assert eqx.tree_equal(lean.metrics(), full.metrics(), evaluate(env, params, always(RIGHT), 4, key=jr.key(0)))


def test_evaluation_draws_fresh_starts_and_goals_even_where_training_repeats_its_first():
    from deepcrl.eval import rollout_episodes

    options = {"env": "point_big_maze", "env_options": {"goals": "free"}, "episode_length": 2}
    cached, fresh = (tiny(goal_reset=goal_reset, **options) for goal_reset in ("cached", "resample"))
    assert cached.make_env()[0].goal_reset == "cached"

    def goals_by(config):
        env, params = config.make_eval_env()
        return jax.jit(lambda key: rollout_episodes(env, params, always(RIGHT), 32, key=key).obs.desired_goal[0])

    goals = goals_by(cached)
    np.testing.assert_array_equal(goals(jr.key(0)), goals_by(fresh)(jr.key(0)))
    assert (goals(jr.key(0)) != goals(jr.key(1))).any(axis=1).mean() > 0.5
    assert len(np.unique(goals(jr.key(0)), axis=0)) > 10
