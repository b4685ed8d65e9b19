"""A collector apart: it runs as it does alone, the learner is what is evaluated, and any two agents go together."""

import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import pytest
from references import largest_difference
from strategies import fresh_state, tiny


SMALL = {"width": 8, "depth": 4}


@pytest.fixture(scope="module")
def trainer():
    from deepcrl import make_train
    from deepcrl.agents import SAC
    from deepcrl.replay import hindsight_replay

    agent = SAC(**SMALL, replay=hindsight_replay())
    return make_train(dataclasses.replace(tiny(), agent=agent, collector=tiny().agent))


@pytest.fixture(scope="module")
def result(trainer):
    """Of the seed of the fixture `trained`."""
    return trainer(0)


def test_the_collector_and_the_buffer_are_those_of_its_run_alone(trained, result):
    alone, together = trained.state, result.state
    assert largest_difference(together.collector, alone.agent) < 1e-5
    stored = dataclasses.replace(together.queue.data, next_observation=None, next_achieved_goal=None)
    assert largest_difference(dataclasses.replace(together.queue, data=stored), alone.queue) < 1e-5
    assert (together.grad_steps, together.env_steps) == (alone.grad_steps, alone.env_steps)


def test_the_learner_learns_and_is_what_is_evaluated(trainer, result):
    fresh = fresh_state(trainer.agent, 4, 2, 2)
    pairs = zip(jtu.tree_leaves(fresh.policy), jtu.tree_leaves(result.state.agent.policy), strict=True)
    assert all((np.asarray(new) != np.asarray(old)).any() for old, new in pairs)
    assert all(np.isfinite(leaf).all() for leaf in jtu.tree_leaves(result.metrics))
    assert {"critic/target", "actor/entropy"} <= result.metrics.columns().keys()  # SAC's
    observation, goal, hypers = jnp.ones(4), -jnp.ones(2), trainer.config.hypers()
    mode = trainer.agent.act(result.state.agent, observation, goal, hypers, key=jr.key(0), deterministic=True)
    assert jnp.array_equal(trainer.policy(result.state)(observation, goal, key=jr.key(1)), mode)
    # Nothing of the collector is looked at.
    jax.eval_shape(trainer.one_evaluation, dataclasses.replace(result.state, collector=None))


def test_the_buffer_stores_ends_of_steps_if_either_agent_asks():
    from deepcrl import make_train
    from deepcrl.agents import CRL, SAC

    crl, sac = CRL(**SMALL), SAC(**SMALL)
    sizes = {
        (agent, collector): make_train(dataclasses.replace(tiny(), agent=agent, collector=collector)).buffer_bytes()
        for agent, collector in ((crl, None), (crl, crl), (sac, None), (sac, crl), (crl, sac))
    }
    small, large = sizes[crl, None], sizes[sac, None]
    assert large - small == 4 * (4 + 2) * tiny().num_envs * tiny().buffer_length
    assert sizes == {(crl, None): small, (crl, crl): small, (sac, None): large, (sac, crl): large, (crl, sac): large}


def test_what_a_step_led_to_is_the_true_observation_also_where_an_episode_ends(trainer, result):
    """Recomputed by the physics; the next row, which the reset wrote, is something else there."""
    from deepcrl.envs._tasks._point_maze import PointMazeState

    env, params, queue = trainer.env, trainer.env_params, result.state.queue

    def end(observation, action, goal):
        inner = PointMazeState(
            position=env.goal_place(observation[:2]), velocity=0.2 * observation[2:], goal=env.goal_place(goal)
        )
        return env.observe(env.step_env(jr.key(0), inner, action, params)[0], params)

    length = trainer.config.buffer_length
    order = (int(queue.num_added) + np.arange(length)) % length  # from the oldest step on
    rows = jtu.tree_map(lambda leaf: np.asarray(leaf)[:, order], queue.data)
    ends = jax.jit(jax.vmap(jax.vmap(end)))(rows.observation, rows.action, rows.desired_goal)
    np.testing.assert_allclose(rows.next_observation, ends.observation, atol=1e-5)
    np.testing.assert_allclose(rows.next_achieved_goal, ends.achieved_goal, atol=1e-5)
    last = rows.truncated[:, :-1]
    same = np.isclose(rows.next_observation[:, :-1], rows.observation[:, 1:], atol=1e-6).all(axis=-1)
    assert last.any() and same[~last].all() and not same[last].any()


def test_any_two_agents_go_together():
    """Traced, not run: what both have to do with the loop are shapes."""
    from deepcrl import make_train
    from deepcrl.agents import GCBC, GCSL, Random, TD3

    for agent, collector in ((GCBC(**SMALL), Random()), (Random(), TD3(**SMALL)), (GCSL(**SMALL), GCBC(**SMALL))):
        trainer = make_train(dataclasses.replace(tiny(), agent=agent, collector=collector))
        state, _ = jax.eval_shape(trainer.one_epoch, trainer.lane_shapes())
        assert jtu.tree_structure(state) == jtu.tree_structure(trainer.lane_shapes())


def test_a_run_of_both_on_normalised_inputs(tmp_path):
    """No alarm sounds, and the learner that is exported acts as the run does."""
    from deepcrl import load_policy
    from deepcrl.agents import GCSL, TD3
    from deepcrl.agents._normalizer import Normalized
    from deepcrl.runs import alarms, export_policy, load_policies, run

    learner, collector = TD3(**SMALL), GCSL(**SMALL)
    config = dataclasses.replace(tiny(), agent=learner, collector=collector, normalize_observations=True)
    result = run(config, out=tmp_path / "run")
    assert alarms(result.rows) == [] and result.diverged == []
    assert all(0.05 < row["action_std"] < 1.0 and row["failed_steps"] == 0 for row in result.rows)
    for state in (result.state().agent, result.state().collector):
        assert state.observation.batches == config.actual_updates
        assert (np.asarray(state.observation.variance) != 1.0).all() and np.isfinite(state.observation.mean).all()
    export_policy(tmp_path / "run", tmp_path / "policy")
    policy, exported = load_policies(tmp_path / "run", best=False)[0], load_policy(tmp_path / "policy")
    assert policy.agent == exported.agent == Normalized(learner=learner)
    observation, goal = jnp.array([0.3, -0.2, 0.1, 0.0]), jnp.array([0.5, 0.5])
    assert np.array_equal(exported(observation, goal), policy(observation, goal))
    plain = dataclasses.replace(policy, agent=learner, state=policy.state.learner)
    assert not np.allclose(plain(observation, goal), policy(observation, goal))
