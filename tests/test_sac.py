"""SAC: one update against a plain second implementation, and against the known wrong ones."""

import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import pytest
from references import (
    adam_in_numpy,
    average_in_numpy,
    largest_difference,
    network_rows,
    random_td_batch,
    twin_rows,
)
from strategies import fresh_state, unchecked


BATCH, OBS, GOAL, ACTION = 12, 5, 3, 2
UPDATES = 3
RATES = {"actor_lr": 3e-3, "critic_lr": 5e-3, "alpha_lr": 1e-2}
NUMBERS = {"gamma": 0.9, "tau": 0.3, "target_entropy": -0.7}
TOLERANCE = 1e-5

WRONG = (
    "terminated steps bootstrap",
    "no step bootstraps",
    "targets by the online critics",
    "targets by the mean of both critics",
    "targets by the greater critic",
    "targets without entropy",
    "targets by the new alpha",
    "targets at the step's own observation",
    "actor by the first critic alone",
    "actor after the critics",
    "actor of the wrong sign",
    "alpha of the wrong sign",
    "average of the old critics",
    "average the wrong way round",
)
RIGHT = dict.fromkeys(WRONG, False)


def sample(policy, observation, goal, noise):
    heads = network_rows(policy.encoder, jnp.concatenate([observation, goal], axis=1))
    mean, log_std = heads[:, :ACTION], -5.0 + 3.5 * (jnp.tanh(heads[:, ACTION:]) + 1.0)
    pre_image = mean + jnp.exp(log_std) * noise
    normal = -0.5 * noise**2 - log_std - 0.5 * np.log(2 * np.pi).astype(np.float32)
    return jnp.tanh(pre_image), jnp.sum(normal - jnp.log(1.0 / jnp.cosh(pre_image) ** 2 + 1e-6), axis=1)


@jax.jit
def noise_of(key):
    """One draw per sample, from a key of its own: how the library draws is no part of the mathematics."""
    return jax.vmap(lambda key: jr.normal(key, (ACTION,)))(jr.split(key, BATCH))


def targets(state, alpha, batch, noise, wrong):
    """In NumPy and float64, but for the networks."""
    outcome = batch.outcome
    seen = batch.observation if wrong["targets at the step's own observation"] else outcome.next_observation
    action, log_prob = sample(state["policy"], seen, batch.goal, noise)
    judge = state["critic"] if wrong["targets by the online critics"] else state["target"]
    values = np.asarray(twin_rows(judge, seen, batch.goal, action), np.float64)
    value = values.min(axis=1)
    value = values.mean(axis=1) if wrong["targets by the mean of both critics"] else value
    value = values.max(axis=1) if wrong["targets by the greater critic"] else value
    if not wrong["targets without entropy"]:
        value = value - float(alpha) * np.asarray(log_prob, np.float64)
    cut = np.asarray(outcome.terminated, np.float64)
    cut = np.zeros(BATCH) if wrong["terminated steps bootstrap"] else cut
    cut = np.ones(BATCH) if wrong["no step bootstraps"] else cut
    return np.asarray(outcome.reward, np.float64) + NUMBERS["gamma"] * (1.0 - cut) * value


@jax.jit
@jax.value_and_grad
def critic_grad(critic, batch, target):
    values = twin_rows(critic, batch.observation, batch.goal, batch.action)
    return jnp.mean(jnp.sum(0.5 * (values - target[:, None]) ** 2, axis=1))


@jax.jit
def actor_grad(policy, critic, alpha, batch, noise, wrong):
    def loss(policy):
        action, log_prob = sample(policy, batch.observation, batch.goal, noise)
        values = twin_rows(critic, batch.observation, batch.goal, action)
        value = jnp.where(wrong["actor by the first critic alone"], values[:, 0], jnp.min(values, axis=1))
        value = jnp.where(wrong["actor of the wrong sign"], -value, value)
        return jnp.mean(alpha * log_prob - value), -jnp.mean(log_prob)

    return jax.value_and_grad(loss, has_aux=True)(policy)


def reference_updates(state, batches, keys, wrong=()):
    """Policy, log alpha, critics and targets after some updates, and the losses of each."""
    wrong = RIGHT | dict.fromkeys(wrong, True)
    now = {"policy": state.policy, "alpha": state.log_alpha, "critic": state.critic, "target": state.target_critic}
    moments = {name: [(0.0, 0.0)] * len(jtu.tree_leaves(now[name])) for name in ("policy", "alpha", "critic")}
    losses = []
    for count, (batch, key) in enumerate(zip(batches, keys, strict=True), 1):
        target_key, actor_key = jr.split(key)
        alpha, new = jnp.exp(now["alpha"]), {}
        (_, entropy), _ = actor_grad(now["policy"], now["critic"], alpha, batch, noise_of(actor_key), wrong)
        alpha_loss = float(alpha) * (float(entropy) - NUMBERS["target_entropy"] * ACTION)
        grad = -alpha_loss if wrong["alpha of the wrong sign"] else alpha_loss
        new["alpha"], moments["alpha"] = adam_in_numpy(now["alpha"], grad, moments["alpha"], RATES["alpha_lr"], count)

        for_target = jnp.exp(new["alpha"]) if wrong["targets by the new alpha"] else alpha
        y = jnp.asarray(targets(now, for_target, batch, noise_of(target_key), wrong), jnp.float32)
        critic_loss, grad = critic_grad(now["critic"], batch, y)
        rate = RATES["critic_lr"]
        new["critic"], moments["critic"] = adam_in_numpy(now["critic"], grad, moments["critic"], rate, count)

        judge = new["critic"] if wrong["actor after the critics"] else now["critic"]
        (actor_loss, entropy), grad = actor_grad(now["policy"], judge, alpha, batch, noise_of(actor_key), wrong)
        rate = RATES["actor_lr"]
        new["policy"], moments["policy"] = adam_in_numpy(now["policy"], grad, moments["policy"], rate, count)

        online = now["critic"] if wrong["average of the old critics"] else new["critic"]
        tau = 1.0 - NUMBERS["tau"] if wrong["average the wrong way round"] else NUMBERS["tau"]
        new["target"] = average_in_numpy(now["target"], online, tau)
        now = new
        losses.append([critic_loss, y.mean(), actor_loss, entropy, alpha_loss])
    return (now["policy"], now["alpha"], now["critic"], now["target"]), losses


# The library


@pytest.fixture(scope="module")
def agent():
    from deepcrl.agents import SAC

    return SAC(depth=4, width=8, **RATES, **NUMBERS)


@pytest.fixture(scope="module")
def state(agent):
    """Targets unlike the critics, alpha unlike 1: nothing may stand in for anything else."""
    state, other = (fresh_state(agent, OBS, GOAL, ACTION, seed) for seed in (0, 1))
    return dataclasses.replace(state, target_critic=other.critic, log_alpha=jnp.float32(-0.5))


@pytest.fixture(scope="module")
def batches():
    return [random_td_batch(jr.key(seed), BATCH, OBS, GOAL, ACTION) for seed in range(1, UPDATES + 1)]


@pytest.fixture(scope="module")
def update(agent):
    return jax.jit(lambda state, batch, hypers, key: agent.update(state, batch, hypers, key=key))


@pytest.fixture(scope="module")
def updated(agent, state, batches, update):
    """The last state, and the metrics of each update."""
    metrics = []
    for batch, key in zip(batches, keys(), strict=True):
        state, new = update(state, batch, agent.hypers(), key)
        metrics.append(new)
    return state, metrics


def keys():
    return list(jr.split(jr.key(7), UPDATES))


def parts(state):
    return state.policy, state.log_alpha, state.critic, state.target_critic


def logged(metrics):
    return np.asarray([[m.critic.loss, m.critic.target, m.actor.loss, m.actor.entropy, m.alpha.loss] for m in metrics])


def test_updates_are_those_of_the_second_implementation(state, batches, updated):
    desired, losses = reference_updates(state, batches, keys())
    for mine, reference in zip(parts(updated[0]), desired, strict=True):
        assert largest_difference(mine, reference) < TOLERANCE
    assert largest_difference(parts(updated[0]), parts(state)) > 100 * TOLERANCE
    np.testing.assert_allclose(logged(updated[1]), losses, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("wrong", WRONG)
def test_known_wrong_updates_are_told_apart(state, batches, updated, wrong):
    others, losses = reference_updates(state, batches, keys(), [wrong])
    apart = [largest_difference(mine, other) for mine, other in zip(parts(updated[0]), others, strict=True)]
    assert max(*apart, np.abs(logged(updated[1]) - np.asarray(losses)).max()) > 10 * TOLERANCE


def test_a_fresh_state_has_targets_equal_to_critics_that_differ_from_each_other(agent):
    fresh = fresh_state(agent, OBS, GOAL, ACTION, seed=3)
    assert largest_difference(fresh.critic, fresh.target_critic) == 0.0
    weight = fresh.critic.encoders.input_layer.linear.weight
    assert weight.shape == (2, 8, OBS + GOAL + ACTION)
    assert (weight[0] != weight[1]).all()
    assert fresh.log_alpha == 0.0


def test_the_value_is_the_lesser_critic_of_an_action_or_of_the_mode(agent, state, batches):
    batch, hypers = batches[0], agent.hypers()
    mode, _ = sample(state.policy, batch.observation, batch.goal, jnp.zeros((BATCH, ACTION)))
    of = lambda action: twin_rows(state.critic, batch.observation, batch.goal, action).min(axis=1)
    by_mode = jax.jit(jax.vmap(lambda o, g: agent.value(state, o, g, hypers)))(batch.observation, batch.goal)
    by_action = jax.jit(jax.vmap(lambda o, g, a: agent.value(state, o, g, hypers, a)))(
        batch.observation, batch.goal, batch.action
    )
    np.testing.assert_allclose(by_mode, of(mode), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(by_action, of(batch.action), rtol=1e-4, atol=1e-5)


def test_a_batch_without_outcomes_is_refused(agent, state, batches):
    batch = dataclasses.replace(batches[0], outcome=None)
    with pytest.raises(ValueError, match="must hold an `outcome`, got `None`"):
        agent.update(state, batch, agent.hypers(), key=jr.key(0))


@pytest.mark.parametrize(
    "changes, kind, message",
    [
        ({"depth": 6}, ValueError, "4 or 8"),
        ({"width": 0}, ValueError, "`width`"),
        ({"trunk": "relu"}, TypeError, "`trunk` must be a `BlockSpec`"),
        ({"hindsight": "random"}, ValueError, "`hindsight` must be one of"),
        ({"hindsight_ratio": 1.5}, ValueError, "`hindsight_ratio`"),
        ({"tau": -0.1}, ValueError, "`tau`"),
        ({"gamma": 0.0}, ValueError, "`gamma`"),
        ({"alpha_lr": float("nan")}, ValueError, "`alpha_lr`"),
        ({"remat": 1}, TypeError, "`remat`"),
    ],
)
def test_wrong_settings_are_refused(changes, kind, message):
    from deepcrl.agents import SAC

    with unchecked(), pytest.raises(kind, match=message):
        SAC(**changes)
