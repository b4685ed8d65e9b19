"""Lanes and sweeps: every lane equals its own single run; what lanes are told apart by; what cannot be one program."""

import dataclasses
import operator

import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import pytest
from strategies import tiny


def leaves(tree):
    """Of any tree, keys as numbers."""
    is_key = lambda leaf: jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return [
        (jtu.keystr(path), np.asarray(jr.key_data(leaf) if is_key(leaf) else leaf))
        for path, leaf in jtu.tree_leaves_with_path(tree)
    ]


def assert_equal(actual, desired):
    for (path, a), (_, b) in zip(leaves(actual), leaves(desired), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=path)


def assert_close(actual, desired, tolerance=1e-5):
    for (path, a), (_, b) in zip(leaves(actual), leaves(desired), strict=True):
        if not path.endswith(".accuracy"):  # of a batch of 8: rounding turns a tie
            np.testing.assert_allclose(a, b, tolerance, tolerance, err_msg=path)


@pytest.fixture(scope="module")
def config():
    return tiny()


# -- what a sweep computes ---------------------------------------------------------------------------------------------


def test_every_lane_is_its_own_single_run_bit_for_bit(config, swept):
    """Lanes of two depths, two widths and two discounts in one program, against the programs of single lanes."""
    from deepcrl import Lanes, Sweep

    assert len(swept.lanes.groups) == 2
    for place, lane in enumerate(swept.lanes):
        single = Sweep(Lanes((lane,)))()
        assert_equal(single.state(0), swept.state(place))
        own = jtu.tree_map(operator.itemgetter(0), single.metrics)
        assert_equal(own, jtu.tree_map(operator.itemgetter(place), swept.metrics))


def test_a_call_is_init_and_epochs(swept):
    from deepcrl import Sweep

    programs = Sweep(swept.lanes)
    states = programs.init()
    for epoch in range(swept.metrics.env_steps.shape[1]):
        states, metrics = programs.epoch(states)
        assert_equal(metrics, jtu.tree_map(lambda leaf, epoch=epoch: leaf[:, epoch], swept.metrics))
    assert_equal(states, swept.states)
    assert_equal(programs.evaluate(states), metrics.evaluation)


def test_plain_vmap_computes_the_lanes_of_numbers(train, swept):
    """Batched and, where depths differ, masked: equal to the sweep's but for rounding."""
    from deepcrl import lanes

    few = lanes(train.config, seeds=(3, 4), depth=(4, 8), gamma=(0.9, 0.99), zipped=True)
    assert set(few.hypers.values) >= {"actor_depth", "critic_depth", "gamma"}
    result = jax.vmap(train)(few.seeds, few.hypers)
    batched = dataclasses.replace(train.config, lane_layout="batched")
    from deepcrl import sweep

    own = sweep(batched, seeds=(3, 4), depth=(4, 8), gamma=(0.9, 0.99), zipped=True)
    assert_close(result.metrics, own.metrics)


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


def test_depth_sets_all_depths(config):
    from deepcrl import CRL, lanes

    (lane,) = lanes(dataclasses.replace(config, agent=CRL(actor_depth=16)), depth=(8,))
    assert (lane.config.agent.depth, lane.config.agent.actor_depth) == (8, None)


def test_lanes_may_differ_in_the_settings_of_the_config(config):
    from deepcrl import lanes

    few = lanes(config, seeds=range(2), batch_size=(8, 16))
    assert [lane.config.batch_size for lane in few] == [8, 8, 16, 16]
    assert few.groups == ((0, 1), (2, 3))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"dpeth": (4,)}, r"cannot differ in 'dpeth'. Did you mean `depth`"),
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

    with pytest.raises((ValueError, TypeError), match=message):
        lanes(config, **settings)


def test_seeds_may_be_an_array(config):
    from deepcrl import lanes

    assert [lane.seed for lane in lanes(config, seeds=jnp.arange(2))] == [0, 1]


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

    with pytest.raises(ValueError, match=message):
        train(0, Hypers(**{**train.config.hypers().values, **changes}))


def test_hypers_say_which_numbers_they_have():
    from deepcrl import Hypers

    with pytest.raises(AttributeError, match=r"no number 'gama'\. They have: gamma"):
        Hypers(gamma=0.9).gama  # noqa: B018


# -- results -----------------------------------------------------------------------------------------------------------


def test_select_gives_the_lanes_with_a_setting(swept):
    deep = swept.select(depth=8)
    assert [row["seed"] for row in deep.lanes.table()] == [3]
    assert_equal(deep.state(0), swept.state(1))
    np.testing.assert_array_equal(deep.metrics.success_any, swept.metrics.success_any[1:2])
    with pytest.raises(ValueError, match=r"No lane has \{'depth': 16\}. The lanes have \{'depth': \[4, 8\]\}"):
        swept.select(depth=16)
    with pytest.raises(ValueError, match=r"Lanes have no setting 'dept'\. Did you mean `depth`"):
        swept.select(dept=4)


def test_rows_tell_lanes_apart_by_what_they_were_given(swept):
    rows = swept.rows()
    assert len(rows) == 3 * 2
    assert [(row["lane"], row["epoch"], row["depth"], row["width"]) for row in rows][1:3] == [
        (0, 2, 4, 5),
        (1, 1, 8, 8),
    ]
    assert rows[3]["success_any"] == swept.metrics.success_any[1, 1]


def test_layouts_compute_the_same_but_for_rounding(swept):
    from deepcrl import sweep

    lane = swept.lanes.lanes[0]
    batched = sweep(
        dataclasses.replace(lane.config, lane_layout="batched", agent=dataclasses.replace(lane.config.agent)),
        seeds=(3, 4),
    )
    assert_close(jtu.tree_map(lambda leaf: leaf[0], batched.metrics), jtu.tree_map(lambda leaf: leaf[0], swept.metrics))
