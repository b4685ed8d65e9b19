"""TD3: updates against a plain second implementation, the known wrong ones, and the delay on exactly the right steps."""

import dataclasses
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import pytest
import references as ref
from references import largest_difference, network_rows, noise_rows, twin_rows
from strategies import fresh_state, unchecked


BATCH, OBS, GOAL, ACTION = 12, 5, 3, 2
UPDATES = 5
RATES = {"actor_lr": 3e-3, "critic_lr": 5e-3}
NUMBERS = {"gamma": 0.9, "tau": 0.3, "policy_delay": 2, "smoothing_noise": 0.6, "smoothing_clip": 0.5}
TOLERANCE = 1e-5

WRONG = (
    "terminated steps bootstrap",
    "targets by the greater critic",
    "targets by the online critics",
    "targets by the online policy",
    "no smoothing",
    "smoothing without a limit",
    "smoothed actions leave the box",
    "policy at every update",
    "policy one update early",
    "targets at every update",
    "policy by the old critic",
    "policy by both critics",
    "policy of the wrong sign",
)


def act(policy, observation, goal):
    return jnp.tanh(network_rows(policy.encoder, jnp.concatenate([observation, goal], axis=1)))


ACT, TWINS, NOISE = jax.jit(act), jax.jit(twin_rows), jax.jit(lambda key: noise_rows(key, BATCH, ACTION))


def targets(now, batch, noise, wrong):
    """In NumPy and float64, but for the networks."""
    noise, seen = np.asarray(noise, np.float64), batch.next.observation
    policy = now["policy"] if wrong["targets by the online policy"] else now["target_policy"]
    action = np.asarray(ACT(policy, seen, batch.goal), np.float64)
    limit = np.inf if wrong["smoothing without a limit"] else NUMBERS["smoothing_clip"]
    if not wrong["no smoothing"]:
        action = action + np.clip(NUMBERS["smoothing_noise"] * noise, -limit, limit)
    if not wrong["smoothed actions leave the box"]:
        action = np.clip(action, -1.0, 1.0)
    judge = now["critic"] if wrong["targets by the online critics"] else now["target_critic"]
    values = np.asarray(TWINS(judge, seen, batch.goal, jnp.asarray(action, jnp.float32)), np.float64)
    value = values.max(axis=1) if wrong["targets by the greater critic"] else values.min(axis=1)
    cut = 0.0 if wrong["terminated steps bootstrap"] else np.asarray(batch.next.terminated, np.float64)
    return np.asarray(batch.next.reward, np.float64) + NUMBERS["gamma"] * (1.0 - cut) * value


@jax.jit
def policy_grad(policy, critic, batch, wrong):
    def loss(policy):
        values = twin_rows(critic, batch.observation, batch.goal, act(policy, batch.observation, batch.goal))
        value = jnp.where(wrong["policy by both critics"], jnp.min(values, axis=1), values[:, 0])
        return jnp.mean(jnp.where(wrong["policy of the wrong sign"], 1.0, -1.0) * value)

    return jax.value_and_grad(loss)(policy)


def reference_updates(state, batches, keys, wrong=()):
    """Policy, critics and both targets after some updates, and the losses of each."""
    wrong = dict.fromkeys(WRONG, False) | dict.fromkeys(wrong, True)
    now = {name: getattr(state, name) for name in ("policy", "critic", "target_policy", "target_critic")}
    moments = {name: ref.fresh_moments(now[name]) for name in ("policy", "critic")}
    losses, policy_loss, policy_updates = [], 0.0, 0

    def step(name, grad, rate, count):
        now[name], moments[name] = ref.adam_in_numpy(now[name], grad, moments[name], RATES[rate], count)

    for count, (batch, key) in enumerate(zip(batches, keys, strict=True), 1):
        y, old = jnp.asarray(targets(now, batch, NOISE(key), wrong), jnp.float32), now["critic"]
        critic_loss, grad = ref.td_grad(old, batch, y)
        step("critic", grad, "critic_lr", count)

        clock = count - 1 if wrong["policy one update early"] else count
        due = clock % NUMBERS["policy_delay"] == 0
        if due or wrong["policy at every update"]:
            policy_updates += 1
            judge = old if wrong["policy by the old critic"] else now["critic"]
            policy_loss, grad = policy_grad(now["policy"], judge, batch, wrong)
            step("policy", grad, "actor_lr", policy_updates)
        if due or wrong["targets at every update"]:
            for name in ("policy", "critic"):
                now[f"target_{name}"] = ref.average_in_numpy(now[f"target_{name}"], now[name], NUMBERS["tau"])
        losses.append([critic_loss, y.mean(), policy_loss])
    return tuple(now.values()), losses


# The library


@pytest.fixture(scope="module")
def agent():
    from deepcrl.agents import TD3

    return TD3(depth=4, width=8, **RATES, **NUMBERS)


@pytest.fixture(scope="module")
def state(agent):
    """Targets unlike the networks; a policy near its bounds, so that smoothed actions must be clipped."""
    state, other = (fresh_state(agent, OBS, GOAL, ACTION, seed) for seed in (0, 1))
    return dataclasses.replace(state, target_critic=other.critic, target_policy=other.policy)


@pytest.fixture(scope="module")
def batches():
    return [ref.random_td_batch(jr.key(seed), BATCH, OBS, GOAL, ACTION) for seed in range(1, UPDATES + 1)]


@pytest.fixture(scope="module")
def updated(agent, state, batches):
    """The state before and after each update, and its metrics."""
    return ref.our_updates(agent, state, batches, keys(), jax.jit(ref.update_of(agent)))


def keys():
    return list(jr.split(jr.key(7), UPDATES))


def parts(state):
    return state.policy, state.critic, state.target_policy, state.target_critic


def test_updates_are_those_of_the_second_implementation_and_of_no_known_wrong_one(state, batches, updated):
    states, metrics = updated
    last, losses = parts(states[-1]), np.asarray([[m.critic.loss, m.critic.target, m.actor.loss] for m in metrics])
    desired, desired_losses = reference_updates(state, batches, keys())
    assert largest_difference(last, desired) < TOLERANCE
    assert largest_difference(last, parts(state)) > 100 * TOLERANCE
    np.testing.assert_allclose(losses, desired_losses, rtol=1e-5, atol=1e-5)
    for wrong in WRONG:
        other, other_losses = reference_updates(state, batches, keys(), [wrong])
        by_loss = np.abs(losses - np.asarray(other_losses)).max()
        assert max(largest_difference(last, other), by_loss) > 10 * TOLERANCE, wrong


def moved(states):
    """Which of policy, critics and targets changed in each update."""
    changed = lambda one, two: [largest_difference(a, b) > 0.0 for a, b in zip(parts(one), parts(two), strict=True)]
    return list(itertools.starmap(changed, itertools.pairwise(states)))


def test_policy_and_targets_move_at_every_second_update_and_critics_at_all(updated):
    odd, even = [False, True, False, False], [True, True, True, True]
    assert moved(updated[0]) == [odd, even, odd, even, odd]
    assert [int(state.num_updates) for state in updated[0]] == list(range(UPDATES + 1))


def test_a_longer_delay(state, batches):
    from deepcrl.agents import TD3

    agent = TD3(depth=4, width=8, **RATES, **{**NUMBERS, "policy_delay": 3})
    states, _ = ref.our_updates(agent, state, batches, keys(), jax.jit(ref.update_of(agent)))
    assert [move[0] for move in moved(states)] == [False, False, True, False, False]


def test_lanes_out_of_step_keep_clocks_of_their_own(agent, state, batches):
    """Under vmap the condition is a choice by lane."""
    clocks = jnp.arange(2, dtype=jnp.int32)
    lanes = jtu.tree_map(lambda leaf: jnp.stack([leaf, leaf]), state)
    lanes = eqx.tree_at(lambda s: s.num_updates, lanes, clocks)
    after = jax.jit(jax.vmap(lambda s: agent.update(s, batches[0], agent.hypers(), key=jr.key(0))[0]))(lanes)
    of = lambda tree, lane: jtu.tree_map(lambda leaf: leaf[lane], tree)
    assert [largest_difference(of(after, lane).policy, state.policy) > 0.0 for lane in (0, 1)] == [False, True]
    assert after.num_updates.tolist() == [1, 2]


def test_exploration_is_noise_on_the_policys_action_clipped_to_the_box(agent, state, batches):
    batch, hypers = batches[0], agent.hypers()
    mean = np.asarray(ACT(state.policy, batch.observation, batch.goal))
    rows = (batch.observation, batch.goal, jr.split(jr.key(3), BATCH))
    act = lambda o, g, k: [agent.act(state, o, g, hypers, key=k, deterministic=mode) for mode in (True, False)]
    mode, sample = jax.jit(jax.vmap(act))(*rows)
    np.testing.assert_allclose(mode, mean, atol=1e-6)
    np.testing.assert_allclose(sample, np.clip(mean + 0.4 * np.asarray(NOISE(jr.key(3))), -1.0, 1.0), atol=1e-5)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"policy_delay": 0}, "`policy_delay` must be at least 1"),
        ({"exploration_noise": -0.1}, "`exploration_noise`"),
        ({"smoothing_clip": float("nan")}, "`smoothing_clip`"),
        ({"depth": 6}, "4 or 8"),
    ],
)
def test_wrong_settings_are_refused(changes, message):
    from deepcrl.agents import TD3

    with unchecked(), pytest.raises(ValueError, match=message):
        TD3(**changes)
