"""A lane that diverges is marked and stops learning; the others compute what they would have computed."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest


POISONED = 1


def hypers_with(train, name, values):
    hypers = jax.tree.map(lambda leaf: jnp.full(len(values), leaf), train.config.hypers())
    return eqx.tree_at(lambda h: getattr(h, name), hypers, jnp.asarray(values, jnp.float32))


@pytest.fixture(scope="module")
def healthy(train):
    return jax.vmap(train)(jnp.arange(3), hypers_with(train, "critic_lr", [3e-4] * 3))


@pytest.fixture(scope="module", params=["critic_lr", "actor_lr", "alpha_lr", "logsumexp_penalty", "target_entropy"])
def poisoned(train, request):
    values = [float(getattr(train.config.agent, request.param))] * 3
    values[POISONED] = float("nan")
    return jax.vmap(train)(jnp.arange(3), hypers_with(train, request.param, values))


def lane(tree, index):
    return [np.asarray(leaf)[index] for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))]


def test_a_poisoned_lane_is_marked_and_no_other(poisoned, healthy):
    np.testing.assert_array_equal(poisoned.state.diverged, [False, True, False])
    np.testing.assert_array_equal(poisoned.metrics.diverged, [[False] * 2, [True] * 2, [False] * 2])
    assert not healthy.state.diverged.any() and not healthy.metrics.diverged.any()


def test_its_agent_stays_the_last_finite_one(train, poisoned):
    started = jax.vmap(train.init)(jnp.arange(3))
    for leaf, first in zip(lane(poisoned.state.agent, POISONED), lane(started.agent, POISONED), strict=True):
        np.testing.assert_array_equal(leaf, first)  # poisoned from the first update on
    np.testing.assert_array_equal(poisoned.state.grad_steps, [8, 0, 8])
    np.testing.assert_array_equal(poisoned.state.env_steps, 400)  # it still acts, so that lanes stay in step


def test_other_lanes_are_untouched(poisoned, healthy):
    for index in (0, 2):
        for leaf, other in zip(lane(poisoned.state, index), lane(healthy.state, index), strict=True):
            np.testing.assert_array_equal(leaf, other)


def test_a_lane_that_diverges_later_keeps_what_it_had_learnt(train):
    """By hand: the state after an epoch, then one number of its buffer spoilt."""
    state = train.epoch(train.init(0))[0]
    spoilt = jnp.full_like(state.queue.data.observation, jnp.nan)
    marked, metrics = train.epoch(eqx.tree_at(lambda s: s.queue.data.observation, state, spoilt))
    assert bool(marked.diverged) and bool(metrics.diverged)
    assert int(marked.grad_steps) == int(state.grad_steps) == 4
    assert eqx.tree_equal(marked.agent, state.agent)


@pytest.mark.parametrize("value, finite", [(1.0, True), (jnp.nan, False), (jnp.inf, False), (-jnp.inf, False)])
def test_all_finite_looks_at_every_float_and_nothing_else(value, finite):
    from deepcrl.train._divergence import all_finite

    tree = {"a": jnp.ones((2, 3)).at[1, 2].set(value), "b": jnp.int32(2), "c": jnp.bool_(True), "d": jnp.ones(())}
    assert bool(all_finite(tree)) is finite


def test_all_finite_of_nothing_is_true():
    from deepcrl.train._divergence import all_finite

    assert bool(all_finite({"count": jnp.int32(1)}))
