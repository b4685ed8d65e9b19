"""Small float64 NumPy models of what the library computes in float32 JAX, written from the formulas of the papers."""

import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np


# Networks. `layer` is anything with `weight, bias, scale, shift`.


def layer_norm(x, scale, shift, eps=1e-6):
    return scale * (x - x.mean()) / np.sqrt(x.var() + eps) + shift


def swish(x):
    return x / (1.0 + np.exp(-x))


def dense_layer(layer, x, eps=1e-6):
    weight, bias, scale, shift = layer
    return swish(layer_norm(weight @ x + bias, scale, shift, eps))


def residual_block(layers, x, eps=1e-6):
    h = x
    for layer in layers:
        h = dense_layer(layer, h, eps)
    return x + h


def encoder(input_layer, blocks, output, x, eps=1e-6, block=residual_block):
    h = dense_layer(input_layer, x, eps)
    for layers in blocks:
        h = block(layers, h, eps)
    weight, bias = output
    return weight @ h + bias


def network_rows(encoder, x):
    """In JAX, of rows of `x`, with weights read off the library's module: input layer, blocks of layers around a residual,
    linear output."""

    def layer(dense, norm, x):
        x = x @ dense.weight.T + dense.bias[None, :]
        x = x - jnp.mean(x, axis=1, keepdims=True)
        x = x / jnp.sqrt(jnp.mean(x**2, axis=1, keepdims=True) + 1e-6) * norm.weight[None, :] + norm.bias[None, :]
        return x / (1.0 + jnp.exp(-x))

    x = layer(encoder.input_layer.linear, encoder.input_layer.norm, x)
    blocks = encoder.trunk.blocks.layers
    for index in range(blocks[0].linear.weight.shape[0]):
        start = x
        for one in blocks:
            one = jtu.tree_map(lambda leaf, index=index: leaf[index], one)
            x = layer(one.linear, one.norm, x)
        x = x + start
    return x @ encoder.output.weight.T + encoder.output.bias[None, :]


def adam_in_numpy(params, grads, moments, rate, count):
    """In float64, of trees: the new parameters and both moments."""
    flat, tree = jtu.tree_flatten(params)
    new, new_moments = [], []
    for param, grad, (first, second) in zip(flat, jtu.tree_leaves(grads), moments, strict=True):
        grad = np.asarray(grad, np.float64)
        first, second = 0.9 * first + 0.1 * grad, 0.999 * second + 0.001 * grad**2
        step = (first / (1 - 0.9**count)) / (np.sqrt(second / (1 - 0.999**count)) + 1e-8)
        new.append(jnp.asarray(np.asarray(param, np.float64) - rate * step, jnp.float32))
        new_moments.append((first, second))
    return tree.unflatten(new), new_moments


def twin_rows(critic, observation, goal, action):
    """Rows of both values of a `TwinCritic`."""
    x = jnp.concatenate([observation, goal, action], axis=1)
    one = lambda k: network_rows(jtu.tree_map(lambda leaf: leaf[k], critic.encoders), x)[:, 0]
    return jnp.stack([one(0), one(1)], axis=1)


def average_in_numpy(target, online, tau):
    """In float64, of trees: the targets' next weights."""
    mix = lambda t, o: jnp.asarray((1 - tau) * np.asarray(t, np.float64) + tau * np.asarray(o, np.float64), jnp.float32)
    return jtu.tree_map(mix, target, online)


def fresh_moments(tree):
    """Those of `adam_in_numpy` before the first step."""
    return [(0.0, 0.0)] * len(jtu.tree_leaves(tree))


def gaussian_heads(policy, observation, goal):
    """Rows of the mean and the logarithm of the standard deviation of a `GaussianPolicy`, before the tanh."""
    mean, raw = jnp.split(network_rows(policy.encoder, jnp.concatenate([observation, goal], axis=1)), 2, axis=1)
    return mean, -5.0 + 3.5 * (jnp.tanh(raw) + 1.0)


def gaussian_sample(policy, observation, goal, noise):
    """Rows of squashed actions and their log densities."""
    mean, log_std = gaussian_heads(policy, observation, goal)
    pre_image = mean + jnp.exp(log_std) * noise
    normal = -0.5 * noise**2 - log_std - 0.5 * np.log(2 * np.pi).astype(np.float32)
    # 1 - tanh^2 rounds badly near 1
    return jnp.tanh(pre_image), jnp.sum(normal - jnp.log(1.0 / jnp.cosh(pre_image) ** 2 + 1e-6), axis=1)


def noise_rows(key, size, action_size):
    """One draw per sample, from a key of its own: how the library draws is no part of the mathematics."""
    return jax.vmap(lambda key: jr.normal(key, (action_size,)))(jr.split(key, size))


@jax.jit
@jax.value_and_grad
def td_grad(critic, batch, target):
    """Loss of a `TwinCritic` and its gradient."""
    values = twin_rows(critic, batch.observation, batch.goal, batch.action)
    return jnp.mean(jnp.sum(0.5 * (values - target[:, None]) ** 2, axis=1))


def update_of(agent):
    return lambda state, batch, hypers, key: agent.update(state, batch, hypers, key=key)


def our_updates(agent, state, batches, keys, update):
    """The states before and after each `update(state, batch, hypers, key)`, and the metrics of each."""
    states, metrics = [state], []
    for batch, key in zip(batches, keys, strict=True):
        new_state, new_metrics = update(states[-1], batch, agent.hypers(), key)
        states.append(new_state)
        metrics.append(new_metrics)
    return states, metrics


def largest_difference(one, two):
    pairs = zip(jtu.tree_leaves(one), jtu.tree_leaves(two), strict=True)
    return max(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)).max() for a, b in pairs)


def random_td_batch(key, size, observation_size, goal_size, action_size):
    """A batch with next steps, rewards of any size, some steps terminated."""
    from deepcrl.replay import Batch, NextStep

    keys = jr.split(key, 6)
    return Batch(
        observation=jr.normal(keys[0], (size, observation_size)),
        action=jr.uniform(keys[1], (size, action_size), minval=-1.0, maxval=1.0),
        goal=jr.normal(keys[2], (size, goal_size)),
        next=NextStep(
            observation=jr.normal(keys[3], (size, observation_size)),
            reward=jr.normal(keys[4], (size,)),
            terminated=jr.bernoulli(keys[5], 0.4, (size,)),
        ),
    )


# Energies of all pairs, anchors along rows.


def _differences(phi, psi):
    return phi[:, None, :] - psi[None, :, :]


def norm_energy(phi, psi):
    return -np.sqrt(np.maximum((_differences(phi, psi) ** 2).sum(-1), 1e-8))


def squared_l2_energy(phi, psi):
    return -(_differences(phi, psi) ** 2).sum(-1)


def l1_energy(phi, psi):
    return -np.abs(_differences(phi, psi)).sum(-1)


def dot_energy(phi, psi):
    return (phi[:, None, :] * psi[None, :, :]).sum(-1)


def cosine_energy(phi, psi):
    norm = lambda x: np.sqrt(np.maximum((x**2).sum(-1), 1e-8))
    return dot_energy(phi, psi) / (norm(phi)[:, None] * norm(psi)[None, :])


def mrn_energy(phi, psi):
    half = phi.shape[1] // 2
    one_way = np.maximum(_differences(phi, psi)[..., :half], 0.0).max(-1)
    return norm_energy(phi[:, half:], psi[:, half:]) - one_way


ENERGIES = {
    "norm": norm_energy,
    "l2_squared": squared_l2_energy,
    "l1": l1_energy,
    "dot": dot_energy,
    "cosine": cosine_energy,
    "mrn": mrn_energy,
}


# Losses of a square matrix of energies.


def logsumexp(x, axis):
    top = x.max(axis=axis, keepdims=True)
    return np.log(np.exp(x - top).sum(axis=axis)) + np.squeeze(top, axis)


def infonce(logits):
    return (logsumexp(logits, 1) - np.diagonal(logits)).mean()


def backward_infonce(logits):
    return (logsumexp(logits, 0) - np.diagonal(logits)).mean()


def symmetric_infonce(logits):
    return infonce(logits) + backward_infonce(logits)


def binary_nce(logits):
    """Sigmoid cross-entropy against the identity, by `-log sigmoid(x) = log(1 + exp(-x))`."""
    label = np.eye(len(logits))
    return (label * np.logaddexp(0.0, -logits) + (1.0 - label) * np.logaddexp(0.0, logits)).mean()


def flatnce(logits):
    size = len(logits)
    others = logits[~np.eye(size, dtype=bool)].reshape(size, size - 1)
    return logsumexp(others - np.diagonal(logits)[:, None], 1).mean()


def logsumexp_penalty(logits):
    return (logsumexp(logits, 1) ** 2).mean()


LOSSES = {
    "infonce": infonce,
    "backward_infonce": backward_infonce,
    "symmetric_infonce": symmetric_infonce,
    "binary_nce": binary_nce,
    "flatnce": flatnce,
}


def contrastive_metrics(logits):
    size = len(logits)
    return {
        "accuracy": np.mean([row.argmax() == i for i, row in enumerate(logits)]),
        "logits_pos": np.mean([logits[i, i] for i in range(size)]),
        "logits_neg": np.mean([logits[i, j] for i in range(size) for j in range(size) if i != j]),
        "logsumexp": logsumexp(logits, 1).mean(),
    }


def numerical_gradient(function, x, step=1e-5):
    """Central differences of a scalar function, in float64."""
    x = np.array(x, np.float64)
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        ahead, behind = x.copy(), x.copy()
        ahead[index] += step
        behind[index] -= step
        gradient[index] = (function(ahead) - function(behind)) / (2.0 * step)
    return gradient


# Replay.


class QueueModel:
    """Every step ever added, as `(env, episode_id, time, end)`; the newest `length` of each environment count."""

    def __init__(self, num_envs, length, first_episode=0):
        self.num_envs, self.length = num_envs, length
        self.episodes = [[] for _ in range(num_envs)]  # episode ids by time
        self.ends = [[] for _ in range(num_envs)]  # did the episode end at that time?
        self.next_episode = [first_episode] * num_envs

    def add(self, ends):
        """Adds as many steps as `ends` has rows (`time env`); returns their times and episode ids."""
        start = self.num_added
        for row in ends:
            for env, end in enumerate(row):
                self.episodes[env].append(self.next_episode[env])
                self.ends[env].append(bool(end))
                self.next_episode[env] += int(end)
        times = np.arange(start, self.num_added)
        return times, np.array(self.episodes).T[start:]

    @property
    def num_added(self):
        return len(self.episodes[0])

    @property
    def oldest(self):
        return max(0, self.num_added - self.length)

    @property
    def num_stored(self):
        return sum(len(steps[self.oldest :]) for steps in self.episodes)

    def episode_end(self, env, time):
        same = [t for t, e in enumerate(self.episodes[env]) if e == self.episodes[env][time]]
        return same[-1]


def transitions(times, episodes, ends, first_episode=0, with_next=False):
    """A rollout (`time env`) whose goals and observations say which step they belong to: env, episode, time."""
    from deepcrl.replay import Transition

    env, time = np.meshgrid(np.arange(episodes.shape[1]), times)
    code = np.stack([env, episodes - first_episode, time], axis=-1).astype(np.float32)
    return Transition(
        observation=jnp.asarray(code),
        action=jnp.asarray(code[..., :2] / 64.0),
        achieved_goal=jnp.asarray(code + 0.25),
        desired_goal=jnp.asarray(-code),
        reward=jnp.asarray(code.sum(-1)),
        terminated=jnp.asarray(ends & (env % 2 == 0)),
        truncated=jnp.asarray(ends & (env % 2 == 1)),
        episode_id=jnp.asarray(episodes, jnp.int32),
        next_observation=jnp.asarray(code + 0.5) if with_next else None,
        next_achieved_goal=jnp.asarray(code + 0.75) if with_next else None,
    )


def geometric_law(gamma, maximum):
    """`P(k)` for `k = 1 ... maximum`, in proportion to `gamma ** k`."""
    weight = np.float64(gamma) ** np.arange(maximum)
    return weight / weight.sum()


def future_law(episodes, i, gamma):
    """The published law of the goal's time, over all times of one environment, for the step of time `i`.

    Weight `gamma ** (j - i)` for `j > i` in the same episode; the step's own state if there is none.
    """
    weight = np.zeros(len(episodes))
    for j in range(len(episodes)):
        if j > i and episodes[j] == episodes[i]:
            weight[j] = np.float64(gamma) ** (j - i)
    if weight.sum() == 0.0:
        weight[i] = 1.0
    return weight / weight.sum()


def assert_follows_law(counts, law, alpha=1e-6):
    """Chi-square at `p = alpha`; outcomes expected fewer than 5 times are pooled, impossible ones must not occur."""
    from scipy import stats

    counts, law = np.asarray(counts, np.float64), np.asarray(law, np.float64)
    assert counts[law == 0.0].sum() == 0.0, "an impossible outcome was drawn"
    expected = law / law.sum() * counts.sum()
    rare = expected < 5.0
    if rare.any():
        counts = np.append(counts[~rare], counts[rare].sum())
        expected = np.append(expected[~rare], expected[rare].sum())
        counts, expected = counts[expected > 0.0], expected[expected > 0.0]
    if len(counts) == 1:
        return
    p = stats.chisquare(counts, expected).pvalue
    assert p > alpha, f"p = {p:.1e}: the draws do not follow the law"
