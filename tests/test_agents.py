"""What all agents share: one loop, lanes, outcomes, goals, ways to act; no setting of any agent without an effect."""

import dataclasses
import json
import re

import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import pytest
from references import random_td_batch
from strategies import agent_text, fresh_state, program_text, tiny, unchecked


SMALL = {"width": 8, "depth": 8}
KINDS = {
    "SAC": {**SMALL, "hindsight": "future"},
    "TD3": {**SMALL, "hindsight": "final"},
    "GCBC": SMALL,
    "GCSL": {**SMALL, "newest_steps": 20},
    "Random": {},
}

# What each field is changed to from the above, and nothing else. Numbers of `Hypers` first.
HYPERS = {"actor_lr": 1e-2, "critic_lr": 1e-2, "alpha_lr": 1e-2, "gamma": 0.5, "tau": 0.5, "target_entropy": -2.0}
STRUCTURE = {
    "depth": 12,
    "actor_depth": 4,
    "critic_depth": 4,
    "width": 9,
    "trunk": "relu",  # stands for `BlockSpec(activation="relu")`
    "remat": True,
    "policy_delay": 3,
    "exploration_noise": 0.1,
    "smoothing_noise": 0.1,
    "smoothing_clip": 0.1,
}
GOALS = {"hindsight": "final", "hindsight_ratio": 0.5, "newest_steps": 30}


def config(kind, **changes):
    """A tiny run of that agent."""
    from deepcrl import agents
    from deepcrl.nn import BlockSpec

    settings = {**KINDS[kind], **changes}
    if "trunk" in settings:
        settings["trunk"] = BlockSpec(activation=settings["trunk"])
    return dataclasses.replace(tiny(), agent=getattr(agents, kind)(**settings))


# One loop


def test_every_agent_has_a_name_and_a_test():
    from deepcrl import registered
    from deepcrl.agents import AbstractAgent

    assert set(registered(AbstractAgent)) == {
        "CRL",
        "WithCollector",  # has tests of its own, in `test_collector.py`
        "WithNormalizer",  # in `test_normalizer.py`
        *KINDS,
    }


@pytest.mark.parametrize("kind", KINDS)
def test_every_agent_trains(kind):
    """Lanes of two widths, where there are any; and no alarm sounds."""
    from deepcrl import lanes, make_train
    from deepcrl.runs import alarms

    train = make_train(config(kind))
    fresh = fresh_state(train.agent, 4, 2, 2)
    widths = {} if kind == "Random" else {"width": (4, 8)}
    result = jax.vmap(train)(*lanes(train.config, seeds=(0, 1), zipped=True, **widths))
    for leaf in jtu.tree_leaves(result.metrics):
        assert leaf.shape == (2, 2)
        assert np.isfinite(leaf).all()
    assert (result.state.grad_steps == train.config.actual_updates).all()
    rows = result.rows(seeds=(0, 1))
    assert alarms(rows) == []
    assert all(0.05 < row["action_std"] < 1.0 and row["failed_steps"] == 0 for row in rows)
    if kind != "Random":
        pairs = zip(jtu.tree_leaves(fresh.policy), jtu.tree_leaves(result.state.agent.policy), strict=True)
        assert all((np.asarray(new[1]) != np.asarray(old)).any() for old, new in pairs)


def lanes_of(agent):
    """Hypers of two lanes: the config's, and others."""
    base = agent.hypers()
    own = {name: value for name, value in HYPERS.items() if getattr(base, name) is not None}
    other = dataclasses.replace(base, **{name: jnp.float32(value) for name, value in own.items()})
    return base, other


@pytest.mark.parametrize("kind", KINDS)
def test_lanes_of_updates_are_single_updates(kind):
    agent, batch = config(kind).agent, random_td_batch(jr.key(1), 6, observation_size=4, goal_size=2, action_size=2)
    hypers, states = lanes_of(agent), [fresh_state(agent, 4, 2, 2, seed) for seed in (0, 1)]
    update = lambda state, hypers: jax.lax.scan(
        lambda state, key: agent.update(state, batch, hypers, key=key), state, jr.split(jr.key(0), 3)
    )
    stacked = lambda *trees: jtu.tree_map(lambda *leaves: jnp.stack(leaves), *trees)
    lanes = jax.jit(jax.vmap(update))(stacked(*states), stacked(*hypers))
    single = jax.jit(update)(states[1], hypers[1])
    for mine, alone in zip(jtu.tree_leaves(lanes), jtu.tree_leaves(single), strict=True):
        np.testing.assert_allclose(mine[1], alone, rtol=1e-3, atol=1e-4)


def test_lanes_of_an_agent_without_networks_have_no_width():
    from deepcrl import lanes, make_train

    train = make_train(config("Random"))
    with pytest.raises(ValueError, match="Lanes of Random cannot differ in 'width'"):
        lanes(train.config, seeds=[0], width=[4])
    with pytest.raises(ValueError, match="Lanes of Random cannot differ in `width`"):
        train(0, dataclasses.replace(train.config.hypers(), width=jnp.int32(4)))


def test_the_loop_stores_ends_of_steps_for_agents_that_ask_alone():
    from deepcrl import make_train

    states = {
        kind: jax.eval_shape(make_train(config(kind))._fresh_lane, jr.key(0), config(kind).hypers()) for kind in KINDS
    }
    stored = {kind: state.queue.data.next_observation is not None for kind, state in states.items()}
    assert stored == {"SAC": True, "TD3": True, "GCBC": False, "GCSL": False, "Random": False}
    sac, gcbc = config("SAC"), config("GCBC")
    assert sac.buffer_bytes - gcbc.buffer_bytes == 4 * (4 + 2) * sac.num_envs * sac.buffer_length


# Outcomes


@pytest.fixture(scope="module")
def sac():
    from deepcrl import make_train

    return make_train(config("SAC"))


@pytest.fixture(scope="module")
def filled(sac):
    """A state whose buffer holds episodes that ended, by the clock."""
    return jax.jit(sac.init)(0)


def test_what_a_step_led_to_is_the_true_observation_also_where_an_episode_ends(sac, filled):
    """Recomputed by the physics; the next row, which the reset wrote, is something else there."""
    from deepcrl.envs._tasks._point_maze import PointMazeState

    env, params, data = sac.env, sac.env_params, filled.queue.data

    def end(observation, action, goal):
        inner = PointMazeState(
            position=env.goal_place(observation[:2]), velocity=0.2 * observation[2:], goal=env.goal_place(goal)
        )
        return env.observe(env.step_env(jr.key(0), inner, action, params)[0], params)

    stored = sac.config.prefill_length
    rows = jtu.tree_map(lambda leaf: leaf[:, :stored], data)
    ends = jax.jit(jax.vmap(jax.vmap(end)))(rows.observation, rows.action, rows.desired_goal)
    np.testing.assert_allclose(rows.next_observation, ends.observation, atol=1e-5)
    np.testing.assert_allclose(rows.next_achieved_goal, ends.achieved_goal, atol=1e-5)

    last = np.asarray(rows.truncated)[:, :-1]
    assert last.sum() >= 0 and np.asarray(rows.truncated).sum() == sac.config.num_envs
    same = np.isclose(rows.next_observation[:, :-1], rows.observation[:, 1:], atol=1e-6).all(axis=-1)
    assert same[~last].all() and not same[last].any()


def batch_of(kind, state, size=400, **changes):
    from deepcrl import make_train

    trainer = make_train(dataclasses.replace(config(kind, **changes)))
    trainer.config = dataclasses.replace(trainer.config)
    object.__setattr__(trainer.config, "batch_size", size)  # more than a batch may hold, for statistics
    return trainer, jax.jit(lambda key: trainer._sample_batch(state.queue, trainer.config.hypers(), key))(jr.key(3))


def reached(trainer, achieved, goal):
    """Within half a metre, in NumPy and float64."""
    distance = np.linalg.norm(np.asarray(achieved, np.float64) - np.asarray(goal, np.float64), axis=-1)
    return (distance * trainer.env._scale < 0.5).astype(np.float64)


@pytest.mark.parametrize("hindsight", ["none", "future", "final"])
def test_rewards_are_recomputed_for_the_goals_of_the_batch(filled, hindsight):
    # Every stored reward is spoilt: with hindsight none of them is used, without it nothing else is.
    spoilt = dataclasses.replace(
        filled.queue, data=dataclasses.replace(filled.queue.data, reward=filled.queue.data.reward - 7.0)
    )
    trainer, batch = batch_of("SAC", dataclasses.replace(filled, queue=spoilt), hindsight=hindsight)
    if hindsight == "none":
        assert np.isin(batch.outcome.reward, [-7.0, -6.0]).all()
        return
    by_end = reached(trainer, batch.outcome.next_observation[:, :2], batch.goal)
    np.testing.assert_array_equal(batch.outcome.reward, by_end)
    by_start = reached(trainer, batch.observation[:, :2], batch.goal)  # as the published code has it
    assert 0.0 < by_end.mean() < 1.0
    assert (by_start != by_end).any()


def test_terminated_and_nothing_else_is_handed_on_as_the_end(filled):
    data = filled.queue.data
    terminated = data.observation[..., 0] > 0.0  # any rule by which a row knows its flag
    marked = dataclasses.replace(filled.queue, data=dataclasses.replace(data, terminated=terminated))
    _, batch = batch_of("TD3", dataclasses.replace(filled, queue=marked))
    np.testing.assert_array_equal(batch.outcome.terminated, batch.observation[:, 0] > 0.0)
    _, batch = batch_of("TD3", filled)
    assert not batch.outcome.terminated.any()  # all episodes here were ended by the clock


# Goals


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
def test_that_share_of_goals_is_relabelled(filled, ratio):
    """n = 400, so 5 standard deviations are at most 0.125."""
    _, batch = batch_of("SAC", filled, hindsight="final", hindsight_ratio=ratio)
    commanded = np.unique(np.asarray(filled.queue.data.desired_goal)[:, :20].reshape(-1, 2), axis=0)
    kept = (np.asarray(batch.goal)[:, None, :] == commanded[None, :, :]).all(axis=2).any(axis=1)
    assert abs((1.0 - kept.mean()) - ratio) <= (0.125 if 0.0 < ratio < 1.0 else 0.0)


def test_final_goals_are_the_last_of_the_episode_and_future_ones_are_uniform(filled):
    from references import assert_follows_law

    _, batch = batch_of("SAC", filled, hindsight="final", hindsight_ratio=1.0)
    lasts = np.asarray(filled.queue.data.achieved_goal)[:, 19]  # one episode of 20 steps in every environment
    assert (np.asarray(batch.goal)[:, None, :] == lasts[None, :, :]).all(axis=2).any(axis=1).all()

    _, batch = batch_of("SAC", filled, size=4000, hindsight="future", hindsight_ratio=1.0)
    where = {
        tuple(goal): (env, time)
        for env, row in enumerate(np.asarray(filled.queue.data.achieved_goal)[:, :20])
        for time, goal in enumerate(row)
    }
    starts = [where[tuple(goal)] for goal in np.asarray(batch.observation)[:, :2]]
    goals = [where[tuple(goal)] for goal in np.asarray(batch.goal)]
    assert all(one[0] == two[0] for one, two in zip(starts, goals, strict=True))
    offsets = np.asarray([two[1] - one[1] for one, two in zip(starts, goals, strict=True) if one[1] == 9])
    counts = np.bincount(offsets, minlength=11)
    assert_follows_law(counts, np.append(0.0, np.ones(10)))  # HER: all 10 later steps alike


def test_newest_steps_are_the_only_ones_drawn(filled):
    _, batch = batch_of("GCSL", filled, newest_steps=3)
    newest = np.asarray(filled.queue.data.observation)[:, 17:20].reshape(-1, 4)
    drawn = (np.asarray(batch.observation)[:, None, :] == newest[None, :, :]).all(axis=2)
    assert drawn.any(axis=1).all() and drawn.any(axis=0).all()


def test_unknown_goals_are_refused():
    from deepcrl.replay import goals_from_name

    with pytest.raises(ValueError, match="Did you mean `none`"):
        goals_from_name("non", jnp.float32(0.9))


# No dead settings


def test_every_field_of_every_agent_is_perturbed():
    from deepcrl import agents

    changes = {*HYPERS, *STRUCTURE, *GOALS}
    for kind in KINDS:
        assert {field.name for field in dataclasses.fields(getattr(agents, kind))} <= changes, kind


def fields_in(changes):
    from deepcrl import agents

    return [
        (kind, field.name)
        for kind in KINDS
        for field in dataclasses.fields(getattr(agents, kind))
        if field.name in changes
    ]


def test_every_structural_setting_changes_the_program():
    base = {kind: agent_text(config(kind).agent) for kind in KINDS}
    assert base["GCSL"] == agent_text(config("GCSL").agent)
    for kind, name in fields_in(STRUCTURE):
        assert agent_text(config(kind, **{name: STRUCTURE[name]}).agent) != base[kind], (kind, name)


def test_every_number_is_its_own_hyper_and_changes_the_update():
    from deepcrl import agents

    for kind, name in fields_in(HYPERS):
        before, after = (vars(config(kind, **change).hypers()) for change in ({}, {name: HYPERS[name]}))
        assert [leaf for leaf in before if before[leaf] is not None and before[leaf] != after[leaf]] == [name]
    for kind in KINDS:
        given = {name for name, value in vars(config(kind).hypers()).items() if value is not None}
        assert given - {"actor_depth", "critic_depth"} <= set(getattr(agents, kind).__dataclass_fields__), kind


def test_every_setting_of_the_goals_changes_what_is_sampled(filled):
    from deepcrl import make_train

    def sampled(kind, **changes):
        trainer = make_train(config(kind, **changes))
        queue = trainer.queue.init(jtu.tree_map(lambda leaf: leaf[0, 0], filled.queue.data))
        return program_text(lambda key: trainer._sample_batch(queue, trainer.config.hypers(), key), jr.key(0))

    for kind, name in fields_in(GOALS):
        base = sampled(kind)
        value = "future" if GOALS[name] == KINDS[kind].get(name) else GOALS[name]
        assert sampled(kind, **{name: value}) != base, (kind, name)


def test_lanes_cannot_differ_in_what_an_agent_has_not():
    from deepcrl import lanes

    assert lanes(config("SAC"), seeds=[0], tau=[0.1, 0.2]).hypers.tau.shape == (2,)
    with unchecked(), pytest.raises(ValueError, match="Lanes of GCBC cannot differ in 'alpha_lr'"):
        lanes(config("GCBC"), seeds=[0], alpha_lr=[1e-3])
    with unchecked(), pytest.raises(ValueError, match="Lanes of CRL cannot differ in 'tau'"):
        lanes(tiny(), seeds=[0], tau=[0.1])


# Files


@pytest.mark.parametrize("kind", KINDS)
def test_files_give_back_every_agent(kind):
    from deepcrl import Config

    changes = {} if kind == "Random" else {"trunk": "gelu", "actor_lr": 0.01}
    made = config(kind, **changes)
    assert (json.loads(made.to_json())["agent"] == "Random") == (kind == "Random")
    assert Config.from_json(made.to_json()) == made == Config.from_toml(made.to_toml())


# Ways to act


def acted(actions, keys, kind="SAC"):
    """Actions of one fresh agent for one observation, and their values."""
    from deepcrl.train._acting import acting_policy

    agent = config(kind).agent
    state = fresh_state(agent, 4, 2, 2)
    observation, goal, hypers = jnp.ones(4), -jnp.ones(2), agent.hypers()
    policy = acting_policy(agent, state, hypers, actions)
    chosen = jax.jit(jax.vmap(lambda key: policy(observation, goal, key=key)))(keys)
    values = jax.jit(jax.vmap(lambda action: agent.value(state, observation, goal, hypers, action)))(chosen)
    return np.asarray(chosen), np.asarray(values)


@pytest.mark.parametrize("kind", ["SAC", "TD3"])
def test_the_best_of_some_samples_by_the_critic_is_taken(kind):
    keys = jr.split(jr.key(1), 64)
    samples, values = acted("stochastic", jax.vmap(lambda key: jr.split(key, 8))(keys).reshape(-1), kind)
    best, best_values = acted(8, keys, kind)
    index = values.reshape(64, 8).argmax(axis=1)
    np.testing.assert_allclose(best, samples.reshape(64, 8, 2)[np.arange(64), index], atol=1e-6)
    assert best_values.mean() > values.mean()
    mode, _ = acted("deterministic", keys, kind)
    assert (mode == mode[0]).all() and (samples != samples[0]).any()


@pytest.mark.parametrize(
    "kind, changes, message",
    [
        ("GCBC", {"eval_actions": 4}, "GCBC has none. Choose 'stochastic'"),
        ("SAC", {"collect_actions": 1}, "`collect_actions` must be at least 2, got 1"),
        ("SAC", {"collect_actions": "greedy"}, "`collect_actions` must be one of"),
    ],
)
def test_ways_to_act_that_cannot_be_are_refused(kind, changes, message):
    with unchecked(), pytest.raises(ValueError, match=message):
        dataclasses.replace(config(kind), **changes)


@pytest.mark.parametrize("kind", ["GCBC", "GCSL", "Random"])
def test_without_a_critic_the_value_is_zero(kind):
    agent = config(kind).agent
    assert agent.value(None, jnp.ones(4), jnp.ones(2), agent.hypers()) == 0.0


def test_an_agent_with_a_critic_must_say_what_it_values():
    from deepcrl.agents import Random

    critic = dataclasses.make_dataclass("Critic", [], bases=(Random,), namespace={"has_critic": True}, frozen=True)()
    with pytest.raises(TypeError, match="`Critic` needs a `value` of its own, or `has_critic = False`"):
        critic.value(None, jnp.ones(4), jnp.ones(2), critic.hypers())


# Citations


def cited(capsys, agent):
    import deepcrl

    deepcrl.citation(dataclasses.replace(tiny(), agent=agent))
    return re.findall(r"@\w+\{(\w+),", capsys.readouterr().out)


def test_a_citation_is_of_what_a_config_uses_and_of_nothing_else(capsys):
    from deepcrl.agents import CRL, GCBC, GCSL, Random, SAC, TD3
    from deepcrl.nn import BlockSpec

    paper, twins, her = "wang2025thousand", "fujimoto2018addressing", "andrychowicz2017hindsight"
    assert cited(capsys, CRL()) == [paper, "oord2018representation"]
    assert cited(capsys, CRL(energy="mrn", loss="flatnce")) == [paper, "chen2021simpler", "liu2023metric"]
    assert cited(capsys, SAC()) == ["haarnoja2018soft", twins, paper]
    assert cited(capsys, SAC(hindsight="final", trunk=BlockSpec(block="simba"))) == [
        "haarnoja2018soft",
        twins,
        her,
        "lee2025simba",
        paper,
    ]
    assert cited(capsys, TD3(trunk=BlockSpec(block="bronet"))) == [twins, "nauman2024bigger", paper]
    assert cited(capsys, GCBC()) == ["ding2019goal", paper]
    assert cited(capsys, GCSL()) == ["ghosh2021learning", paper]
    assert cited(capsys, Random()) == []
