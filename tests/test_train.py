"""The training function: a scan of its parts, lanes that do not touch each other, no setting without an effect."""

import dataclasses
import operator

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from strategies import agent_text, NUMBERS, program_text, tiny, unchecked
from trees import assert_close, assert_equal, assert_near, lane, named


# What each field is changed to, and nothing else, to see that it does something.
CONFIG_CHANGES = {
    "env": "point_u4_maze",
    "agent": None,  # see AGENT_CHANGES
    "collector": "Random",
    "env_options": {"goals": "free"},
    "eval_env": "point_u4_maze",
    "eval_env_options": {"goals": "free"},
    "total_env_steps": 2000,
    "epochs": 3,
    "num_envs": 5,
    "rollout_length": 12,
    "batch_size": 9,
    "utd_ratio": 0.05,
    "buffer_length": 50,
    "prefill_length": 30,
    "episode_length": 21,
    "goal_reset": "cached",
    "eval_envs": 5,
    "collect_actions": "deterministic",
    "eval_actions": "stochastic",
    "normalize_observations": True,
    "lane_layout": "batched",  # of sweeps alone: see test_sweep.py
    "debug_checks": True,
}
AGENT_CHANGES = {
    "depth": 12,
    "actor_depth": 4,
    "critic_depth": 4,
    "width": 9,
    "trunk": None,  # see TRUNK_CHANGES
    "repr_dim": 9,
    "output_norm": "unit",
    "energy": "dot",
    "loss": "symmetric_infonce",
    "replay": None,  # of the loop, on behalf of the agent: see below
    "optimizer": None,  # see OPTIMIZER_CHANGES
    "random_goals": 0.5,
    "remat": True,
}
TRUNK_CHANGES = {
    "block": "bronet",
    "layers_per_block": 2,
    "norm": "rms",
    "activation": "relu",
    "residual": False,
    "tied": True,
    "final_norm": True,
    "products": "bfloat16",
}
OPTIMIZER_CHANGES = {"b1": 0.8, "b2": 0.99, "eps": 1e-7, "clip_norm": 1.0, "weight_decay": 0.1, "warmup_updates": 5}


# A call is init and a loop of epoch


def test_a_call_is_init_and_a_host_loop_bit_for_bit(trained, host_loop):
    states, metrics = host_loop
    assert_equal(trained.state, states[-1])
    assert_equal(trained.metrics, metrics)


@pytest.mark.parametrize(
    "seed", [jr.key(0), jnp.asarray(0), jnp.uint32(0), np.int32(0)], ids=["key", "i32", "u32", "np"]
)
def test_every_kind_of_seed_means_the_same(train, host_loop, seed):
    assert_equal(train.init(seed), host_loop[0][0])


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(train, trained):
    assert_equal(train(0), trained)
    other = train(1)
    for part in ("agent", "obs", "queue", "key"):
        one, two = (named(getattr(state, part)).values() for state in (trained.state, other.state))
        assert any((a != b).any() for a, b in zip(one, two, strict=True)), part
    assert (trained.metrics.agent.critic.loss != other.metrics.agent.critic.loss).all()


@pytest.mark.parametrize("seed, kind", [(1.0, TypeError), (True, TypeError), ("0", TypeError), (-1, ValueError)])
def test_other_seeds_are_refused(train, seed, kind):
    with unchecked(), pytest.raises(kind, match="`seed` must"):
        train.init(seed)


def test_make_train_takes_a_config_only():
    from deepcrl import make_train

    with unchecked(), pytest.raises(TypeError, match="takes a `Config`"):
        make_train("point_u_maze")


# Metrics


def test_counters_are_as_the_config_derives_them(train, trained, host_loop):
    config, epoch = train.config, np.arange(1, train.config.epochs + 1)
    per_epoch = config.steps_per_epoch * config.updates_per_step
    np.testing.assert_array_equal(
        trained.metrics.env_steps, config.prefill_env_steps + epoch * config.env_steps_per_epoch
    )
    np.testing.assert_array_equal(trained.metrics.grad_steps, epoch * per_epoch)
    assert trained.state.env_steps == config.actual_env_steps
    assert trained.state.grad_steps == config.actual_updates
    assert host_loop[0][0].env_steps == config.prefill_env_steps
    assert host_loop[0][0].grad_steps == 0
    # Every environment step is in the buffer's clock, and as many episodes have ended as it says.
    assert trained.state.queue.num_added * config.num_envs == config.actual_env_steps
    np.testing.assert_array_equal(
        trained.state.env.episode_id, config.actual_env_steps // config.num_envs // config.episode_length
    )


def test_metrics_are_finite_and_move(trained):
    for name, values in named(trained.metrics).items():
        assert values.shape == (2,), name
        assert np.isfinite(values).all(), name
    for name, values in named(trained.metrics.agent).items():
        if "accuracy" not in name:
            assert values[0] != values[1], name
    for name in ("success_any", "time_at_goal", "success_end"):
        np.testing.assert_array_equal(getattr(trained.metrics, name), getattr(trained.metrics.evaluation, name))
    np.testing.assert_array_equal(trained.metrics.evaluation.episode_length, 20.0)


def test_evaluation_of_a_state_is_deterministic_and_the_one_in_the_metrics(train, trained, host_loop):
    first = train.evaluate(trained.state)
    assert_equal(train.evaluate(trained.state), first)
    assert_close(first, lane(trained.metrics.evaluation, -1), 1e-5)
    assert first.distance != train.evaluate(host_loop[0][0]).distance


def test_the_policy_acts_as_evaluations_do(train, trained):
    from deepcrl import make_train
    from deepcrl.agents import Sample

    state, policy = trained.state, train.policy(trained.state)
    noisy = Sample().policy(train.agent, state.agent, state.hypers)
    observation, goal, one, two = jnp.ones(4), jnp.zeros(2), jr.key(1), jr.key(2)
    assert_equal(policy(observation, goal, key=one), policy(observation, goal, key=two))
    assert (noisy(observation, goal, key=one) != noisy(observation, goal, key=two)).all()
    as_evaluated = make_train(tiny(eval_actions=Sample())).policy(state)
    assert_equal(as_evaluated(observation, goal, key=one), noisy(observation, goal, key=one))
    mean = state.agent.policy(observation, goal).mean
    np.testing.assert_allclose(policy(observation, goal, key=one), jnp.tanh(mean), atol=1e-6)


def test_the_value_is_the_agents_under_the_mode(train, trained):
    observation, goal, state = jnp.ones(4), jnp.zeros(2), trained.state
    action = train.policy(state)(observation, goal, key=jr.key(0))
    given = train.value(state, observation, goal, action)
    np.testing.assert_allclose(train.value(state, observation, goal), given, rtol=1e-6)
    assert given == train.agent.value(state.agent, observation, goal, state.hypers, action)


# Numbers that differ under `jax.vmap`


def place(name):
    return list(NUMBERS).index(name)


def test_vmapped_lanes_are_single_runs(train, trained, vmapped):
    """But for what is idle: hypers hold the depths here."""
    for name, single in (("base", trained), ("seed", train(1))):
        mine = lane(vmapped[-1], place(name))
        for part in ("agent", "env", "obs", "queue", "env_steps", "grad_steps", "diverged"):
            assert_close(getattr(mine.state, part), getattr(single.state, part))
        assert_close(mine.metrics, single.metrics)


def test_every_number_changes_its_lane(train, vmapped):
    own = set(train.config.hypers().values)
    assert own == set(NUMBERS) - {"base", "seed", "actor_depth", "critic_depth", "shallow"}
    result = vmapped[-1]
    base = named((lane(result.state.agent, 0), lane(result.metrics.agent, 0)))
    for name in set(NUMBERS) - {"base"}:
        mine = named((lane(result.state.agent, place(name)), lane(result.metrics.agent, place(name))))
        assert max(np.abs(mine[leaf] - base[leaf]).max() for leaf in base) > 1e-3, name


def test_a_shallow_lane_of_a_deep_program_is_a_shallow_run(vmapped, swept, host_loop):
    """The masked lane of seed 0 and depth 4 against networks of just that depth."""
    masked, shallow = lane(vmapped[-1], place("shallow")), swept.select(depth=4)
    assert_close(masked.metrics, lane(shallow.metrics, 0))
    in_trunk = lambda name: ".trunk.blocks" in name
    initial, deep, own = (named(state.agent) for state in (host_loop[0][0], masked.state, shallow.state(0)))
    assert sum(map(in_trunk, deep)) >= 3 * 16
    for name, leaf in own.items():
        mine = deep[name]
        if in_trunk(name):
            mine, idle = mine[:1], mine[1:]
            np.testing.assert_allclose(idle, initial[name][1:], rtol=0.0, atol=1e-6, err_msg=name)
        assert_near(mine.astype(float), leaf.astype(float), 1e-4, name)


# No dead settings


def program(config):
    """The text of the whole program, and the values that it closes over."""
    from deepcrl import make_train

    with unchecked():
        train = make_train(config)
        constants = named((config.hypers(), train.env_params, train.eval_env_params))
    return program_text(train, 0), {name: array.tobytes() for name, array in constants.items()}


@pytest.fixture(scope="module")
def base_program():
    return program(small())


@pytest.fixture(scope="module")
def base_agent():
    text = agent_text(tiny().agent)
    assert text == agent_text(tiny().agent)
    return text


def small(**changes):
    """Traced sooner: of the loop's settings none is the agent's."""
    from deepcrl.agents import GCBC

    with unchecked():  # ways to act by their names
        return dataclasses.replace(tiny(), agent=GCBC(width=8), **changes)


def test_every_field_is_perturbed():
    from deepcrl import Config
    from deepcrl.agents import Adam, CRL
    from deepcrl.nn import BlockSpec

    fields = lambda kind: {field.name for field in dataclasses.fields(kind)}
    assert fields(Config) == set(CONFIG_CHANGES)
    assert fields(CRL) == set(AGENT_CHANGES) | set(tiny().hypers().values)
    assert fields(BlockSpec) == set(TRUNK_CHANGES)
    assert fields(Adam) == set(OPTIMIZER_CHANGES)


def test_equal_configs_are_equal_programs(base_program):
    assert program(small()) == base_program


@pytest.mark.parametrize("name", [name for name in CONFIG_CHANGES if name not in ("agent", "lane_layout")])
def test_every_setting_changes_the_program(base_program, name):
    from deepcrl.agents import Random

    changes = {name: Random() if name == "collector" else CONFIG_CHANGES[name]}
    changed = program(small(**changes))
    assert changed != base_program
    assert ("callback" in changed[0]) == (name == "debug_checks")
    assert "callback" not in base_program[0]


def test_the_replay_rule_changes_the_batch(train):
    from deepcrl import make_train
    from deepcrl.replay import RandomGoals, Replay

    def batches(train):
        sample = lambda state: train._sample_batch(train.agent, state.queue, state.hypers, jr.key(0))
        return program_text(sample, train.lane_shapes())

    other = make_train(tiny(agent={"replay": Replay(goals=RandomGoals())}))
    assert batches(other) != batches(train)


@pytest.mark.parametrize("name", [name for name, value in AGENT_CHANGES.items() if value is not None])
def test_every_setting_of_the_agent_changes_its_program(base_agent, name):
    assert agent_text(tiny(agent={name: AGENT_CHANGES[name]}).agent) != base_agent


@pytest.mark.parametrize("name", TRUNK_CHANGES)
def test_every_setting_of_the_trunk_changes_the_program(base_agent, name):
    from deepcrl.nn import BlockSpec

    assert agent_text(tiny(agent={"trunk": BlockSpec(**{name: TRUNK_CHANGES[name]})}).agent) != base_agent


@pytest.mark.parametrize("name", OPTIMIZER_CHANGES)
def test_every_setting_of_the_optimizer_changes_its_program(name):
    from deepcrl.agents import Adam

    def step(**settings):
        adam, params = Adam(**settings), jnp.ones(2)
        return program_text(lambda grads: adam.step(params, grads, adam.init(params), jnp.float32(0.1)), params)

    assert step(**{name: OPTIMIZER_CHANGES[name]}) != step()


@pytest.mark.parametrize("name", [name for name, changes in NUMBERS.items() if name in changes and "depth" not in name])
def test_every_number_of_the_agent_is_its_own_hyper(name):
    """And every one changes its lane, as is seen above."""
    value = NUMBERS[name][name]
    before, after = (named(config.hypers()) for config in (tiny(), tiny(agent={name: value})))
    assert [leaf for leaf in before if before[leaf] != after[leaf]] == [f".values['{name}']"]
    np.testing.assert_allclose(after[f".values['{name}']"], value, rtol=1e-6)


@pytest.mark.parametrize("where, what", [("agent.log_alpha", "A metric"), ("obs.desired_goal", "An observation")])
def test_debug_checks_stop_at_numbers_that_are_not_finite(host_loop, where, what):
    from deepcrl.train._trainer import _check_finite

    state = host_loop[0][0]
    assert_equal(_check_finite(state, state.agent.log_alpha), state)
    part = operator.attrgetter(where)
    poisoned = eqx.tree_at(part, state, jnp.full_like(part(state), jnp.inf))
    with pytest.raises((RuntimeError, ValueError), match=f"{what} of this epoch is not finite"):
        _check_finite(poisoned, poisoned.agent.log_alpha).env_steps.block_until_ready()
