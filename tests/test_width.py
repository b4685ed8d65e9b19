"""Lanes of different depth and width: each is its single run, padded; what is hidden is masked, or refused."""

import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import pytest
from strategies import corner, padded, tiny
from test_lanes import assert_close


SMALL, LARGE = (4, 4, 5), (8, 8, 8)  # depths and width of the lanes of `sweep`


def lane(tree, index):
    return jtu.tree_map(lambda leaf: leaf[index], tree)


def test_every_lane_is_its_single_run_bit_for_bit(train, result):
    from deepcrl import make_train

    small = make_train(tiny(agent={"depth": 4, "width": 5}))
    for index, single in ((0, small(3)), (1, train(3)), (2, small(4))):
        mine = lane(result, index)
        assert_close(corner(mine.state.agent, single.state.agent), single.state.agent, 0.0)
        assert_close((mine.metrics, mine.state.queue), (single.metrics, single.state.queue), 0.0)


def test_a_single_call_is_the_lane(train, sweep, result):
    assert_close(train(3, lane(sweep.hypers, 0)), lane(result, 0), 0.0)


def test_all_but_a_lane_s_own_units_is_zero(train, result):
    own = train.at_size(width=5).lane_shapes().agent
    for index in (0, 2):
        mine = lane(result.state.agent, index)
        assert_close(mine, padded(corner(mine, own), mine), 0.0)
        assert_close(mine.policy.encoder.trunk.blocks.layers[0].norm.weight[1, :5], np.ones(5), 0.0)  # an idle block


def test_groups_have_networks_of_their_own_size(train, result):
    assert set(train._resized) >= {SMALL, LARGE}
    for depth, _, width in (SMALL, LARGE):
        kernel = train.at_size(depth, depth, width).lane_shapes().agent.policy.encoder.trunk.blocks.layers[0].linear
        assert kernel.weight.shape == (depth // 4, width, width)


def test_hidden_widths_are_masked(train, fresh, result):
    """A `jit` around the vmap: two epochs, after which padding is still exactly zero."""
    epoch, state = jax.jit(jax.vmap(train.epoch)), fresh
    for _ in range(train.config.epochs):
        state, _ = epoch(state)
    assert_close(state, result.state, 1e-5)
    own = train.at_size(width=5).lane_shapes().agent
    narrow = lane(state.agent, 0)
    assert_close(narrow, padded(corner(narrow, own), narrow), 0.0)


def test_policies_and_values_of_padded_states_are_the_narrow_network_s(train, fresh):
    small = train.at_size(*SMALL)
    observation, goal = jr.normal(jr.key(0), (4,)), jr.normal(jr.key(1), (2,))

    def asked(trainer, agent, hypers):
        value = trainer.agent.value(agent, observation, goal, hypers)
        return trainer.agent.act(agent, observation, goal, hypers, key=jr.key(0)), value

    lanes = jax.jit(jax.vmap(lambda state: asked(train, state.agent, state.hypers)))(fresh)
    narrow = corner(lane(fresh.agent, 0), small.lane_shapes().agent)
    single = jax.jit(lambda state: asked(small, state, small.config.hypers()))(narrow)
    assert_close(lane(lanes, 0), single, 1e-5)


@pytest.mark.parametrize("hide", [lambda train: jax.jit(jax.vmap(train.init)), lambda train: jax.jit(jax.vmap(train))])
def test_weights_of_hidden_widths_are_refused(train, sweep, hide):
    with pytest.raises(ValueError, match=r"Initial weights depend on a lane's `width`.*make_train\(config, hypers"):
        hide(train)(*sweep)


def test_a_promise_without_widths_is_none_for_lanes_with_them(sweep):
    from deepcrl import lanes, make_train

    unsaid = lanes(tiny(), seeds=(3, 3, 4), depth=(4, 8, 4), zipped=True)
    with pytest.raises(ValueError, match="Initial weights depend"):
        jax.jit(jax.vmap(make_train(tiny(), hypers=unsaid.hypers).init))(*sweep)


def test_a_promise_shows_the_widths(sweep, fresh):
    from deepcrl import make_train

    train = make_train(tiny(), hypers=sweep.hypers)
    assert_close(jax.jit(jax.vmap(train.init))(*sweep), fresh, 0.0)
    assert set(train._resized) >= {SMALL, LARGE}


def test_tables_and_rows_say_the_width(sweep, result):
    widths = [5, 8, 5]
    assert [row["width"] for row in sweep.table()] == widths
    chosen = result.select(width=5)
    np.testing.assert_array_equal(chosen.metrics.success_any, result.metrics.success_any[jnp.array([0, 2])])
    assert [row["width"] for row in result.rows()] == [width for width in widths for _ in range(2)]
    with pytest.raises(ValueError, match=r"No lane has .*'width': \[5, 8\]"):
        result.select(width=4)
