"""The trajectory queue against a NumPy model, and the law of its draws."""

import functools as ft

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import pytest
import references as ref
from hypothesis.stateful import initialize, invariant, rule, RuleBasedStateMachine


NUM_ENVS, LENGTH = 3, 7
ROLLOUTS = (1, 3, 4, 7)  # of these only 1 and 7 divide the length


def make_queue(num_envs=NUM_ENVS, length=LENGTH):
    from deepcrl.replay import TrajectoryQueue

    return TrajectoryQueue(num_envs, length)


@ft.cache
def example_step():
    """One step without leading axes."""
    rollout = ref.transitions(np.arange(1), np.zeros((1, 1), int), np.zeros((1, 1), bool))
    return jtu.tree_map(lambda leaf: leaf[0, 0], rollout)


@ft.cache
def jitted():
    """`add`, `contents` and `sample` of the queue under test, compiled once a shape."""
    queue = make_queue()

    def contents(state):
        """Of every environment, the steps at the times from the oldest on; what lies past the newest repeats it."""
        time = jnp.minimum(state.oldest + jnp.arange(LENGTH, dtype=jnp.int32), state.num_added - 1)
        over_both = lambda f: jax.vmap(jax.vmap(f, (None, 0)), (0, None))
        look = lambda env, time: (queue.at(state, env, time), queue.episode_end(state, env, time))
        return over_both(look)(jnp.arange(NUM_ENVS, dtype=jnp.int32), time)

    sample = jax.vmap(lambda state, key: queue.sample(state, key=key), (None, 0))
    counts = lambda state: (state.oldest, queue.num_stored(state), state.num_added)
    return jax.jit(queue.add), jax.jit(contents), jax.jit(sample), jax.jit(counts)


def random_ends(num_steps, seed, rate=0.3, num_envs=NUM_ENVS):
    return np.random.default_rng(seed).random((num_steps, num_envs)) < rate


def fill(num_steps_each, seed=0, first_episode=0):
    """A queue, and the model of it, after rollouts of the given lengths."""
    add, *_ = jitted()
    model, state = ref.QueueModel(NUM_ENVS, LENGTH, first_episode), make_queue().init(example_step())
    for i, num_steps in enumerate(num_steps_each):
        ends = random_ends(num_steps, seed + i)
        state = add(state, ref.transitions(*model.add(ends), ends, first_episode))
    return state, model


def assert_queue_is_model(state, model, first_episode=0):
    _, contents, _, counts = jitted()
    assert [int(count) for count in counts(state)] == [model.oldest, model.num_stored, model.num_added]
    if model.num_added == 0:
        return
    times = np.arange(model.oldest, model.num_added)
    stored, end = jtu.tree_map(lambda leaf: np.asarray(leaf)[:, : len(times)], contents(state))
    ends = np.array(model.ends).T[times]
    expected = ref.transitions(times, np.array(model.episodes).T[times], ends, first_episode)
    for actual, desired in zip(jtu.tree_leaves(stored), jtu.tree_leaves(expected), strict=True):
        assert actual.dtype == desired.dtype
        np.testing.assert_array_equal(actual, np.swapaxes(desired, 0, 1))
    expected_end = [[model.episode_end(env, time) for time in times] for env in range(NUM_ENVS)]
    np.testing.assert_array_equal(end, expected_end)


class QueueMachine(RuleBasedStateMachine):
    """Rollouts of any allowed length with any episode ends; after each, every stored step is looked at."""

    @initialize(first_episode=st.sampled_from([0, 1, 6, 7, 2**24 - 3, 2**30]))
    def start(self, first_episode):
        self.first_episode = first_episode
        self.model = ref.QueueModel(NUM_ENVS, LENGTH, first_episode)
        self.state = make_queue().init(example_step())

    @rule(ends=st.sampled_from(ROLLOUTS).flatmap(lambda steps: hnp.arrays(bool, (steps, NUM_ENVS))))
    def add(self, ends):
        rollout = ref.transitions(*self.model.add(ends), ends, self.first_episode)
        self.state = jitted()[0](self.state, rollout)

    @invariant()
    def is_the_model(self):
        assert_queue_is_model(self.state, self.model, self.first_episode)


TestQueueIsTheModel = QueueMachine.TestCase
TestQueueIsTheModel.settings = hypothesis.settings(stateful_step_count=16)


def test_queue_wraps_many_times():
    state, model = fill([4, 3, 7, 1, 4] * 8)
    assert model.num_added > 20 * LENGTH
    assert_queue_is_model(state, model)


def test_model_tells_stale_episode_ends_and_shifted_contents():
    before, model = fill([4, 7, 3])
    ends = random_ends(4, 99)
    after = jitted()[0](before, ref.transitions(*model.add(ends), ends))
    assert_queue_is_model(after, model)
    shifted = jtu.tree_map(lambda leaf: jnp.roll(leaf, 1, axis=1), after.data)
    other_env = jnp.roll(after.last_step, 1, axis=0)
    for data, last_step in ((after.data, before.last_step), (after.data, other_env), (shifted, after.last_step)):
        with pytest.raises(AssertionError):
            assert_queue_is_model(type(after)(data, last_step, after.num_added), model)


def test_add_of_more_than_the_length_raises():
    state, model = fill([3])
    ends = random_ends(LENGTH + 1, 0)
    rollout = ref.transitions(*model.add(ends), ends)
    with pytest.raises(ValueError, match=r"`length` 7 cannot take 8 steps"):
        make_queue().add(state, rollout)


def test_empty_queues_raise():
    for num_envs, length in ((0, 5), (5, 0), (-1, 5)):
        with pytest.raises(ValueError, match=f"must be at least 1, got {num_envs} and {length}"):
            make_queue(num_envs, length)


def test_nbytes_is_what_is_allocated_and_allocates_nothing():
    # 12 + 8 + 12 + 12 bytes of arrays, 4 of reward, 2 flags, 4 of episode id, 4 of the mark.
    state = make_queue(5, 64).init(example_step())
    assert sum(leaf.nbytes for leaf in jtu.tree_leaves(state)) == 5 * 64 * 58 + 4
    assert make_queue(5, 64).nbytes(example_step()) == 5 * 64 * 58 + 4
    assert make_queue(10**6, 10**6).nbytes(example_step()) == 58 * 10**12 + 4  # 58 TB


# Draws


N = 20_000


@ft.cache
def draw_keys():
    return jr.split(jr.key(8), N)


def assert_uniform_over_stored(env, time, model):
    """Chi-square at p = 1e-6 over the stored (env, time)."""
    counts = np.zeros((NUM_ENVS, model.num_added))
    assert np.min(time) >= 0
    assert np.max(time) < model.num_added
    np.add.at(counts, (np.asarray(env), np.asarray(time)), 1)
    law = np.zeros_like(counts)
    law[:, model.oldest :] = 1.0
    ref.assert_follows_law(counts.ravel(), law.ravel() / law.sum())


def test_draws_are_uniform_over_stored_steps():
    # n = 20000 each. Catches slots never written, the newest left out, overwritten steps, one key for env and time.
    for rollouts in ([1], [3], [4], [3, 3], [7], [4, 4], [7, 7, 7, 3]):
        state, model = fill(rollouts)
        sample = jitted()[2](state, draw_keys())
        assert_uniform_over_stored(sample.env, sample.time, model)


def test_drawn_steps_are_the_stored_ones():
    state, model = fill([7, 4, 4])
    sample = jitted()[2](state, draw_keys()[:512])
    env, time = np.asarray(sample.env), np.asarray(sample.time)
    episode = np.array([model.episodes[e][t] for e, t in zip(env, time, strict=True)])
    np.testing.assert_array_equal(sample.transition.observation, np.stack([env, episode, time], axis=-1))
    np.testing.assert_array_equal(sample.transition.episode_id, episode)


def test_wrong_draws_fail():
    state, model = fill([7, 4])
    sample = jitted()[2](state, draw_keys())
    env, time = np.asarray(sample.env), np.asarray(sample.time)
    for name, wrong in {
        "the newest left out": (env, np.minimum(time, model.num_added - 2)),
        "the slot for the time": (env, time % LENGTH),
        "the oldest left out": (env, np.maximum(time, model.oldest + 1)),
        "an environment left out": (np.minimum(env, NUM_ENVS - 2), time),
        "one step 5% too often": (env, np.where(np.arange(N) % 20 == 0, model.oldest, time)),
    }.items():
        with pytest.raises(AssertionError):
            assert_uniform_over_stored(*wrong, model)
            pytest.fail(name)


# Lanes and episode ids


def test_lanes_of_a_vmapped_queue_are_single_queues():
    queue, (add, _, sample, _) = make_queue(), jitted()
    models = [ref.QueueModel(NUM_ENVS, LENGTH) for _ in range(2)]
    singles = [queue.init(example_step()) for _ in models]
    lanes = jtu.tree_map(lambda *leaves: jnp.stack(leaves), *singles)
    add_lanes = jax.jit(jax.vmap(queue.add))
    for i in range(4):
        rollouts = []
        for lane, model in enumerate(models):
            ends = random_ends(4, 10 * i + lane)
            rollouts.append(ref.transitions(*model.add(ends), ends))
        singles = [add(state, rollout) for state, rollout in zip(singles, rollouts, strict=True)]
        lanes = add_lanes(lanes, jtu.tree_map(lambda *leaves: jnp.stack(leaves), *rollouts))
    keys = draw_keys()[:8].reshape(2, 4)
    draw_lanes = jax.jit(jax.vmap(jax.vmap(lambda state, key: queue.sample(state, key=key), (None, 0))))
    for lane, drawn in enumerate(zip(singles, keys, strict=True)):
        expected = (singles[lane], sample(*drawn))
        actual = jtu.tree_map(lambda leaf, lane=lane: leaf[lane], (lanes, draw_lanes(lanes, keys)))
        jtu.tree_map(np.testing.assert_array_equal, actual, expected)
        assert_queue_is_model(singles[lane], models[lane])


def test_episode_ids_stay_distinct_integers():
    # As float32, 2^24 and 2^24 + 1 are one id, and their episodes one episode.
    first = 2**24
    state, model = fill([7, 4], first_episode=first)
    assert state.data.episode_id.dtype == jnp.int32
    ids = {episode for steps in model.episodes for episode in steps[model.oldest :]}
    assert len({int(episode) for episode in np.ravel(state.data.episode_id)}) == len(ids)
    assert len({float(np.float32(episode)) for episode in ids}) < len(ids)
    assert_queue_is_model(state, model, first)
