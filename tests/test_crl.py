"""One update of contrastive RL against a plain second implementation, and against the known wrong ones."""

import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import pytest
import references as ref
from references import gaussian_heads, gaussian_sample, largest_difference, network_rows, noise_rows
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


def embeddings(critic, observation, action, goal):
    phi = network_rows(critic.sa_encoder.encoder, jnp.concatenate([observation, action], axis=1))
    return phi, network_rows(critic.goal_encoder.encoder, goal)


@jax.jit
@jax.value_and_grad
def critic_grad(critic, batch, penalty, wrong):
    phi, psi = embeddings(critic, batch.observation, batch.action, batch.goal)
    squared = jnp.sum((phi[:, None, :] - psi[None, :, :]) ** 2, axis=2)
    logits = jnp.where(wrong["critic of squared distances"], -squared, -jnp.sqrt(squared))
    logits = jnp.where(wrong["goals as anchors"], logits.T, logits)
    logsumexp = jnp.log(jnp.sum(jnp.exp(logits), axis=1))
    infonce = -jnp.mean(jnp.diagonal(logits) - logsumexp)
    infonce = jnp.where(wrong["critic of sums"], BATCH, 1.0) * infonce
    return infonce + jnp.where(wrong["critic without penalty"], 0.0, penalty) * jnp.mean(logsumexp**2)


@jax.jit
def actor_grad(policy, critic, alpha, batch, key, wrong):
    def loss(policy):
        goal = jnp.where(wrong["actor on other goals"], jnp.roll(batch.goal, 1, axis=0), batch.goal)
        action, log_prob = gaussian_sample(policy, batch.observation, goal, noise_rows(key, BATCH, ACTION))
        phi, psi = embeddings(critic, batch.observation, action, goal)
        distance = jnp.sqrt(jnp.sum((phi - psi) ** 2, axis=1))
        distance = jnp.where(wrong["actor with energy of the wrong sign"], -1.0, 1.0) * distance
        weight = jnp.where(wrong["actor without entropy"], 0.0, alpha)
        return jnp.mean(weight * log_prob + distance), jnp.mean(-log_prob)

    return jax.value_and_grad(loss, has_aux=True)(policy)


def reference_updates(state, batches, keys, hypers, wrong=()):
    """Policy, alpha and critic after some updates, and the losses of each."""
    wrong = RIGHT | dict.fromkeys(wrong, True)
    policy, critic, log_alpha, losses = state.policy, state.critic, state.log_alpha, []
    of_policy, of_critic, of_alpha = map(ref.fresh_moments, (policy, critic, log_alpha))
    target = -0.5 * ACTION * (-1 if wrong["target entropy of the wrong sign"] else 1)
    target = target / ACTION if wrong["target entropy without the action's size"] else target
    for count, (batch, key) in enumerate(zip(batches, keys, strict=True), 1):
        alpha = jnp.exp(log_alpha)
        critic_loss, grad = critic_grad(critic, batch, hypers.logsumexp_penalty, wrong)
        new_critic, of_critic = ref.adam_in_numpy(critic, grad, of_critic, RATES["critic_lr"], count)

        judge = new_critic if wrong["actor after the critic"] else critic
        (actor_loss, entropy), grad = actor_grad(policy, judge, alpha, batch, key, wrong)

        alpha_loss = float(alpha) * (float(entropy) - target)
        alpha_grad = -alpha_loss if wrong["alpha of the wrong sign"] else alpha_loss  # d/d log alpha
        log_alpha, of_alpha = ref.adam_in_numpy(log_alpha, alpha_grad, of_alpha, RATES["alpha_lr"], count)
        if wrong["actor by the new alpha"]:
            (actor_loss, entropy), grad = actor_grad(policy, judge, jnp.exp(log_alpha), batch, key, wrong)
        policy, of_policy = ref.adam_in_numpy(policy, grad, of_policy, RATES["actor_lr"], count)
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
def update(agent):
    return jax.jit(ref.update_of(agent))


@pytest.fixture(scope="module")
def batches():
    batches = [ref.random_td_batch(jr.key(seed), BATCH, OBS, GOAL, ACTION) for seed in range(1, UPDATES + 1)]
    return [dataclasses.replace(batch, next=None) for batch in batches]


@pytest.fixture(scope="module")
def updated(agent, state, batches, update):
    """The state before and after each update, and its metrics."""
    return ref.our_updates(agent, state, batches, keys(), update)


def keys():
    return list(jr.split(jr.key(7), UPDATES))


def parts(state):
    return state.policy, state.log_alpha, state.critic


def logged(metrics):
    """One row per update: the losses that `reference_updates` returns."""
    return np.asarray([[m.critic.loss, m.actor.loss, m.actor.entropy, m.alpha.loss] for m in metrics])


def test_updates_are_those_of_the_second_implementation_and_of_no_known_wrong_one(agent, state, batches, updated):
    last, losses = parts(updated[0][-1]), logged(updated[1])
    desired, desired_losses = reference_updates(state, batches, keys(), agent.hypers())
    assert largest_difference(last, desired) < TOLERANCE
    assert largest_difference(last, parts(state)) > 100 * TOLERANCE
    np.testing.assert_allclose(losses, desired_losses, rtol=1e-5, atol=1e-5)
    for wrong in WRONG:
        other, other_losses = reference_updates(state, batches, keys(), agent.hypers(), [wrong])
        by_loss = np.abs(losses - np.asarray(other_losses)).max()
        assert max(largest_difference(last, other), by_loss) > 10 * TOLERANCE, wrong


def test_metrics_are_of_the_matrix_of_energies_and_the_gradients(agent, state, batches, updated):
    metrics, batch = updated[1][0], batches[0]
    phi, psi = embeddings(state.critic, batch.observation, batch.action, batch.goal)
    logits = -np.linalg.norm(np.asarray(phi)[:, None, :] - np.asarray(psi)[None, :, :], axis=2)
    close = lambda actual, desired: np.testing.assert_allclose(actual, desired, rtol=1e-4, atol=1e-5)
    for name, value in ref.contrastive_metrics(logits.astype(np.float64)).items():
        close(getattr(metrics.critic, name), value)
    norm = lambda tree: np.sqrt(sum(np.square(np.asarray(leaf, np.float64)).sum() for leaf in jtu.tree_leaves(tree)))
    close(metrics.critic.grad_norm, norm(critic_grad(state.critic, batch, agent.hypers().logsumexp_penalty, RIGHT)[1]))
    close(metrics.actor.grad_norm, norm(actor_grad(state.policy, state.critic, 1.0, batch, keys()[0], RIGHT)[1]))
    close(metrics.alpha.alpha, np.exp(updated[0][1].log_alpha))
    close(metrics.alpha.grad_norm, abs(metrics.actor.entropy + 0.5 * ACTION))


def test_alpha_starts_at_one_and_falls_while_entropy_is_above_its_target(agent, state, batches, update):
    from deepcrl.agents import Hypers

    assert state.log_alpha == 0.0
    for target, direction in ((-10.0, -1), (10.0, 1)):
        hypers = Hypers(**{**agent.hypers().values, "target_entropy": target})
        new_state, _ = update(state, batches[0], hypers, jr.key(0))
        np.testing.assert_allclose(new_state.log_alpha, direction * RATES["alpha_lr"], rtol=1e-4)


def test_each_step_size_moves_its_own_part_in_one_update(agent, state, batches, update):
    from deepcrl.agents import Hypers

    moved, _ = update(state, batches[0], agent.hypers(), jr.key(0))
    for index, name in enumerate(("actor_lr", "alpha_lr", "critic_lr")):
        still, _ = update(state, batches[0], Hypers(**{**agent.hypers().values, name: 0.0}), jr.key(0))
        for i, (start, without, with_all) in enumerate(zip(parts(state), parts(still), parts(moved), strict=True)):
            assert largest_difference(without, start if i == index else with_all) == 0.0, name
            assert largest_difference(with_all, start) > 0.0, name


def test_random_goals_are_other_samples_goals_for_the_actor_alone(agent, state, batches, update):
    other_goals = dataclasses.replace(batches[0], goal=jnp.roll(batches[0].goal, 1, axis=0))
    key, hypers = jr.key(3), agent.hypers()
    all_random = dataclasses.replace(agent, random_goals=1.0)
    mixed, _ = jax.jit(all_random.update)(state, batches[0], hypers, key=key)
    on_own, on_others = (update(state, batch, hypers, key)[0] for batch in (batches[0], other_goals))
    assert largest_difference(mixed.policy, on_others.policy) < TOLERANCE
    assert largest_difference(mixed.policy, on_own.policy) > 10 * TOLERANCE
    assert largest_difference(mixed.critic, on_own.critic) < TOLERANCE


OTHERS = [{"energy": name} for name in ref.ENERGIES] + [{"loss": name} for name in ref.LOSSES]


def test_the_critics_loss_and_value_are_those_of_every_energy_and_loss(state, batches):
    """In float64, of embeddings that the networks computed."""
    from deepcrl.agents import CRL

    agents, batch = [CRL(depth=4, width=8, repr_dim=6, **settings) for settings in OTHERS], batches[0]

    def of(agent):
        loss, _ = agent._critic_loss(state.critic, batch, agent.hypers())
        one = lambda o, g, a: agent.value(state, o, g, agent.hypers(), a)
        return loss, jax.vmap(one)(batch.observation, batch.goal, batch.action)

    phi, psi = embeddings(state.critic, batch.observation, batch.action, batch.goal)
    phi, psi = np.asarray(phi, np.float64), np.asarray(psi, np.float64)
    for settings, (loss, value) in zip(OTHERS, jax.jit(lambda: [of(agent) for agent in agents])(), strict=True):
        logits = ref.ENERGIES[settings.get("energy", "norm")](phi, psi)
        desired = ref.LOSSES[settings.get("loss", "infonce")](logits) + 0.1 * ref.logsumexp_penalty(logits)
        np.testing.assert_allclose(loss, desired, rtol=1e-4, err_msg=str(settings))
        np.testing.assert_allclose(value, np.diagonal(logits), rtol=1e-3, atol=1e-3, err_msg=str(settings))


def test_one_batch_is_learnt_by_heart(state, batches):
    from deepcrl.agents import CRL

    agent = CRL(depth=4, width=8, repr_dim=6, critic_lr=1e-2)
    step = lambda state, key: agent.update(state, batches[0], agent.hypers(), key=key)
    critic = jax.jit(lambda state: jax.lax.scan(step, state, jr.split(jr.key(6), 400))[1])(state).critic
    assert critic.loss[0] > 0.7 * np.log(BATCH)
    assert critic.loss[-20:].max() < 0.1 * np.log(BATCH)
    assert critic.accuracy[-20:].min() == 1.0
    assert critic.logits_pos[-1] > critic.logits_neg[-1] + 2.0


def test_the_deterministic_action_is_the_squashed_mean_and_the_value_its_energy(agent, state, batches):
    batch, hypers = batches[0], agent.hypers()
    mean, _ = gaussian_heads(state.policy, batch.observation, batch.goal)

    @jax.jit
    def act(key):
        one = lambda o, g, k, mode: agent.act(state, o, g, hypers, key=k, deterministic=mode)
        rows = (batch.observation, batch.goal, jr.split(key, BATCH))
        value = jax.vmap(lambda o, g: agent.value(state, o, g, hypers))(*rows[:2])
        return [jax.vmap(lambda *row, mode=mode: one(*row, mode))(*rows) for mode in (True, False)], value

    for key in (jr.key(0), jr.key(1)):
        (mode, sample), value = act(key)
        np.testing.assert_allclose(mode, np.tanh(mean), atol=1e-6)
        noise = noise_rows(key, BATCH, ACTION)
        desired, _ = gaussian_sample(state.policy, batch.observation, batch.goal, noise)
        np.testing.assert_allclose(sample, desired, atol=1e-5)
        assert (jnp.abs(sample) <= 1.0).all() and (sample != mode).all()
    phi, psi = embeddings(state.critic, batch.observation, np.tanh(mean), batch.goal)
    np.testing.assert_allclose(value, -np.linalg.norm(phi - psi, axis=1), rtol=1e-5)


def test_actor_and_critic_have_depths_of_their_own():
    from deepcrl.agents import AgentSpec, CRL

    agent = CRL(depth=4, actor_depth=8, critic_depth=12, width=4, repr_dim=3)
    spec = AgentSpec(observation_size=OBS, goal_size=GOAL, action_size=ACTION)
    own = jax.eval_shape(lambda key: agent.init(spec, key=key), jr.key(0))
    encoders = (own.policy.encoder, own.critic.sa_encoder.encoder, own.critic.goal_encoder.encoder)
    assert [encoder.trunk.num_blocks for encoder in encoders] == [2, 3, 3]
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
        ({"energy": "mrn", "repr_dim": 7}, ValueError, "`repr_dim` must be even, got 7"),
        ({"energy": "nrom"}, ValueError, "Did you mean `norm`"),
        ({"loss": "info_nce"}, ValueError, "Did you mean `infonce`"),
        ({"replay": "replya"}, ValueError, "Did you mean `replay`"),
        ({"replay": 3}, TypeError, r"`replay` must be a replay, such as `Replay\(\)`"),
        ({"optimizer": "adm"}, ValueError, "Did you mean `adam`"),
        ({"remat": 1}, TypeError, "`remat`"),
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
