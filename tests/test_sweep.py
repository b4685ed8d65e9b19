"""Lanes and sweeps: every lane equals its own single run; what lanes are told apart by; what cannot be one program."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import pytest
from strategies import tiny, unchecked
from trees import assert_close, assert_equal, lane


@pytest.fixture(scope="module")
def config():
    return tiny()


def rest(sweep):
    """Its epochs by a host loop: the last states, and the metrics of all."""
    states, metrics = sweep.init(), []
    for _ in range(sweep.lanes.lanes[0].config.epochs):
        states, new = sweep.epoch(states)
        metrics.append(new)
    return states, jtu.tree_map(lambda *leaves: np.stack(leaves, axis=1), *metrics)


# -- what a sweep computes ---------------------------------------------------------------------------------------------


def test_every_lane_is_its_own_single_run_bit_for_bit(swept):
    """Lanes of two sizes and two discounts in one program, against programs of single lanes, called and in a host loop."""
    from deepcrl import Lanes, Sweep

    assert swept.lanes.groups == ((0, 2), (1,))
    for place, one in enumerate(swept.lanes):
        single = Sweep(Lanes((one,)))
        if one.config.agent.depth == 4:
            result = single()
            states, metrics = result.states, result.metrics
        else:
            states, metrics = rest(single)
            assert_equal(lane(single.evaluate(states), 0), lane(metrics.evaluation, (0, -1)))
        assert_equal(lane(states[0], 0), swept.state(place))
        assert_equal(lane(metrics, 0), lane(swept.metrics, place))


def test_a_lane_of_a_sweep_is_a_call_but_for_rounding(trained, swept):
    assert_close(swept.state(0), trained.state)
    assert_close(lane(swept.metrics, 0), trained.metrics)


@pytest.mark.slow
def test_a_program_of_four_sizes_gives_every_lane_its_own_numbers():
    from deepcrl import Lanes, Sweep, sweep

    result = sweep(tiny(), seeds=(0, 1), depth=(4, 8), width=(8, 16))
    for place, one in enumerate(result.lanes):
        single = Sweep(Lanes((one,)))()
        assert_equal(single.state(0), result.state(place))
        assert_equal(lane(single.metrics, 0), lane(result.metrics, place))


def test_layouts_run_every_lane_alike():
    from deepcrl import make_train
    from deepcrl.train._sweep import _every, _measured

    def run(state):
        return eqx.tree_at(lambda s: s.grad_steps, state, state.grad_steps + state.env_steps), state.hypers.gamma

    serial, batched = (make_train(tiny(lane_layout=layout)) for layout in ("serial", "batched"))
    numbers = jtu.tree_map(lambda leaf: jnp.stack([leaf, 0.5 * leaf]), serial.config.hypers())
    states = jax.vmap(serial.fresh)(jr.split(jr.key(0), 2), numbers)
    states = eqx.tree_at(lambda s: s.env_steps, states, jnp.arange(2))
    new, gammas = _every(serial, run, states)
    assert_equal(_every(batched, run, states), (new, gammas))
    assert new.grad_steps.tolist() == [0, 1] and gammas.tolist() == states.hypers.gamma.tolist()
    for trainer in (serial, batched):
        assert_equal(_measured(trainer, lambda state: run(state)[1], states), gammas)
        loops = str(jax.make_jaxpr(lambda states, trainer=trainer: _every(trainer, run, states))(states)).count("scan[")
        assert loops == (trainer is serial)


# -- what lanes are ----------------------------------------------------------------------------------------------------


def test_the_cross_product_is_the_default_and_seeds_vary_fastest(config):
    from deepcrl import lanes

    table = lanes(config, seeds=(5, 6), depth=(8, 4), loss=("infonce", "flatnce")).table()
    assert [(row["lane"], row["depth"], row["loss"], row["seed"]) for row in table][:3] == [
        (0, 8, "infonce", 5),
        (1, 8, "infonce", 6),
        (2, 8, "flatnce", 5),
    ]
    assert len(table) == 8


def test_lanes_that_differ_in_numbers_are_one_group(config):
    from deepcrl import lanes

    few = lanes(config, seeds=iter([3, 4]), depth=(4, 8), gamma=[0.9, 1.0], width=(8, 9))
    assert few.groups == ((0, 1, 4, 5), (2, 3, 6, 7), (8, 9, 12, 13), (10, 11, 14, 15))
    assert few.hypers_of(few.groups[3]).gamma.tolist() == np.float32([0.9, 0.9, 1.0, 1.0]).tolist()


def test_depths_are_numbers_under_vmap_where_they_differ(config):
    from deepcrl import lanes

    assert lanes(config, depth=(4, 8)).hypers.critic_depth.tolist() == [4, 8]
    same = lanes(config, seeds=(1, 2), gamma=(0.9, 1.0), zipped=True)
    assert same.hypers.values.keys() == config.hypers().values.keys()
    assert same.hypers.gamma.dtype == jnp.float32 and same.seeds.tolist() == [1, 2]


def test_depth_sets_all_depths(config):
    from deepcrl import CRL, lanes

    (one,) = lanes(dataclasses.replace(config, agent=CRL(actor_depth=16)), depth=(8,))
    assert (one.config.agent.depth, one.config.agent.actor_depth) == (8, None)


def test_lanes_may_differ_in_the_settings_of_the_config(config):
    from deepcrl import lanes

    few = lanes(config, seeds=range(2), batch_size=(8, 16))
    assert [one.config.batch_size for one in few] == [8, 8, 16, 16]
    assert few.groups == ((0, 1), (2, 3))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"dpeth": (4,)}, r"cannot differ in 'dpeth'. Did you mean `depth`"),
        ({"epochs": (1, 2)}, "Lanes share their epochs"),
        ({"depth": ()}, "`depth` must list at least one value"),
        ({"depth": 4}, r"`depth` must list one or more values, for example `depth=\(4,\)`"),
        ({"depth": (6,)}, "4 or 8"),
        ({"gamma": (1.5,)}, r"`gamma` must be a finite number in \(0, 1\], got 1.5"),
        ({"gamma": (float("nan"),)}, "`gamma` must be a finite number"),
        ({"actor_lr": (-1e-3,)}, "`actor_lr` must be a finite number"),
        ({"seeds": 3}, r"`seeds` must list one or more values, for example `seeds=\(3,\)`"),
        ({"seeds": (0, 0)}, "Two lanes are the same, seed 0"),
        ({"seeds": (2**32,)}, r"`seeds` must be in \[0, 2\^32\), got 4294967296"),
        ({"seeds": (-1,)}, r"`seeds` must be in \[0, 2\^32\), got -1"),
        ({"seeds": (0.5,)}, "`seeds` must be integers"),
        ({"seeds": (0, 1), "depth": (4,), "zipped": True}, r"of one length, got \{'seeds': 2, 'depth': 1\}"),
    ],
)
def test_bad_lanes_are_refused_with_the_remedy(config, settings, message):
    from deepcrl import lanes

    with unchecked(), pytest.raises((ValueError, TypeError), match=message):
        lanes(config, **settings)


def test_seeds_may_be_an_array(config):
    from deepcrl import lanes

    with unchecked():
        assert [one.seed for one in lanes(config, seeds=jnp.arange(2))] == [0, 1]


def test_what_cannot_be_vmapped_has_no_hypers(config):
    from deepcrl import lanes

    with pytest.raises(ValueError, match=r"differ in more than numbers \(width\).*deepcrl.sweep"):
        lanes(config, width=(4, 8)).hypers  # noqa: B018


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"actor_depth": 12, "critic_depth": 8}, "must not exceed the depth that the config builds, 8; got 12"),
        ({"actor_depth": 6}, "4 or 8"),
        ({"tau": 0.1}, r"CRL has no use for these hypers: \['tau'\]"),
    ],
)
def test_hypers_that_do_not_fit_are_refused(train, changes, message):
    from deepcrl import Hypers

    with unchecked(), pytest.raises(ValueError, match=message):
        train(0, Hypers(**{**train.config.hypers().values, **changes}))


def test_hypers_say_which_numbers_they_have():
    from deepcrl import Hypers

    with pytest.raises(AttributeError, match=r"no number 'gama'\. They have: gamma"):
        Hypers(gamma=0.9).gama  # noqa: B018


# -- results -----------------------------------------------------------------------------------------------------------


def test_select_gives_the_lanes_with_a_setting(swept):
    shallow, deep = swept.select(depth=4), swept.select(depth=8, seed=4)
    assert [row["seed"] for row in shallow.lanes.table()] == [0]
    assert_equal(shallow.state(0), swept.state(1))
    assert_equal(deep.state(0), swept.state(2))
    np.testing.assert_array_equal(deep.metrics.success_any, swept.metrics.success_any[2:])
    with pytest.raises(ValueError, match=r"No lane has \{'depth': 16\}. The lanes have \{'depth': \[8, 4\]\}"):
        swept.select(depth=16)
    with pytest.raises(ValueError, match=r"Lanes have no setting 'dept'\. Did you mean `depth`"):
        swept.select(dept=4)
    with pytest.raises(ValueError, match="`lane` must be one of 3 lanes, from 0; got 3"):
        swept.state(3)


def test_rows_tell_lanes_apart_by_what_they_were_given(swept):
    rows = swept.rows()
    told = [(row["lane"], row["epoch"], row["seed"], row["depth"], row["gamma"]) for row in rows]
    assert told[:4] == [(0, 1, 0, 8, 0.99), (0, 2, 0, 8, 0.99), (1, 1, 0, 4, 0.99), (1, 2, 0, 4, 0.99)]
    assert len(rows) == 3 * 2
    assert rows[3]["critic/loss"] == swept.metrics.agent.critic.loss[1, 1]
