"""Replay rules: hindsight goals never of another episode nor past the newest step, and by the law of the published code;
rewards, next steps and shares as the rule says."""

import dataclasses
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
from strategies import unchecked


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


def remember(state):
    """A step reaches its own goal and that of the next step, by where it leads to."""
    from deepcrl.replay import Memory

    return Memory(make_queue(), state, lambda achieved, goal: jnp.all(jnp.abs(achieved - goal) < 0.6))


def of_gamma(gamma):
    from deepcrl.agents import Hypers

    return Hypers(gamma=gamma)


def decode(goals):
    """Environment, episode and time that the goals come from."""
    code = np.asarray(goals) - 0.25
    assert np.all(code == np.round(code))
    return code.astype(int).T


@ft.cache
def jitted_batch(rule):
    """A batch by a replay rule: one compiled function for all values of gamma."""
    draw = jax.vmap(lambda state, hypers, key: rule(remember(state), hypers, key=key), (None, None, 0))
    return jax.jit(draw)


def draw(state, gamma=0.9, keys=None, **rules):
    """The batch, and the environment, episode and time of its steps."""
    from deepcrl.replay import Replay

    batch = jitted_batch(Replay(**rules))(state, of_gamma(gamma), draw_keys() if keys is None else keys)
    return batch, np.asarray(batch.observation).astype(int).T


@ft.cache
def jitted_goals(rule):
    from deepcrl.replay import Sample

    def one(state, hypers, env, time, key):
        memory = remember(state)
        return rule(memory, Sample(memory.at(env, time), env, time), hypers, key=key)

    return jax.jit(jax.vmap(one, (None, None, None, None, 0)))


def goals_of_step(rule, state, env, time, gamma=0.9):
    """Many goals of the step that one environment took at one time."""
    return decode(jitted_goals(rule)(state, of_gamma(gamma), jnp.int32(env), jnp.int32(time), draw_keys()))


GAMMAS = st.one_of(
    st.sampled_from([1.0, 0.99, 1e-6]), st.floats(0.0, 1.0, exclude_min=True, width=32, allow_subnormal=False)
)


@given(
    ends=st.sampled_from([8, 16, 24]).flatmap(lambda steps: hnp.arrays(bool, (steps, NUM_ENVS))),
    gamma=GAMMAS,
    seed=st.integers(0, 2**32 - 1),
)
def test_future_and_final_goals_stay_within_episode_and_queue(ends, gamma, seed):
    from deepcrl.replay import FinalGoals, FutureGoals

    state, model = fill(ends)
    keys = jr.split(jr.key(np.uint32(seed)), 256)
    for rule in (FutureGoals(), FinalGoals()):
        batch, (own_env, own_episode, own_time) = draw(state, gamma, keys, goals=rule)
        env, episode, time = decode(batch.goal)
        np.testing.assert_array_equal(env, own_env)
        np.testing.assert_array_equal(episode, own_episode)
        last = np.array([model.episode_end(e, t) for e, t in zip(env, own_time, strict=True)])
        assert np.all(last < model.num_added)
        assert np.all((np.minimum(own_time + 1, last) <= time) & (time <= last))
        if rule == FinalGoals():
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
    from deepcrl.replay import FutureGoals

    state, model = fill(steps_of(EPISODES))
    assert model.oldest == min(STEPS)
    for time, later in STEPS.items():
        assert model.episode_end(0, time) - time == later
        env, _, times = goals_of_step(FutureGoals(), state, 0, time, gamma)
        assert np.all(env == 0)
        assert_follows_published_law(times, model, time, gamma)


def test_a_discount_of_the_rules_own_goes_before_the_lanes_and_long_episodes_are_cut():
    # n = 20000, 11 later steps, in the other environment, whose only episode started before the oldest step.
    from deepcrl.replay import FutureGoals

    state, model = fill(steps_of(EPISODES))
    for rule, gamma in ((FutureGoals(), 0.9), (FutureGoals(gamma=0.6), 0.6)):
        env, _, times = goals_of_step(rule, state, 1, 4, gamma=0.9)
        assert np.all(env == 1)
        ref.assert_follows_law(np.bincount(times, minlength=16), ref.future_law(model.episodes[1], 4, gamma))


def test_wrong_future_goals_fail():
    from deepcrl.replay import FutureGoals

    state, model = fill(steps_of(EPISODES))
    time, gamma = 7, 0.9
    later, newest = STEPS[time], model.num_added - 1 - time
    offset = np.random.default_rng(0).geometric(1.0 - gamma, N)  # 1, 2, ... without end
    wrong = {
        "own state allowed": np.minimum(offset - 1, later),
        "clipped, not truncated": np.minimum(offset, later),
        "across episodes": np.minimum(offset, newest),
        "wrapped, not truncated": 1 + offset % later,
        "of another discount": goals_of_step(FutureGoals(), state, 0, time, 0.95)[2] - time,
    }
    for name, offsets in wrong.items():
        with pytest.raises(AssertionError):
            assert_follows_published_law(time + offsets, model, time, gamma)
            pytest.fail(name)


# Truncated geometric


@ft.cache
def jitted_geometric():
    from deepcrl.replay import truncated_geometric

    return jax.jit(jax.vmap(lambda gamma, n, key: truncated_geometric(gamma, n, key=key), (None, None, 0)))


def draw_offsets(gamma, maximum):
    offsets = np.asarray(jitted_geometric()(jnp.float32(gamma), jnp.int32(maximum), draw_keys()))
    assert offsets.dtype == np.int32
    assert 1 <= offsets.min() <= offsets.max() <= maximum
    return offsets


@pytest.mark.parametrize("gamma", [1.0, 1.0 - 2e-6, 0.999, 0.99, 0.5, 0.01, 1e-6])
def test_truncated_geometric_follows_its_law(gamma):
    # n = 20000. Catches an offset of 0, a maximum never reached, a loss of precision near gamma = 1.
    for maximum in (1, 2, 3, 20, 1000):
        counts = np.bincount(draw_offsets(gamma, maximum) - 1, minlength=maximum)
        ref.assert_follows_law(counts, ref.geometric_law(np.float64(np.float32(gamma)), maximum))


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
    log_gamma = np.log(np.float64(np.float32(gamma)))
    if gamma == 1.0:
        below = (offsets - 0.5) / maximum
    else:
        below = np.expm1((offsets - 0.5) * log_gamma) / np.expm1(maximum * log_gamma)
    counts = np.bincount(np.floor(20.0 * below).astype(int), minlength=20)
    ref.assert_follows_law(counts, np.full(20, 0.05))


def test_tiny_gamma_takes_the_next_step():
    assert np.all(draw_offsets(1e-30, 1000) == 1)


# Other goals


@pytest.mark.parametrize("num_steps", [8, 16])
def test_random_goals_are_uniform_over_stored_steps(num_steps):
    # n = 20000, chi-square at p = 1e-6. Catches goals of the own environment or episode only.
    from deepcrl.replay import RandomGoals

    state, model = fill(steps_of(EPISODES)[:num_steps])
    env, _, time = goals_of_step(RandomGoals(), state, 0, 5)
    counts, law = np.zeros((2, NUM_ENVS, num_steps))
    np.add.at(counts, (env, time), 1)
    law[:, model.oldest :] = 1.0
    ref.assert_follows_law(counts.ravel(), law.ravel() / law.sum())
    with pytest.raises(AssertionError):
        ref.assert_follows_law(np.stack([counts[0], 0.0 * counts[0]]).ravel(), law.ravel() / law.sum())


def test_random_goals_do_not_repeat_the_sample():
    # n = 20000, chi-square at p = 1e-6 over pairs of environments. Catches one key for sample and goal.
    from deepcrl.replay import RandomGoals

    state, _ = fill(steps_of(EPISODES))
    batch, (own_env, _, _) = draw(state, goals=RandomGoals())
    pair = NUM_ENVS * own_env + decode(batch.goal)[0]
    ref.assert_follows_law(np.bincount(pair, minlength=NUM_ENVS**2), np.full(NUM_ENVS**2, 1.0 / NUM_ENVS**2))


@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.8, 1.0])
def test_that_share_of_goals_is_relabelled(ratio):
    # n = 20000, chi-square at p = 1e-6.
    from deepcrl.replay import FinalGoals, MixedGoals

    state, model = fill(steps_of(EPISODES))
    batch, (env, episode, time) = draw(state, goals=MixedGoals(FinalGoals(), ratio))
    relabelled = np.asarray(batch.goal)[:, 2] > 0.0  # commanded goals are minus the code of their step
    ref.assert_follows_law([np.sum(~relabelled), np.sum(relabelled)], [1.0 - ratio, ratio])
    np.testing.assert_array_equal(batch.goal[~relabelled], -np.stack([env, episode, time], axis=1)[~relabelled])
    last = [model.episode_end(e, t) for e, t in zip(env[relabelled], time[relabelled], strict=True)]
    if any(relabelled):
        np.testing.assert_array_equal(decode(batch.goal[relabelled])[2], last)


# Steps and rewards


@pytest.mark.parametrize("count", [1, 3, 100])
def test_newest_steps_are_the_only_ones_drawn_and_all_alike(count):
    # n = 20000, chi-square at p = 1e-6.
    from deepcrl.replay import NewestSteps

    state, model = fill(steps_of(EPISODES))
    _, (env, _, time) = draw(state, steps=NewestSteps(count))
    counts, law = np.zeros((2, NUM_ENVS, model.num_added))
    np.add.at(counts, (env, time), 1)
    law[:, max(model.num_added - count, model.oldest) :] = 1.0
    ref.assert_follows_law(counts.ravel(), law.ravel() / law.sum())


def filled_with_next_steps():
    """Steps that say where they led to, in one roll-out of 12; the first environment's episodes are ended by the task, the
    other's by the clock."""
    model, ends = ref.QueueModel(NUM_ENVS, LENGTH), np.zeros((LENGTH, NUM_ENVS), bool)
    ends[[3, 8]] = True
    rollout = ref.transitions(*model.add(ends), ends, with_next=True)
    queue = make_queue()
    return queue.add(queue.init(jtu.tree_map(lambda leaf: leaf[0, 0], rollout)), rollout), ends


def test_rewards_are_for_the_goals_of_the_batch_by_what_a_step_led_to():
    from deepcrl.replay import CommandedGoals, FutureGoals, GoalReward, hindsight_replay, TaskReward

    state, ends = filled_with_next_steps()
    for rules in (
        {"goals": CommandedGoals(), "reward": TaskReward()},
        {"goals": FutureGoals(gamma=0.5), "reward": GoalReward()},
        {"goals": hindsight_replay().goals, "reward": GoalReward()},
    ):
        batch, code = draw(state, **rules)
        np.testing.assert_array_equal(batch.next.observation, code.T + 0.5)
        # Ended by the task, and not by the clock.
        np.testing.assert_array_equal(batch.next.terminated, ends[code[2], code[0]] & (code[0] == 0))
        if rules["reward"] == TaskReward():
            np.testing.assert_array_equal(batch.next.reward, code.sum(axis=0))
            continue
        reached = lambda achieved, goal: np.all(np.abs(achieved - np.asarray(goal)) < 0.6, axis=1)
        by_end, by_start = reached(code.T + 0.75, batch.goal), reached(code.T + 0.25, batch.goal)
        np.testing.assert_array_equal(batch.next.reward, by_end.astype(np.float32))
        assert 0.0 < by_end.mean() < 1.0
        assert (by_start != by_end).any()  # as the published code has it


def test_the_parts_of_a_rule_have_names_and_what_cannot_be_is_refused():
    from deepcrl.agents import CRL, GCBC, GCSL, SAC, TD3
    from deepcrl.replay import (
        FinalGoals,
        FutureGoals,
        GoalReward,
        hindsight_replay,
        MixedGoals,
        NewestSteps,
        RandomGoals,
        Replay,
    )

    with unchecked():
        made = Replay(steps="newest", goals="final", reward="goal")
        assert made == Replay(steps=NewestSteps(1000), goals=FinalGoals(), reward=GoalReward())
        assert hindsight_replay() == Replay(goals=MixedGoals(FinalGoals(), 0.8), reward=GoalReward())
        assert SAC(replay="hindsight").replay == hindsight_replay()
        assert Replay(goals="uniform_future").goals == FutureGoals(gamma=1.0)
        assert hindsight_replay(RandomGoals(), 0.5).goals == MixedGoals(RandomGoals(), 0.5)
    asks = {kind: kind().replay.keeps_next for kind in (CRL, SAC, TD3, GCBC, GCSL)}
    assert asks == {CRL: False, SAC: True, TD3: True, GCBC: False, GCSL: False}
    for make, message in (
        (lambda: Replay(goals="futre"), "Did you mean `future`"),
        (lambda: Replay(goals="future", reward="task"), "Take `reward=GoalReward"),
        (lambda: MixedGoals(ratio=1.5), "`ratio`"),
        (lambda: NewestSteps(0), "`count` must be at least 1"),
    ):
        with unchecked(), pytest.raises(ValueError, match=message):
            make()


def test_a_rule_of_ones_own():
    """A goal rule in `Replay`, and a whole rule: both draw by what the memory offers, and agents take them."""
    from deepcrl.agents import CRL
    from deepcrl.replay import AbstractGoals, AbstractReplay, Batch, Replay

    @dataclasses.dataclass(frozen=True)
    class NextGoals(AbstractGoals):
        ahead: int = 1

        def __call__(self, memory, sample, hypers, *, key):
            time = jnp.minimum(sample.time + self.ahead, memory.episode_end(sample))
            return memory.at(sample.env, time).achieved_goal

    @dataclasses.dataclass(frozen=True)
    class OwnGoals(AbstractReplay):
        keeps_next = False

        def __call__(self, memory, hypers, *, key):
            step = memory.sample(newest=4, key=key).transition
            return Batch(observation=step.observation, action=step.action, goal=hypers.gamma * step.achieved_goal)

    state, model = fill(steps_of(EPISODES))
    batch, (env, _, time) = draw(state, goals=NextGoals(2))
    last = np.array([model.episode_end(e, t) for e, t in zip(env, time, strict=True)])
    np.testing.assert_array_equal(decode(batch.goal)[2], np.minimum(time + 2, last))
    batch = jitted_batch(OwnGoals())(state, of_gamma(0.5), draw_keys())
    assert set(np.asarray(batch.observation)[:, 2]) == {12.0, 13.0, 14.0, 15.0}
    np.testing.assert_array_equal(batch.goal, 0.5 * (batch.observation + 0.25))
    assert CRL(replay=Replay(goals=NextGoals(2))).replay.goals.ahead == 2
    assert CRL(replay=OwnGoals()).replay == OwnGoals()


def test_lanes_are_single_draws():
    from deepcrl.replay import FutureGoals, Replay

    states = [fill(steps_of(lengths))[0] for lengths in ((6, 1, 6, 3), (16,))]
    lanes = jtu.tree_map(lambda *leaves: jnp.stack(leaves), *states)
    hypers, keys = of_gamma(jnp.array([0.9, 1.0])), draw_keys()[:64].reshape(2, 32)
    rule = jitted_batch(Replay(goals=FutureGoals()))
    batch = jax.jit(jax.vmap(rule))(lanes, hypers, keys)
    for lane, state in enumerate(states):
        single = rule(state, of_gamma(hypers.gamma[lane]), keys[lane])
        np.testing.assert_array_equal(batch.goal[lane], single.goal)
