"""Lanes: layouts, nested vmaps, promises; tables and labels."""

import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import pytest
from strategies import tiny, unchecked


def assert_close(actual, desired, tolerance):
    as_array = lambda leaf: jr.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
    pairs = zip(jtu.tree_leaves_with_path(actual), jtu.tree_leaves(desired), strict=True)
    for (path, a), b in pairs:
        if jtu.keystr(path).endswith(".accuracy"):
            continue  # of a batch of 8: rounding turns a tie
        np.testing.assert_allclose(as_array(a), as_array(b), tolerance, tolerance, err_msg=jtu.keystr(path))


@pytest.fixture(scope="module")
def config():
    return tiny()


# -- the staircase: that its lanes are masked ones and single runs is seen in test_width.py ------------------------------


def test_batched_lanes_compute_what_serial_ones_do(config, sweep, result):
    from deepcrl import make_train

    batched = make_train(dataclasses.replace(config, lane_layout="batched"))
    assert_close(jax.vmap(batched)(*sweep), result, 1e-5)
    programs = {
        layout: str(jax.make_jaxpr(jax.vmap(make_train(dataclasses.replace(config, lane_layout=layout)).init))(*sweep))
        for layout in (None, "serial", "batched")
    }
    assert programs[None] == programs["serial"] != programs["batched"]


def test_idle_blocks_keep_their_initial_weights(sweep, result, fresh):
    for name in ("policy", "critic"):
        trained, initial = (
            {jtu.keystr(path): leaf for path, leaf in jtu.tree_leaves_with_path(getattr(state.agent, name))}
            for state in (result.state, fresh)
        )
        for key in (key for key in trained if ".trunk.blocks" in key and key.endswith("linear.weight")):
            for lane, row in enumerate(sweep.table()):
                active = row["actor_depth"] // 4
                np.testing.assert_array_equal(trained[key][lane, active:], initial[key][lane, active:])
                assert (trained[key][lane, :active] != initial[key][lane, :active]).any()


def test_nested_vmaps_are_laid_out_too(train, sweep, fresh):
    """Of `init`, whose roll-out acts at each lane's size; calls and epochs are laid out by the same function."""
    fold = lambda leaf: leaf[:2].reshape(2, 1, *leaf.shape[1:])
    nested = jax.vmap(jax.vmap(train.init))(fold(sweep.seeds), jtu.tree_map(fold, sweep.hypers))
    assert_close(nested, jtu.tree_map(fold, fresh), 1e-5)
    hypers = jtu.tree_map(lambda leaf: leaf[:2], sweep.hypers)
    closed_over = jax.vmap(lambda seed: jax.vmap(lambda hypers: train.init(seed, hypers))(hypers))(sweep.seeds[1:])
    unfolded = jtu.tree_map(lambda leaf: leaf.reshape(4, *leaf.shape[2:])[:3], closed_over)  # the fourth is large, of 4
    assert_close(unfolded, fresh, 1e-5)


@pytest.mark.slow
def test_a_host_loop_is_laid_out_by_promise_where_it_donates(config, sweep, result):
    from deepcrl import make_train

    train = make_train(config, hypers=sweep.hypers)
    state = jax.vmap(train.init)(*sweep)
    epoch = jax.jit(jax.vmap(train.epoch), donate_argnums=0)
    for _ in range(config.epochs):
        state, _ = epoch(state)
    assert set(train._resized) >= {(4, 4, 5), (8, 8, 8)}
    assert_close(state, result.state, 1e-5)


def test_a_promise_needs_a_lane_axis(config):
    from deepcrl import make_train

    with pytest.raises(ValueError, match="one leading `lane` axis"):
        make_train(config, hypers=config.hypers())


# -- tables and labels -------------------------------------------------------------------------------------------------


def test_the_table_says_what_each_lane_is(sweep):
    table = sweep.table()
    assert [(row["lane"], row["seed"], row["actor_depth"], row["critic_depth"]) for row in table] == [
        (0, 3, 4, 4),
        (1, 3, 8, 8),
        (2, 4, 4, 4),
    ]
    assert {row["gamma"] for row in table} == {float(np.float32(0.99))}


def test_zipped_settings_stand_side_by_side(config):
    from deepcrl import lanes

    sweep = lanes(config, seeds=(5, 6), depth=(4, 8), gamma=(0.9, 0.5), zipped=True)
    assert [(row["seed"], row["actor_depth"], round(row["gamma"], 3)) for row in sweep.table()] == [
        (5, 4, 0.9),
        (6, 8, 0.5),
    ]
    with pytest.raises(ValueError, match=r"Zipped lists must be of one length, got .*'seeds': 1.*'depth': 2"):
        lanes(config, seeds=(5,), depth=(4, 8), zipped=True)


def test_the_cross_product_is_the_default(config):
    from deepcrl import lanes

    table = lanes(config, seeds=(5, 6), depth=(8, 4)).table()
    assert [(row["actor_depth"], row["seed"]) for row in table] == [(8, 5), (8, 6), (4, 5), (4, 6)]


def test_select_gives_the_lanes_with_a_setting(result):
    chosen = result.select(depth=8, gamma=0.99)
    for leaf, whole in zip(jtu.tree_leaves(chosen.metrics), jtu.tree_leaves(result.metrics), strict=True):
        np.testing.assert_array_equal(leaf, whole[np.array([1])])


@pytest.mark.parametrize(
    "settings, message",
    [({"dept": 4}, "no setting 'dept'.*`depth`"), ({"depth": 16}, r"No lane has .*'actor_depth': \[4, 8\]")],
)
def test_select_says_what_is_wrong(result, settings, message):
    with pytest.raises(ValueError, match=message):
        result.select(**settings)


def test_select_needs_lanes(result):
    single = jtu.tree_map(lambda leaf: leaf[0], result)
    with pytest.raises(ValueError, match="needs one lane axis"):
        single.select(depth=4)


def test_rows_are_tidy(sweep, result, config):
    rows = result.rows(seeds=sweep.seeds)
    assert len(rows) == len(sweep.seeds) * config.epochs
    assert {tuple(row) for row in rows} == {tuple(rows[0])}  # the same columns in the same order
    row = next(row for row in rows if (row["seed"], row["actor_depth"], row["epoch"]) == (4, 4, 2))
    lane = row["lane"]
    assert lane == 2
    assert row["success_any"] == result.metrics.success_any[lane, 1]
    assert row["critic/loss"] == result.metrics.agent.critic.loss[lane, 1]
    assert row["env_steps"] == 400
    with unchecked():
        assert "seed" not in result.rows()[0]
