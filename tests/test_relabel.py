"""Hindsight goals: never of another episode, never past the newest step, and from the law of the published code."""

import functools as ft

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import pytest
import references as ref
from hypothesis import given


NUM_ENVS, LENGTH = 2, 12
N = 20_000


@ft.cache
def draw_keys():
    return jr.split(jr.key(12), N)


@ft.cache
def make_queue():
    from deepcrl.replay import TrajectoryQueue

    return TrajectoryQueue(NUM_ENVS, LENGTH)


@ft.cache
def empty_queue():
    rollout = ref.transitions(np.arange(1), np.zeros((1, 1), int), np.zeros((1, 1), bool))
    return make_queue().init(jtu.tree_map(lambda leaf: leaf[0, 0], rollout))


@ft.cache
def jitted_add():
    return jax.jit(make_queue().add)


def fill(ends, chunk=8):
    """A queue and its model after the steps of `ends` (`time env`), added `chunk` at a time."""
    model, state = ref.QueueModel(NUM_ENVS, LENGTH), empty_queue()
    for start in range(0, len(ends), chunk):
        part = ends[start : start + chunk]
        state = jitted_add()(state, ref.transitions(*model.add(part), part))
    return state, model


def decode(goals):
    """Environment, episode and time that the goals come from."""
    code = np.asarray(goals) - 0.25
    assert np.all(code == np.round(code))
    return code.astype(int).T


@ft.cache
def draw_and_relabel(name):
    """A batch of samples and their goals: one compiled function for all values of gamma."""
    from deepcrl.replay import relabelling_from_name

    queue = make_queue()

    def one(state, gamma, key):
        sample_key, goal_key = jr.split(key)
        sample = queue.sample(state, key=sample_key)
        return sample, relabelling_from_name(name, gamma)(queue, state, sample, key=goal_key)

    return jax.jit(jax.vmap(one, (None, None, 0)))


@ft.cache
def relabel_one_step(name):
    """Many goals of the step that one environment took at one time."""
    from deepcrl.replay import relabelling_from_name, Sample

    queue = make_queue()

    def one(state, gamma, env, time, key):
        sample = Sample(queue.at(state, env, time), env, time)
        return relabelling_from_name(name, gamma)(queue, state, sample, key=key)

    return jax.jit(jax.vmap(one, (None, None, None, None, 0)))


GAMMAS = st.one_of(
    st.sampled_from([1.0, 0.99, 1e-6]), st.floats(0.0, 1.0, exclude_min=True, width=32, allow_subnormal=False)
)


@given(
    ends=st.sampled_from([8, 16, 24]).flatmap(lambda steps: hnp.arrays(bool, (steps, NUM_ENVS))),
    gamma=GAMMAS,
    seed=st.integers(0, 2**32 - 1),
)
def test_future_and_final_goals_stay_within_episode_and_queue(ends, gamma, seed):
    state, model = fill(ends)
    keys = jr.split(jr.key(np.uint32(seed)), 256)
    for name in ("future", "final"):
        sample, goals = draw_and_relabel(name)(state, jnp.float32(gamma), keys)
        env, episode, time = decode(goals)
        own_time = np.asarray(sample.time)
        np.testing.assert_array_equal(env, sample.env)
        np.testing.assert_array_equal(episode, sample.transition.episode_id)
        last = np.array([model.episode_end(e, t) for e, t in zip(env, own_time, strict=True)])
        assert np.all(time <= last)
        assert np.all(last < model.num_added)
        assert np.all(time >= np.minimum(own_time + 1, last))
        if name == "final":
            np.testing.assert_array_equal(time, last)


# The law of future goals


def steps_of(lengths):
    """`ends` of both environments from the lengths of the episodes of the first; the last episode is unfinished."""
    ends = np.zeros((sum(lengths), NUM_ENVS), bool)
    ends[np.cumsum(lengths)[:-1] - 1, 0] = True
    return ends


# Steps 0 to 3 are overwritten; stored are the rest of the first episode, one of a single step, one of 6, one of 3.
EPISODES = (6, 1, 6, 3)
STEPS = {4: 1, 5: 0, 6: 0, 7: 5, 10: 2, 11: 1, 12: 0, 13: 2, 14: 1, 15: 0}  # time: later steps of the episode


def assert_follows_published_law(times, model, time, gamma):
    counts = np.bincount(times, minlength=model.num_added)
    ref.assert_follows_law(counts, ref.future_law(model.episodes[0], time, gamma))


@pytest.mark.parametrize("gamma", [1.0, 0.99, 0.9, 0.5, 0.05])
def test_future_goals_follow_the_published_law(gamma):
    # n = 20000 a step. Catches a law off by one, cut off elsewhere, or of another discount.
    state, model = fill(steps_of(EPISODES))
    assert model.oldest == min(STEPS)
    for time, later in STEPS.items():
        assert model.episode_end(0, time) - time == later
        goals = relabel_one_step("future")(state, jnp.float32(gamma), jnp.int32(0), jnp.int32(time), draw_keys())
        env, _, times = decode(goals)
        assert np.all(env == 0)
        assert_follows_published_law(times, model, time, gamma)


def test_future_goals_of_a_long_episode_follow_the_published_law():
    # n = 20000, 11 later steps, in the other environment, whose only episode started before the oldest step.
    state, model = fill(steps_of(EPISODES))
    goals = relabel_one_step("future")(state, jnp.float32(0.9), jnp.int32(1), jnp.int32(4), draw_keys())
    env, _, times = decode(goals)
    assert np.all(env == 1)
    ref.assert_follows_law(np.bincount(times, minlength=16), ref.future_law(model.episodes[1], 4, 0.9))


def own_state_allowed(offset, later, newest):
    return np.minimum(offset - 1, later)


def clipped_not_truncated(offset, later, newest):
    return np.minimum(offset, later)


def across_episodes(offset, later, newest):
    return np.minimum(offset, newest)


def wrapped_not_truncated(offset, later, newest):
    return 1 + offset % later


@pytest.mark.parametrize("wrong", [own_state_allowed, clipped_not_truncated, across_episodes, wrapped_not_truncated])
def test_wrong_future_goals_fail(wrong):
    _, model = fill(steps_of(EPISODES))
    time, gamma = 7, 0.9
    offset = np.random.default_rng(0).geometric(1.0 - gamma, N)  # 1, 2, ... without end
    with pytest.raises(AssertionError):
        times = time + wrong(offset, STEPS[time], model.num_added - 1 - time)
        assert_follows_published_law(times, model, time, gamma)


def test_future_goals_of_another_discount_fail():
    state, model = fill(steps_of(EPISODES))
    goals = relabel_one_step("future")(state, jnp.float32(0.9), jnp.int32(0), jnp.int32(7), draw_keys())
    with pytest.raises(AssertionError):
        assert_follows_published_law(decode(goals)[2], model, 7, 0.95)


# Truncated geometric


@ft.cache
def jitted_geometric():
    from deepcrl.replay import truncated_geometric

    return jax.jit(jax.vmap(lambda gamma, n, key: truncated_geometric(gamma, n, key=key), (None, None, 0)))


def draw_offsets(gamma, maximum):
    return np.asarray(jitted_geometric()(jnp.float32(gamma), jnp.int32(maximum), draw_keys()))


@pytest.mark.parametrize("gamma", [1.0, 1.0 - 2e-6, 0.999, 0.99, 0.5, 0.01, 1e-6])
@pytest.mark.parametrize("maximum", [1, 2, 3, 20, 1000])
def test_truncated_geometric_follows_its_law(gamma, maximum):
    # n = 20000. Catches an offset of 0, a maximum never reached, a loss of precision near gamma = 1.
    offsets = draw_offsets(gamma, maximum)
    assert offsets.dtype == np.int32
    assert offsets.min() >= 1
    assert offsets.max() <= maximum
    counts = np.bincount(offsets - 1, minlength=maximum)
    law = ref.geometric_law(np.float64(np.float32(gamma)), maximum)
    ref.assert_follows_law(counts, law)


@pytest.mark.parametrize("gamma", [1.0, 0.9, 0.5])
def test_wrong_geometric_draws_fail(gamma):
    offsets, law = draw_offsets(gamma, 20), ref.geometric_law(gamma, 20)
    for wrong in (np.maximum(offsets - 1, 1), np.minimum(offsets + 1, 20), draw_offsets(0.95 * gamma, 20)):
        with pytest.raises(AssertionError):
            ref.assert_follows_law(np.bincount(wrong - 1, minlength=20), law)


@pytest.mark.parametrize("gamma", [1.0, 0.99999])
@pytest.mark.parametrize("maximum", [10**6, 2**24 + 1, 2**31 - 1])
def test_truncated_geometric_of_a_large_maximum(gamma, maximum):
    # n = 20000 in 20 cells of equal probability. Catches overflow, and float32 where integers run out.
    offsets = draw_offsets(gamma, maximum).astype(np.float64)
    assert offsets.min() >= 1
    assert offsets.max() <= maximum
    log_gamma = np.log(np.float64(np.float32(gamma)))
    if gamma == 1.0:
        below = (offsets - 0.5) / maximum
    else:
        below = np.expm1((offsets - 0.5) * log_gamma) / np.expm1(maximum * log_gamma)
    counts = np.bincount(np.floor(20.0 * below).astype(int), minlength=20)
    ref.assert_follows_law(counts, np.full(20, 0.05))


def test_tiny_gamma_takes_the_next_step():
    assert np.all(draw_offsets(1e-30, 1000) == 1)


# Final and random goals, names, lanes


def test_final_goals_are_the_newest_of_the_episode():
    state, model = fill(steps_of(EPISODES))
    for time, later in STEPS.items():
        goals = relabel_one_step("final")(state, jnp.float32(0.9), jnp.int32(0), jnp.int32(time), draw_keys())
        _, episode, times = decode(goals)
        assert np.all(times == time + later)
        assert np.all(episode == model.episodes[0][time])


@pytest.mark.parametrize("num_steps", [8, 16])
def test_random_goals_are_uniform_over_stored_steps(num_steps):
    # n = 20000, chi-square at p = 1e-6. Catches goals of the own environment or episode only.
    state, model = fill(steps_of(EPISODES)[:num_steps])
    goals = relabel_one_step("random")(state, jnp.float32(0.9), jnp.int32(0), jnp.int32(5), draw_keys())
    env, _, time = decode(goals)
    counts, law = np.zeros((2, NUM_ENVS, num_steps))
    np.add.at(counts, (env, time), 1)
    law[:, model.oldest :] = 1.0
    ref.assert_follows_law(counts.ravel(), law.ravel() / law.sum())
    with pytest.raises(AssertionError):
        ref.assert_follows_law(np.stack([counts[0], 0.0 * counts[0]]).ravel(), law.ravel() / law.sum())


def test_random_goals_do_not_repeat_the_sample():
    # n = 20000, chi-square at p = 1e-6 over pairs of environments. Catches one key for sample and goal.
    state, _ = fill(steps_of(EPISODES))
    sample, goals = draw_and_relabel("random")(state, jnp.float32(0.9), draw_keys())
    pair = NUM_ENVS * np.asarray(sample.env) + decode(goals)[0]
    ref.assert_follows_law(np.bincount(pair, minlength=NUM_ENVS**2), np.full(NUM_ENVS**2, 1.0 / NUM_ENVS**2))


def test_names():
    from deepcrl.replay import FinalGoals, FutureGoals, RandomGoals, relabelling_from_name

    gamma = jnp.float32(0.9)
    assert type(relabelling_from_name("final", gamma)) is FinalGoals
    assert type(relabelling_from_name("random", gamma)) is RandomGoals
    future = relabelling_from_name("future", gamma)
    assert type(future) is FutureGoals
    assert future.gamma == gamma
    with pytest.raises(ValueError, match="Did you mean `future`"):
        relabelling_from_name("futre", gamma)


def test_jit_and_lanes_are_the_eager_single_goals():
    states = [fill(steps_of(lengths))[0] for lengths in ((6, 1, 6, 3), (16,))]
    lanes = jtu.tree_map(lambda *leaves: jnp.stack(leaves), *states)
    gammas, keys = jnp.array([0.9, 1.0]), draw_keys()[:64].reshape(2, 32)
    _, goals = jax.jit(jax.vmap(draw_and_relabel("future")))(lanes, gammas, keys)
    for lane, state in enumerate(states):
        _, single = draw_and_relabel("future")(state, gammas[lane], keys[lane])
        np.testing.assert_array_equal(goals[lane], single)
    with jax.disable_jit():
        _, eager = draw_and_relabel("future")(states[0], gammas[0], keys[0, :4])
    np.testing.assert_array_equal(goals[0, :4], eager)
