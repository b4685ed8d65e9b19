"""SAC: updates against a plain second implementation, and against the known wrong ones."""

import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import references as ref
from references import gaussian_sample, largest_difference, noise_rows, twin_rows
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


def targets(state, alpha, batch, noise, wrong):
    """In NumPy and float64, but for the networks."""
    seen = batch.observation if wrong["targets at the step's own observation"] else batch.next.observation
    action, log_prob = SAMPLE(state["policy"], seen, batch.goal, noise)
    judge = state["critic"] if wrong["targets by the online critics"] else state["target"]
    values = np.asarray(TWINS(judge, seen, batch.goal, action), np.float64)
    value = values.min(axis=1)
    value = values.mean(axis=1) if wrong["targets by the mean of both critics"] else value
    value = values.max(axis=1) if wrong["targets by the greater critic"] else value
    if not wrong["targets without entropy"]:
        value = value - float(alpha) * np.asarray(log_prob, np.float64)
    cut = np.asarray(batch.next.terminated, np.float64)
    cut = np.zeros(BATCH) if wrong["terminated steps bootstrap"] else cut
    cut = np.ones(BATCH) if wrong["no step bootstraps"] else cut
    return np.asarray(batch.next.reward, np.float64) + NUMBERS["gamma"] * (1.0 - cut) * value


SAMPLE, TWINS, NOISE = jax.jit(gaussian_sample), jax.jit(twin_rows), jax.jit(lambda key: noise_rows(key, BATCH, ACTION))


@jax.jit
def actor_grad(policy, critic, alpha, batch, noise, wrong):
    def loss(policy):
        action, log_prob = gaussian_sample(policy, batch.observation, batch.goal, noise)
        values = twin_rows(critic, batch.observation, batch.goal, action)
        value = jnp.where(wrong["actor by the first critic alone"], values[:, 0], jnp.min(values, axis=1))
        value = jnp.where(wrong["actor of the wrong sign"], -value, value)
        return jnp.mean(alpha * log_prob - value), -jnp.mean(log_prob)

    return jax.value_and_grad(loss, has_aux=True)(policy)


def reference_updates(state, batches, keys, wrong=()):
    """Policy, log alpha, critics and targets after some updates, and the losses of each."""
    wrong = dict.fromkeys(WRONG, False) | dict.fromkeys(wrong, True)
    now = {"policy": state.policy, "alpha": state.log_alpha, "critic": state.critic, "target": state.target_critic}
    moments = {name: ref.fresh_moments(now[name]) for name in ("policy", "alpha", "critic")}
    losses = []
    for count, (batch, key) in enumerate(zip(batches, keys, strict=True), 1):
        new, (for_target, for_actor) = {}, map(NOISE, jr.split(key))

        def step(name, grad, rate, count=count, now=now, new=new):
            new[name], moments[name] = ref.adam_in_numpy(now[name], grad, moments[name], RATES[rate], count)

        alpha = jnp.exp(now["alpha"])
        (_, entropy), _ = actor_grad(now["policy"], now["critic"], alpha, batch, for_actor, wrong)
        alpha_loss = float(alpha) * (float(entropy) - NUMBERS["target_entropy"] * ACTION)
        step("alpha", -alpha_loss if wrong["alpha of the wrong sign"] else alpha_loss, "alpha_lr")

        alpha_of_target = jnp.exp(new["alpha"]) if wrong["targets by the new alpha"] else alpha
        y = jnp.asarray(targets(now, alpha_of_target, batch, for_target, wrong), jnp.float32)
        critic_loss, grad = ref.td_grad(now["critic"], batch, y)
        step("critic", grad, "critic_lr")

        judge = new["critic"] if wrong["actor after the critics"] else now["critic"]
        (actor_loss, entropy), grad = actor_grad(now["policy"], judge, alpha, batch, for_actor, wrong)
        step("policy", grad, "actor_lr")

        online = now["critic"] if wrong["average of the old critics"] else new["critic"]
        tau = 1.0 - NUMBERS["tau"] if wrong["average the wrong way round"] else NUMBERS["tau"]
        now = new | {"target": ref.average_in_numpy(now["target"], online, tau)}
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
    return [ref.random_td_batch(jr.key(seed), BATCH, OBS, GOAL, ACTION) for seed in range(1, UPDATES + 1)]


def test_updates_are_those_of_the_second_implementation_and_of_no_known_wrong_one(agent, state, batches):
    parts = lambda state: (state.policy, state.log_alpha, state.critic, state.target_critic)
    keys, update = list(jr.split(jr.key(7), UPDATES)), jax.jit(ref.update_of(agent))
    states, metrics = ref.our_updates(agent, state, batches, keys, update)
    row = lambda m: [m.critic.loss, m.critic.target, m.actor.loss, m.actor.entropy, m.alpha.loss]
    last, losses = parts(states[-1]), np.asarray([row(m) for m in metrics])
    desired, desired_losses = reference_updates(state, batches, keys)
    assert largest_difference(last, desired) < TOLERANCE
    assert largest_difference(last, parts(state)) > 100 * TOLERANCE
    np.testing.assert_allclose(losses, desired_losses, rtol=1e-5, atol=1e-5)
    for wrong in WRONG:
        other, other_losses = reference_updates(state, batches, keys, [wrong])
        by_loss = np.abs(losses - np.asarray(other_losses)).max()
        assert max(largest_difference(last, other), by_loss) > 10 * TOLERANCE, wrong


def test_a_fresh_state_has_targets_equal_to_critics_that_differ_from_each_other(agent):
    fresh = fresh_state(agent, OBS, GOAL, ACTION, seed=3)
    assert largest_difference(fresh.critic, fresh.target_critic) == 0.0
    weight = fresh.critic.encoders.input_layer.linear.weight
    assert weight.shape == (2, 8, OBS + GOAL + ACTION)
    assert (weight[0] != weight[1]).all()
    assert fresh.log_alpha == 0.0


def test_the_value_is_the_lesser_critic_of_an_action_or_of_the_mode(agent, state, batches):
    batch, hypers = batches[0], agent.hypers()
    mode, _ = SAMPLE(state.policy, batch.observation, batch.goal, jnp.zeros((BATCH, ACTION)))
    of = lambda action: TWINS(state.critic, batch.observation, batch.goal, action).min(axis=1)
    value = lambda o, g, a: (agent.value(state, o, g, hypers), agent.value(state, o, g, hypers, a))
    by_mode, by_action = jax.jit(jax.vmap(value))(batch.observation, batch.goal, batch.action)
    np.testing.assert_allclose(by_mode, of(mode), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(by_action, of(batch.action), rtol=1e-4, atol=1e-5)


def test_a_batch_without_next_steps_is_refused_with_the_remedy(agent, state, batches):
    batch = dataclasses.replace(batches[0], next=None)
    with pytest.raises(ValueError, match=r"`Batch.next` is `None`. Take a replay rule with a reward, such as `Replay"):
        jax.eval_shape(lambda: agent.update(state, batch, agent.hypers(), key=jr.key(0)))


@pytest.mark.parametrize(
    "changes, kind, message",
    [
        ({"depth": 6}, ValueError, "4 or 8"),
        ({"trunk": "relu"}, TypeError, "`trunk` must be a `"),
        ({"tau": -0.1}, ValueError, "`tau`"),
        ({"alpha_lr": float("nan")}, ValueError, "`alpha_lr`"),
    ],
)
def test_wrong_settings_are_refused(changes, kind, message):
    from deepcrl.agents import SAC

    with unchecked(), pytest.raises(kind, match=message):
        SAC(**changes)
