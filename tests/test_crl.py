"""One update of contrastive RL against a plain second implementation, and against the known wrong ones."""

import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import pytest
from references import adam_in_numpy, network_rows
from strategies import fresh_state, unchecked


BATCH, OBS, GOAL, ACTION = 12, 5, 3, 2
UPDATES = 3
RATES = {"actor_lr": 3e-3, "critic_lr": 5e-3, "alpha_lr": 1e-2}  # large and unlike, so that none stands in for another
TOLERANCE = 1e-5

# What has been got wrong elsewhere; each must be told from the right update.
WRONG = (
    "actor on other goals",
    "actor after the critic",
    "actor without entropy",
    "actor with energy of the wrong sign",
    "actor by the new alpha",
    "alpha of the wrong sign",
    "target entropy of the wrong sign",
    "target entropy without the action's size",
    "critic without penalty",
    "critic of sums",
    "critic of squared distances",
    "goals as anchors",
)
RIGHT = dict.fromkeys(WRONG, False)


# The second implementation, from the formulas of the paper.


def reference_policy(policy, observation, goal):
    heads = network_rows(policy.encoder, jnp.concatenate([observation, goal], axis=1))
    return heads[:, :ACTION], -5.0 + 3.5 * (jnp.tanh(heads[:, ACTION:]) + 1.0)


def reference_embeddings(critic, observation, action, goal):
    phi = network_rows(critic.sa_encoder.encoder, jnp.concatenate([observation, action], axis=1))
    return phi, network_rows(critic.goal_encoder.encoder, goal)


def reference_critic_loss(critic, batch, penalty, wrong):
    phi, psi = reference_embeddings(critic, batch.observation, batch.action, batch.goal)
    squared = jnp.sum((phi[:, None, :] - psi[None, :, :]) ** 2, axis=2)
    logits = jnp.where(wrong["critic of squared distances"], -squared, -jnp.sqrt(squared))
    logits = jnp.where(wrong["goals as anchors"], logits.T, logits)
    logsumexp = jnp.log(jnp.sum(jnp.exp(logits), axis=1))
    infonce = -jnp.mean(jnp.diagonal(logits) - logsumexp)
    infonce = jnp.where(wrong["critic of sums"], BATCH, 1.0) * infonce
    return infonce + jnp.where(wrong["critic without penalty"], 0.0, penalty) * jnp.mean(logsumexp**2)


def reference_actor_loss(policy, critic, alpha, batch, noise, wrong):
    goal = jnp.where(wrong["actor on other goals"], jnp.roll(batch.goal, 1, axis=0), batch.goal)
    mean, log_std = reference_policy(policy, batch.observation, goal)
    pre_image = mean + jnp.exp(log_std) * noise
    action, one_minus_square = jnp.tanh(pre_image), 1.0 / jnp.cosh(pre_image) ** 2  # 1 - a^2 rounds badly near 1
    density = -0.5 * noise**2 - log_std - 0.5 * np.log(2 * np.pi).astype(np.float32) - jnp.log(one_minus_square + 1e-6)
    log_prob = jnp.sum(density, axis=1)
    phi, psi = reference_embeddings(critic, batch.observation, action, goal)
    distance = jnp.sqrt(jnp.sum((phi - psi) ** 2, axis=1))
    distance = jnp.where(wrong["actor with energy of the wrong sign"], -1.0, 1.0) * distance
    alpha = jnp.where(wrong["actor without entropy"], 0.0, alpha)
    return jnp.mean(alpha * log_prob + distance), jnp.mean(-log_prob)


@jax.jit
def reference_noise(key):
    """One draw per sample, from a key of its own: how the library draws is no part of the mathematics."""
    return jax.vmap(lambda key: jr.normal(key, (ACTION,)))(jr.split(key, BATCH))


ACTOR_GRAD = jax.jit(jax.value_and_grad(reference_actor_loss, has_aux=True))
CRITIC_GRAD = jax.jit(jax.value_and_grad(reference_critic_loss))


def reference_updates(state, batches, keys, hypers, wrong=()):
    """Policy, alpha and critic after some updates, and the losses of each."""
    wrong = RIGHT | dict.fromkeys(wrong, True)
    policy, critic, log_alpha, losses = state.policy, state.critic, state.log_alpha, []
    zeros = lambda tree: [(0.0, 0.0)] * len(jtu.tree_leaves(tree))
    moments = {"policy": zeros(policy), "critic": zeros(critic), "alpha": zeros(log_alpha)}
    target = -0.5 * ACTION * (-1 if wrong["target entropy of the wrong sign"] else 1)
    target = target / ACTION if wrong["target entropy without the action's size"] else target
    for count, (batch, key) in enumerate(zip(batches, keys, strict=True), 1):
        alpha = jnp.exp(log_alpha)
        critic_loss, critic_grad = CRITIC_GRAD(critic, batch, hypers.logsumexp_penalty, wrong)
        rate = RATES["critic_lr"]
        new_critic, moments["critic"] = adam_in_numpy(critic, critic_grad, moments["critic"], rate, count)

        judge = new_critic if wrong["actor after the critic"] else critic
        (actor_loss, entropy), grad = ACTOR_GRAD(policy, judge, alpha, batch, reference_noise(key), wrong)

        alpha_loss = float(alpha) * (float(entropy) - target)
        alpha_grad = -alpha_loss if wrong["alpha of the wrong sign"] else alpha_loss  # d/d log alpha
        log_alpha, moments["alpha"] = adam_in_numpy(log_alpha, alpha_grad, moments["alpha"], RATES["alpha_lr"], count)
        if wrong["actor by the new alpha"]:
            new_alpha = jnp.exp(log_alpha)
            (actor_loss, entropy), grad = ACTOR_GRAD(policy, judge, new_alpha, batch, reference_noise(key), wrong)
        policy, moments["policy"] = adam_in_numpy(policy, grad, moments["policy"], RATES["actor_lr"], count)
        critic = new_critic
        losses.append([critic_loss, actor_loss, entropy, alpha_loss])
    return (policy, log_alpha, critic), losses


# The library


@pytest.fixture(scope="module")
def agent():
    from deepcrl.agents import CRL

    return CRL(depth=4, width=8, repr_dim=6, **RATES)


@pytest.fixture(scope="module")
def state(agent):
    return fresh_state(agent, OBS, GOAL, ACTION)


@pytest.fixture(scope="module")
def batches():
    return [random_batch(jr.key(seed), BATCH) for seed in range(1, UPDATES + 1)]


@pytest.fixture(scope="module")
def update(agent):
    return jax.jit(lambda state, batch, hypers, key: agent.update(state, batch, hypers, key=key))


@pytest.fixture(scope="module")
def updated(agent, state, batches, update):
    """The state after each update, and its metrics."""
    states, metrics = [state], []
    for batch, key in zip(batches, keys(), strict=True):
        new_state, new_metrics = update(states[-1], batch, agent.hypers(), key)
        states.append(new_state)
        metrics.append(new_metrics)
    return states, metrics


def keys():
    return list(jr.split(jr.key(7), UPDATES))


def random_batch(key, size):
    from deepcrl.agents import Batch

    observation_key, action_key, goal_key = jr.split(key, 3)
    return Batch(
        observation=jr.normal(observation_key, (size, OBS)),
        action=jr.uniform(action_key, (size, ACTION), minval=-1.0, maxval=1.0),
        goal=jr.normal(goal_key, (size, GOAL)),
    )


def parts(state):
    return state.policy, state.log_alpha, state.critic


def logged(metrics):
    """One row per update: the losses that `reference_updates` returns."""
    return np.asarray([[m.critic.loss, m.actor.loss, m.actor.entropy, m.alpha.loss] for m in metrics])


def largest_difference(one, two):
    return max(
        np.abs(np.asarray(a) - np.asarray(b)).max()
        for a, b in zip(jtu.tree_leaves(one), jtu.tree_leaves(two), strict=True)
    )


def test_updates_are_those_of_the_second_implementation(agent, state, batches, updated):
    desired, losses = reference_updates(state, batches, keys(), agent.hypers())
    for mine, reference in zip(parts(updated[0][-1]), desired, strict=True):
        assert largest_difference(mine, reference) < TOLERANCE
    assert largest_difference(parts(updated[0][-1]), parts(state)) > 100 * TOLERANCE
    np.testing.assert_allclose(logged(updated[1]), losses, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("wrong", WRONG)
def test_known_wrong_updates_are_told_apart(agent, state, batches, updated, wrong):
    others, losses = reference_updates(state, batches, keys(), agent.hypers(), [wrong])
    apart = [largest_difference(mine, other) for mine, other in zip(parts(updated[0][-1]), others, strict=True)]
    by_loss = np.abs(logged(updated[1]) - np.asarray(losses)).max()
    assert max(*apart, by_loss) > 10 * TOLERANCE


def test_metrics_are_of_the_matrix_of_energies_and_the_gradients(agent, state, batches, updated):
    metrics, batch = updated[1][0], batches[0]
    phi, psi = reference_embeddings(state.critic, batch.observation, batch.action, batch.goal)
    logits = -np.linalg.norm(np.asarray(phi)[:, None, :] - np.asarray(psi)[None, :, :], axis=2)
    off_diagonal = ~np.eye(BATCH, dtype=bool)
    close = lambda actual, desired: np.testing.assert_allclose(actual, desired, rtol=1e-4, atol=1e-5)
    close(metrics.critic.accuracy, (logits.argmax(axis=1) == np.arange(BATCH)).mean())
    close(metrics.critic.logits_pos, np.diagonal(logits).mean())
    close(metrics.critic.logits_neg, logits[off_diagonal].mean())
    close(metrics.critic.logsumexp, np.log(np.exp(logits).sum(axis=1)).mean())
    norm = lambda tree: np.sqrt(sum(np.square(np.asarray(leaf, np.float64)).sum() for leaf in jtu.tree_leaves(tree)))
    close(metrics.critic.grad_norm, norm(CRITIC_GRAD(state.critic, batch, agent.hypers().logsumexp_penalty, RIGHT)[1]))
    _, grad = ACTOR_GRAD(state.policy, state.critic, 1.0, batch, reference_noise(keys()[0]), RIGHT)
    close(metrics.actor.grad_norm, norm(grad))
    close(metrics.alpha.alpha, np.exp(updated[0][1].log_alpha))
    close(metrics.alpha.grad_norm, abs(metrics.actor.entropy + 0.5 * ACTION))


def test_alpha_starts_at_one_and_falls_while_entropy_is_above_its_target(agent, state, batches, update):
    assert state.log_alpha == 0.0
    for target, direction in ((-10.0, -1), (10.0, 1)):
        hypers = dataclasses.replace(agent.hypers(), target_entropy=jnp.float32(target))
        new_state, _ = update(state, batches[0], hypers, jr.key(0))
        np.testing.assert_allclose(new_state.log_alpha, direction * RATES["alpha_lr"], rtol=1e-4)


@pytest.mark.parametrize("name, index", [("actor_lr", 0), ("alpha_lr", 1), ("critic_lr", 2)])
def test_each_step_size_moves_its_own_part_in_one_update(agent, state, batches, update, name, index):
    hypers = dataclasses.replace(agent.hypers(), **{name: jnp.float32(0.0)})
    still, _ = update(state, batches[0], hypers, jr.key(0))
    moved, _ = update(state, batches[0], agent.hypers(), jr.key(0))
    for i, (start, without, with_all) in enumerate(zip(parts(state), parts(still), parts(moved), strict=True)):
        assert largest_difference(without, start if i == index else with_all) == 0.0
        assert largest_difference(with_all, start) > 0.0


def test_random_goals_are_other_samples_goals_for_the_actor_alone(agent, state, batches, update):
    other_goals = dataclasses.replace(batches[0], goal=jnp.roll(batches[0].goal, 1, axis=0))
    key, hypers = jr.key(3), agent.hypers()
    all_random = dataclasses.replace(agent, random_goals=1.0)
    mixed, _ = jax.jit(all_random.update)(state, batches[0], hypers, key=key)
    on_own, on_others = (update(state, batch, hypers, key)[0] for batch in (batches[0], other_goals))
    assert largest_difference(mixed.policy, on_others.policy) < TOLERANCE
    assert largest_difference(mixed.policy, on_own.policy) > 10 * TOLERANCE
    assert largest_difference(mixed.critic, on_own.critic) < TOLERANCE


def test_one_batch_is_learnt_by_heart(state):
    from deepcrl.agents import CRL

    agent = CRL(depth=4, width=8, repr_dim=6, critic_lr=1e-2)
    batch = random_batch(jr.key(5), BATCH)

    @jax.jit
    def fit(state):
        def step(state, key):
            return agent.update(state, batch, agent.hypers(), key=key)

        return jax.lax.scan(step, state, jr.split(jr.key(6), 400))[1]

    critic = fit(state).critic
    assert critic.loss[0] > 0.7 * np.log(BATCH)
    assert critic.loss[-20:].max() < 0.1 * np.log(BATCH)
    assert critic.accuracy[-20:].min() == 1.0
    assert critic.logits_pos[-1] > critic.logits_neg[-1] + 2.0


@pytest.mark.parametrize(
    "settings",
    [{"energy": name} for name in ("l2_squared", "l1", "dot", "cosine", "mrn")]
    + [{"loss": name} for name in ("backward_infonce", "symmetric_infonce", "binary_nce", "flatnce")],
    ids=lambda settings: next(iter(settings.values())),
)
def test_every_energy_and_loss_learns_a_batch(settings):
    from deepcrl.agents import CRL

    agent = CRL(depth=4, width=8, repr_dim=6, critic_lr=1e-2, **settings)
    batch, state = random_batch(jr.key(5), BATCH), fresh_state(agent, OBS, GOAL, ACTION)
    step = lambda state, key: agent.update(state, batch, agent.hypers(), key=key)
    state, metrics = jax.jit(lambda state: jax.lax.scan(step, state, jr.split(jr.key(6), 400)))(state)
    assert all(np.isfinite(leaf).all() for leaf in jtu.tree_leaves((state, metrics)))
    assert metrics.critic.accuracy[-20:].min() >= 0.9 > metrics.critic.accuracy[0]


def test_the_deterministic_action_is_the_squashed_mean_and_a_sample_is_not(agent, state, batches):
    batch, hypers = batches[0], agent.hypers()
    mean, log_std = reference_policy(state.policy, batch.observation, batch.goal)

    def act(key, deterministic):
        one = lambda o, g, k: agent.act(state, o, g, hypers, key=k, deterministic=deterministic)
        return jax.vmap(one)(batch.observation, batch.goal, jr.split(key, BATCH))

    for key in (jr.key(0), jr.key(1)):
        np.testing.assert_allclose(act(key, True), np.tanh(mean), atol=1e-6)
        desired = np.tanh(mean + np.exp(log_std) * reference_noise(key))
        np.testing.assert_allclose(act(key, False), desired, atol=1e-5)
    assert (act(jr.key(0), False) != act(jr.key(1), False)).all()
    assert (jnp.abs(act(jr.key(0), False)) <= 1.0).all()


def test_the_value_is_the_energy_of_the_deterministic_action(agent, state, batches):
    batch, hypers = batches[0], agent.hypers()
    mean, _ = reference_policy(state.policy, batch.observation, batch.goal)
    phi, psi = reference_embeddings(state.critic, batch.observation, np.tanh(mean), batch.goal)
    value = jax.vmap(lambda o, g: agent.value(state, o, g, hypers))(batch.observation, batch.goal)
    np.testing.assert_allclose(value, -np.linalg.norm(phi - psi, axis=1), rtol=1e-5)
    assert (value < 0.0).all()


def test_actor_and_critic_have_depths_of_their_own(state):
    from deepcrl.agents import AgentSpec, CRL

    agent = CRL(depth=4, actor_depth=8, critic_depth=12, width=4, repr_dim=3)
    spec = AgentSpec(observation_size=OBS, goal_size=GOAL, action_size=ACTION)
    own = jax.eval_shape(lambda key: agent.init(spec, key=key), jr.key(0))
    encoders = (own.policy.encoder, own.critic.sa_encoder.encoder, own.critic.goal_encoder.encoder)
    assert [encoder.trunk.num_blocks for encoder in encoders] == [2, 3, 3]
    assert (int(agent.hypers().actor_depth), int(agent.hypers().critic_depth)) == (8, 12)
    assert [encoder.output.weight.shape for encoder in encoders] == [(2 * ACTION, 4), (3, 4), (3, 4)]


@pytest.mark.parametrize(
    "changes, kind, message",
    [
        ({"depth": 6}, ValueError, "4 or 8"),
        ({"depth": 2}, ValueError, "Use 4"),
        ({"depth": 4.0}, TypeError, "must be an integer"),
        ({"critic_depth": 1022}, ValueError, "`critic_depth`.*1020 or 1024"),
        ({"width": 0}, ValueError, "`width`"),
        ({"repr_dim": 0}, ValueError, "`repr_dim`"),
        ({"energy": "nrom"}, ValueError, "Did you mean `norm`"),
        ({"loss": "info_nce"}, ValueError, "Did you mean `infonce`"),
        ({"hindsight": "futur"}, ValueError, "Did you mean `future`"),
        ({"actor_lr": -1e-3}, ValueError, "`actor_lr`"),
        ({"critic_lr": float("nan")}, ValueError, "`critic_lr`"),
        ({"alpha_lr": "3e-4"}, TypeError, "`alpha_lr`"),
        ({"gamma": 0.0}, ValueError, r"`gamma` must be a finite number in \(0, 1\]"),
        ({"gamma": 1.5}, ValueError, "`gamma`"),
        ({"target_entropy": float("inf")}, ValueError, "`target_entropy`"),
        ({"logsumexp_penalty": -0.1}, ValueError, "`logsumexp_penalty`"),
        ({"random_goals": 1.5}, ValueError, "`random_goals`"),
    ],
)
def test_wrong_settings_are_refused(changes, kind, message):
    from deepcrl.agents import CRL

    with unchecked(), pytest.raises(kind, match=message):
        CRL(**changes)
