"""The training function: a scan of its parts, lanes that do not touch each other, no setting without an effect."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import pytest
from strategies import agent_text, program_text, tiny, unchecked


# What each field is changed to, and nothing else, to see that it does something.
CONFIG_CHANGES = {
    "env": "point_u4_maze",
    "agent": None,  # see AGENT_CHANGES
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
    "collect_actions": 3,
    "eval_actions": "stochastic",
    "normalize_observations": True,
    "lane_layout": "batched",  # of lanes alone: see test_lanes.py
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
    "hindsight": "final",
    "actor_lr": 1e-3,
    "critic_lr": 1e-3,
    "alpha_lr": 1e-3,
    "gamma": 0.9,
    "target_entropy": -0.4,
    "logsumexp_penalty": 0.2,
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
HYPER_CHANGES = {
    "actor_depth": 4,
    "critic_depth": 4,
    "actor_lr": 1e-3,
    "critic_lr": 1e-3,
    "alpha_lr": 1e-3,
    "gamma": 0.5,
    "target_entropy": -2.0,
    "logsumexp_penalty": 1.0,
}
SEEDS = 3  # the first lanes of the sweep: plain runs of these seeds
BOTH_SHALLOW = SEEDS + len(HYPER_CHANGES)  # the last lane: actor and critic of depth 4


def named(tree):
    """The leaves by name, as NumPy arrays; of typed keys the data."""
    as_array = lambda leaf: jr.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
    return {jtu.keystr(path): np.asarray(as_array(leaf)) for path, leaf in jtu.tree_leaves_with_path(tree)}


def assert_equal(actual, desired):
    actual, desired = named(actual), named(desired)
    assert actual.keys() == desired.keys()
    for name in actual:
        np.testing.assert_array_equal(actual[name], desired[name], err_msg=name)


def assert_near(actual, desired, tolerance, name):
    """Near on the whole, and nowhere far.

    Adam steps a weight that has hardly a gradient either way, by rounding, and gradients that follow differ more than
    weights do; accuracy counts ties, which rounding decides.
    """
    tolerance = 0.13 if name.endswith("accuracy") else 100 * tolerance if "_opt" in name else tolerance
    difference, size = actual - desired, np.sqrt(np.mean(np.square(desired)))
    assert np.sqrt(np.mean(np.square(difference))) <= tolerance * (1.0 + size), name
    assert np.abs(difference).max() <= 10 * tolerance * (1.0 + size), name


def assert_close(actual, desired, tolerance=1e-4):
    """Integers, booleans and keys are equal, floats are near."""
    actual, desired = named(actual), named(desired)
    assert actual.keys() == desired.keys()
    for name, array in actual.items():
        if array.dtype.kind == "f":
            assert_near(array, desired[name], tolerance, name)
        else:
            np.testing.assert_array_equal(array, desired[name], err_msg=name)


def lane(tree, index):
    return jtu.tree_map(lambda leaf: leaf[index], tree)


def copied(tree):
    return jtu.tree_map(jnp.copy, tree)


@pytest.fixture(scope="module")
def result(train):
    return train(0)


@pytest.fixture(scope="module")
def other(train):
    return train(1)


@pytest.fixture(scope="module")
def host_loop(train):
    """Copies of the states before each epoch and after the last, and the metrics, of a loop that donates."""
    epoch = jax.jit(train.epoch, donate_argnums=0)
    state = train.init(0)
    states, metrics = [copied(state)], []
    for _ in range(train.config.epochs):
        donated, (state, new_metrics) = state, epoch(state)
        assert donated.queue.data.observation.is_deleted()
        states.append(copied(state))
        metrics.append(new_metrics)
    return states, jtu.tree_map(lambda *leaves: jnp.stack(leaves), *metrics)


@pytest.fixture(scope="module")
def sweep(train):
    """One vmapped program, its lanes' seeds and hypers, and what came out."""
    base = train.config.hypers()
    rows = [base] * SEEDS + [changed(base, name) for name in HYPER_CHANGES]
    rows.append(changed(base, "actor_depth", "critic_depth"))
    seeds = jnp.asarray([*range(SEEDS), *[0] * (len(rows) - SEEDS)])
    hypers = jtu.tree_map(lambda *leaves: jnp.stack(leaves), *rows)
    program = jax.jit(jax.vmap(train))
    return program, seeds, hypers, program(seeds, hypers)


def changed(hypers, *names):
    return dataclasses.replace(
        hypers, **{name: jnp.asarray(HYPER_CHANGES[name], getattr(hypers, name).dtype) for name in names}
    )


# A call is init and a loop of epoch


def test_a_call_is_init_and_a_host_loop_bit_for_bit(result, host_loop):
    states, metrics = host_loop
    assert_equal(result.state, states[-1])
    assert_equal(result.metrics, metrics)


@pytest.mark.parametrize(
    "seed", [jr.key(0), jnp.asarray(0), jnp.uint32(0), np.int32(0)], ids=["key", "i32", "u32", "np"]
)
def test_every_kind_of_seed_means_the_same(train, host_loop, seed):
    assert_equal(train.init(seed), host_loop[0][0])


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(train, result, other):
    assert_equal(train(0), result)
    for part in ("agent", "obs", "queue", "key"):
        pairs = zip(
            named(getattr(result.state, part)).values(), named(getattr(other.state, part)).values(), strict=True
        )
        assert any((a != b).any() for a, b in pairs), part
    assert (result.metrics.agent.critic.loss != other.metrics.agent.critic.loss).all()


@pytest.mark.parametrize("seed, kind", [(1.0, TypeError), (True, TypeError), ("0", TypeError), (-1, ValueError)])
def test_other_seeds_are_refused(train, seed, kind):
    with unchecked(), pytest.raises(kind, match="`seed` must"):
        train.init(seed)


def test_make_train_takes_a_config_only():
    from deepcrl import make_train

    with unchecked(), pytest.raises(TypeError, match="takes a `Config`"):
        make_train("point_u_maze")


def test_state_bytes_are_those_of_a_state(train, host_loop):
    leaves = named(host_loop[0][0]).values()
    assert train.state_bytes() == sum(leaf.nbytes for leaf in leaves)


# Metrics


def test_counters_are_as_the_config_derives_them(train, result, host_loop):
    config, epoch = train.config, np.arange(1, train.config.epochs + 1)
    per_epoch = config.steps_per_epoch * config.updates_per_step
    np.testing.assert_array_equal(
        result.metrics.env_steps, config.prefill_env_steps + epoch * config.env_steps_per_epoch
    )
    np.testing.assert_array_equal(result.metrics.grad_steps, epoch * per_epoch)
    assert result.state.env_steps == config.actual_env_steps
    assert result.state.grad_steps == config.actual_updates
    assert host_loop[0][0].env_steps == config.prefill_env_steps
    assert host_loop[0][0].grad_steps == 0
    # Every environment step is in the buffer's clock, and as many episodes have ended as it says.
    assert result.state.queue.num_added * config.num_envs == config.actual_env_steps
    np.testing.assert_array_equal(
        result.state.env.episode_id, config.actual_env_steps // config.num_envs // config.episode_length
    )


def test_metrics_are_finite_and_move(result):
    for name, values in named(result.metrics).items():
        assert values.shape == (2,), name
        assert np.isfinite(values).all(), name
    for name, values in named(result.metrics.agent).items():
        if "accuracy" not in name:
            assert values[0] != values[1], name
    for name in ("success_any", "time_at_goal", "success_end"):
        np.testing.assert_array_equal(getattr(result.metrics, name), getattr(result.metrics.evaluation, name))
    np.testing.assert_array_equal(result.metrics.evaluation.episode_length, 20.0)


def test_evaluation_of_a_state_is_deterministic_and_the_one_in_the_metrics(train, result, host_loop):
    first = train.evaluate(result.state)
    assert_equal(train.evaluate(result.state), first)
    assert_close(first, lane(result.metrics.evaluation, -1), 1e-5)
    assert first.distance != train.evaluate(host_loop[0][0]).distance


def test_the_policy_is_the_agents(train, result):
    from deepcrl import make_train

    policy, noisy = train.policy(result.state), train.policy(result.state, deterministic=False)
    observation, goal, one, two = jnp.ones(4), jnp.zeros(2), jr.key(1), jr.key(2)
    assert_equal(policy(observation, goal, key=one), policy(observation, goal, key=two))
    assert (noisy(observation, goal, key=one) != noisy(observation, goal, key=two)).all()
    as_evaluated = make_train(tiny(eval_actions="stochastic")).policy(result.state)
    assert_equal(as_evaluated(observation, goal, key=one), noisy(observation, goal, key=one))
    mean = result.state.agent.policy(observation, goal).mean
    np.testing.assert_allclose(policy(observation, goal, key=one), jnp.tanh(mean), atol=1e-6)


# Lanes


def test_vmapped_seeds_are_single_runs(train, result, other, sweep):
    for index, single in enumerate((result, other, train(2))):
        assert_close(lane(sweep[-1], index), single)


def test_every_hyper_changes_its_lane(sweep):
    from deepcrl import Hypers

    own = {field.name for field in dataclasses.fields(Hypers) if getattr(tiny().hypers(), field.name) is not None}
    assert own == set(HYPER_CHANGES)
    result = sweep[-1]
    base = named((lane(result.state.agent, 0), lane(result.metrics.agent, 0)))
    for index, name in enumerate(HYPER_CHANGES, SEEDS):
        mine = named((lane(result.state.agent, index), lane(result.metrics.agent, index)))
        assert max(np.abs(mine[leaf] - base[leaf]).max() for leaf in base) > 1e-3, name


def test_a_lane_touches_no_other(sweep):
    program, seeds, hypers, before = sweep
    wild = jtu.tree_map(lambda leaf: leaf.at[0].set(jnp.asarray(4, leaf.dtype)), hypers)
    after = program(seeds.at[0].set(99), wild)
    for index in range(1, len(seeds)):
        assert_equal(lane(after, index), lane(before, index))
    assert (lane(after.metrics.agent.critic.loss, 0) != lane(before.metrics.agent.critic.loss, 0)).all()


def test_a_shallow_lane_of_a_deep_program_is_a_shallow_program(sweep, host_loop):
    from deepcrl import make_train

    shallow = jax.jit(make_train(tiny(agent={"depth": 4})))(0)
    deep = lane(sweep[-1], BOTH_SHALLOW)
    assert_close(deep.metrics, shallow.metrics)
    in_trunk = lambda name: ".trunk.blocks" in name
    initial, deep_leaves, shallow_leaves = (named(tree) for tree in (host_loop[0][0], deep.state, shallow.state))
    assert sum(map(in_trunk, deep_leaves)) >= 3 * 16
    for name, leaf in shallow_leaves.items():
        mine = deep_leaves[name]
        if in_trunk(name):
            mine, idle = mine[:1], mine[1:]
            np.testing.assert_allclose(idle, initial[name][1:], rtol=0.0, atol=1e-6, err_msg=name)
        assert_near(mine.astype(float), leaf.astype(float), 1e-4, name)


def test_lanes_are_the_cross_product_with_seeds_fastest():
    from deepcrl import lanes

    config = tiny()
    seeds, hypers = lanes(config, seeds=range(5, 7), depth=(4, 8), gamma=[0.9, 1])
    assert seeds.dtype == jnp.int32
    assert seeds.tolist() == [5, 6] * 4
    assert hypers.actor_depth.tolist() == hypers.critic_depth.tolist() == [4, 4, 4, 4, 8, 8, 8, 8]
    np.testing.assert_allclose(hypers.gamma, [0.9, 0.9, 1.0, 1.0] * 2, rtol=1e-6)
    default = config.hypers()
    for name in HYPER_CHANGES:
        assert getattr(hypers, name).dtype == getattr(default, name).dtype
        assert getattr(hypers, name).shape == (8,)
    np.testing.assert_array_equal(hypers.actor_lr, default.actor_lr)


def test_lanes_take_seeds_alone_one_depth_alone_and_iterators():
    from deepcrl import lanes

    seeds, hypers = lanes(tiny(), seeds=iter([3]), critic_depth=iter([4, 8]))
    assert seeds.tolist() == [3, 3]
    assert hypers.critic_depth.tolist() == [4, 8]
    assert hypers.actor_depth.tolist() == [8, 8]
    assert lanes(tiny(), seeds=[1, 2]).hypers.gamma.shape == (2,)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"gama": [0.9]}, "Did you mean `gamma`"),
        ({"depth": [6]}, "4 or 8"),
        ({"depth": [4, 12]}, r"must not exceed.*8; got 12.*CRL\(depth=12\)"),
        ({"critic_depth": [12]}, "`critic_depth` must not exceed"),
        ({"width": [4, 16]}, r"`width` must not exceed.*8; got 16.*CRL\(width=16\)"),
        ({"width": [0]}, "`width` must be at least 1, got 0"),
        ({"gamma": []}, "`gamma` must list at least one"),
        ({"seeds": []}, "`seeds` must list at least one"),
        ({"depth": [4], "actor_depth": [4]}, "either `depth`"),
    ],
)
def test_lanes_that_cannot_be_are_refused(settings, message):
    from deepcrl import lanes

    with unchecked(), pytest.raises(ValueError, match=message):
        lanes(tiny(), **{"seeds": [0], **settings})


@pytest.mark.parametrize("depth, message", [(12, "must not exceed"), (6, "multiple of 4")])
def test_hypers_deeper_than_built_are_refused_before_the_run(train, depth, message):
    hypers = dataclasses.replace(train.config.hypers(), actor_depth=jnp.asarray(depth, jnp.int32))
    with pytest.raises(ValueError, match=message):
        train.init(0, hypers)


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
    return program(tiny())


@pytest.fixture(scope="module")
def base_agent():
    text = agent_text(tiny().agent)
    assert text == agent_text(tiny().agent)
    return text


def test_every_field_is_perturbed():
    from deepcrl import Config
    from deepcrl.agents import CRL
    from deepcrl.nn import BlockSpec

    assert {field.name for field in dataclasses.fields(Config)} == set(CONFIG_CHANGES)
    assert {field.name for field in dataclasses.fields(CRL)} == set(AGENT_CHANGES)
    assert {field.name for field in dataclasses.fields(BlockSpec)} == set(TRUNK_CHANGES)


def test_equal_configs_are_equal_programs(base_program):
    assert program(tiny()) == base_program


@pytest.mark.parametrize("name", [name for name in CONFIG_CHANGES if name not in ("agent", "lane_layout")])
def test_every_setting_changes_the_program(base_program, name):
    assert program(tiny(**{name: CONFIG_CHANGES[name]})) != base_program


@pytest.mark.parametrize("name", [name for name in AGENT_CHANGES if name not in HYPER_CHANGES and name != "trunk"])
def test_every_structural_setting_of_the_agent_changes_the_program(base_program, base_agent, name):
    changed = tiny(agent={name: AGENT_CHANGES[name]})
    if name == "hindsight":  # of the loop, on behalf of the agent
        assert program(changed)[0] != base_program[0]
    else:
        assert agent_text(changed.agent) != base_agent


@pytest.mark.parametrize("name", TRUNK_CHANGES)
def test_every_setting_of_the_trunk_changes_the_program(base_agent, name):
    from deepcrl.nn import BlockSpec

    assert agent_text(tiny(agent={"trunk": BlockSpec(**{name: TRUNK_CHANGES[name]})}).agent) != base_agent


@pytest.mark.parametrize("name", [name for name in AGENT_CHANGES if name in HYPER_CHANGES])
def test_every_number_of_the_agent_is_its_own_hyper(name):
    """And every hyper changes its lane, as is seen above."""
    before, after = (named(config.hypers()) for config in (tiny(), tiny(agent={name: AGENT_CHANGES[name]})))
    assert [leaf for leaf in before if before[leaf] != after[leaf]] == [f".{name}"]
    np.testing.assert_allclose(after[f".{name}"], AGENT_CHANGES[name], rtol=1e-6)


@pytest.mark.parametrize("name", ["actor_depth", "critic_depth"])
def test_every_depth_of_its_own_changes_the_program(base_agent, name):
    assert agent_text(tiny(agent={name: AGENT_CHANGES[name]}).agent) != base_agent


def test_the_default_program_holds_no_callback(base_program):
    assert "callback" not in base_program[0]
    assert "callback" in program(tiny(debug_checks=True))[0]


def test_debug_checks_stop_at_the_first_number_that_is_not_finite(host_loop):
    from deepcrl import make_train

    checked = make_train(tiny(debug_checks=True))
    state = host_loop[0][0]
    epoch = jax.jit(checked.epoch)
    healthy, _ = epoch(state)
    assert_close(healthy, host_loop[0][1])
    poisoned = eqx.tree_at(lambda s: s.agent.log_alpha, state, jnp.float32(jnp.nan))
    with pytest.raises((RuntimeError, ValueError), match="A metric of this epoch is not finite"):
        jax.block_until_ready(epoch(poisoned))


def test_debug_checks_look_at_observations_too(host_loop):
    from deepcrl.train._trainer import _check_finite

    state = host_loop[0][0]
    assert_equal(_check_finite(state, jnp.zeros(())), state)
    poisoned = eqx.tree_at(lambda s: s.obs.desired_goal, state, state.obs.desired_goal.at[0, 0].set(jnp.inf))
    with pytest.raises((RuntimeError, ValueError), match="observation of this epoch is not finite"):
        jax.block_until_ready(_check_finite(poisoned, jnp.zeros(())))
