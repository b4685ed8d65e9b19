"""A collector apart from the learner: it runs as if alone, and the learner is what is evaluated."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
import pytest
from strategies import tiny


SMALL = {"width": 8, "repr_dim": 8}


def with_collector(learner, collector):
    from deepcrl.agents import WithCollector

    return dataclasses.replace(tiny(), agent=WithCollector(learner=learner, collector=collector))


def assert_equal(tree, other):
    assert jtu.tree_structure(tree) == jtu.tree_structure(other)
    for a, b in zip(jtu.tree_leaves(tree), jtu.tree_leaves(other), strict=True):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        assert np.array_equal(a, b)


def assert_close(tree, other):
    """But for rounding: another learner beside the collector makes another program."""
    assert jtu.tree_structure(tree) == jtu.tree_structure(other)
    for a, b in zip(jtu.tree_leaves(tree), jtu.tree_leaves(other), strict=True):
        np.testing.assert_allclose(np.asarray(a, float), np.asarray(b, float), rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def both():
    """Two lanes, learners of depth and width 4 and 8 beside a collector of 8, and a run of the collector alone."""
    from deepcrl import lanes, make_train
    from deepcrl.agents import CRL

    collector = CRL(depth=8, **SMALL)
    train = make_train(with_collector(CRL(depth=8, actor_lr=1e-2, **SMALL), collector))
    result = jax.vmap(train)(*lanes(train.config, seeds=[3, 3], depth=(4, 8), width=(4, 8), zipped=True))
    return train, result, make_train(dataclasses.replace(tiny(), agent=collector))(3)


@pytest.mark.parametrize("lane", [0, 1])
def test_the_collector_runs_as_if_alone_whatever_the_learner(both, lane):
    _, result, alone = both
    state = jtu.tree_map(lambda leaf: leaf[lane], result.state)
    assert_close(state.agent.collector, alone.state.agent)
    assert_close((state.queue.data, state.obs), (alone.state.queue.data, alone.state.obs))
    assert_close(result.metrics.action_std[lane], alone.metrics.action_std)


def test_learners_learn_apart(both):
    train, result, alone = both
    learner = result.state.agent.learner
    assert not np.array_equal(result.metrics.agent.critic.loss[1], alone.metrics.agent.critic.loss)
    assert not np.array_equal(result.metrics.agent.critic.loss[0], result.metrics.agent.critic.loss[1])
    fresh = jax.vmap(lambda seed: train.init(seed))(jnp.array([3, 3])).agent.learner
    changed = jtu.tree_map(
        lambda new, old: np.asarray(new != old).any(axis=tuple(range(1, new.ndim))), learner.policy, fresh.policy
    )
    assert all(leaf.all() for leaf in jtu.tree_leaves(changed))


def test_the_learner_is_evaluated(both):
    from deepcrl import make_train

    train, result, _ = both
    plain = make_train(dataclasses.replace(train.config, agent=train.agent.learner))
    state = jtu.tree_map(lambda leaf: leaf[1], result.state)
    as_plain = eqx.tree_at(lambda s: s.agent, state, state.agent.learner)
    evaluation = plain.evaluate(as_plain)
    assert_equal(train.evaluate(state), evaluation)
    last = jtu.tree_map(lambda leaf: leaf[1, -1], result.metrics.evaluation)
    assert_equal(last, evaluation)
    observation, goal = jnp.array([0.1, -0.2, 0.0, 0.3]), jnp.array([0.5, -0.5])
    assert np.array_equal(
        train.agent.value(state.agent, observation, goal, state.hypers),
        plain.agent.value(state.agent.learner, observation, goal, state.hypers),
    )


def test_an_agent_of_another_kind_may_collect():
    from deepcrl import make_train
    from deepcrl.agents import GCBC, Random

    learner = GCBC(depth=4, width=8)
    alone = make_train(dataclasses.replace(tiny(), agent=Random()))(0)
    result = make_train(with_collector(learner, Random()))(0)
    assert_equal(result.state.queue.data, alone.state.queue.data)
    assert all(np.isfinite(leaf).all() for leaf in jtu.tree_leaves(result.metrics))
    assert not result.state.agent.learner.policy == alone.state.agent


def test_who_needs_outcomes_gets_them():
    from deepcrl.agents import CRL, Random, SAC

    assert with_collector(SAC(depth=4, width=8), Random()).agent.needs_outcome
    assert not with_collector(CRL(depth=4, **SMALL), Random()).agent.needs_outcome


def test_batches_that_cannot_be_shared_are_refused():
    from deepcrl.agents import CRL, GCSL, SAC, WithCollector

    with pytest.raises(
        ValueError, match=r"`hindsight` must be the same for both; got 'final' \(SAC\) and 'future' \(SAC\)"
    ):
        WithCollector(learner=SAC(hindsight="final"), collector=SAC(hindsight="future"))
    with pytest.raises(ValueError, match=r"`gamma` must be the same for both; got 0.99 \(CRL\) and 0.9 \(CRL\)"):
        WithCollector(learner=CRL(), collector=CRL(gamma=0.9))
    with pytest.raises(ValueError, match=r"`newest_steps` must be the same"):
        WithCollector(learner=CRL(), collector=GCSL(gamma=0.99))
    WithCollector(learner=SAC(hindsight="future"), collector=SAC(hindsight="future", gamma=0.9))  # of the return alone


def test_only_agents_of_their_own_are_taken():
    from deepcrl.agents import CRL, WithCollector

    with pytest.raises(Exception, match="CRL"):
        WithCollector(learner="CRL", collector=CRL())
    pair = WithCollector(learner=CRL(), collector=CRL())
    with pytest.raises(TypeError, match="`collector` must be an agent without a collector"):
        WithCollector(learner=CRL(), collector=pair)


def test_the_config_is_written_and_read_back(capsys):
    import deepcrl
    from deepcrl import Config
    from deepcrl.agents import CRL
    from deepcrl.nn import Trunk

    config = with_collector(CRL(depth=4, **SMALL), CRL(depth=8, trunk=Trunk(norm="rms"), **SMALL))
    assert Config.from_toml(config.to_toml()) == config
    assert Config.from_json(config.to_json()) == config
    values = config.to_dict()
    values["agent"]["collector"]["name"] = "CLR"
    with pytest.raises(ValueError, match=r"`collector.name` must name a known agent, got 'CLR'. Did you mean `CRL`"):
        Config.from_dict(values)
    deepcrl.citation(config)
    assert "wang2025thousand" in capsys.readouterr().out


def test_a_run_in_a_folder_is_saved_and_read_back(tmp_path):
    from deepcrl.agents import CRL
    from deepcrl.runs import resume, run

    config = with_collector(CRL(depth=4, **SMALL), CRL(depth=8, **SMALL))
    done = run(config, seeds=[0], out=tmp_path / "run")
    assert_equal(resume(tmp_path / "run").state.agent, done.state.agent)
