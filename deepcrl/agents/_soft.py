r"""What maximum-entropy agents share: the update of a tanh-Gaussian policy by some critic, and of the entropy weight."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PyTree

from .._tree import tree_norm
from .._typing import IntScalar, Key, Scalar
from ..nn import GaussianPolicy
from ._api import Batch, Hypers
from ._optim import adam_step


class ActorMetrics(eqx.Module):
    """Of one update of the policy."""

    loss: Scalar
    """Weighted log density minus the critic's value."""
    entropy: Scalar
    """Estimate from one action a state, in nats."""
    grad_norm: Scalar
    """Euclidean norm of the gradient."""


class AlphaMetrics(eqx.Module):
    """Of one update of the entropy weight."""

    alpha: Scalar
    """The weight after the update."""
    loss: Scalar
    """Weight times the entropy's excess over its target."""
    grad_norm: Scalar
    """Absolute gradient of the log weight."""


def actor_step(
    policy: GaussianPolicy,
    opt_state: PyTree,
    judge: Callable[[Float[Array, "batch action"]], Float[Array, " batch"]],
    alpha: Scalar,
    batch: Batch,
    active_blocks: IntScalar,
    learning_rate: Scalar,
    *,
    key: Key,
) -> tuple[GaussianPolicy, PyTree, ActorMetrics]:
    r"""One Adam step on $\mathbb{E}[\alpha \log \pi(a | s, g) - \mathrm{judge}(a)]$, $a \sim \pi(\cdot | s, g)$ fresh."""

    def loss(policy: GaussianPolicy) -> tuple[Scalar, Scalar]:
        def act(observation: Array, goal: Array, key: Key) -> tuple[Array, Scalar]:
            return policy(observation, goal, active_blocks).sample_and_log_prob(key=key)

        keys = jr.split(key, batch.goal.shape[0])
        action, log_prob = jax.vmap(act)(batch.observation, batch.goal, keys)
        return jnp.mean(alpha * log_prob - judge(action)), -jnp.mean(log_prob)

    (value, entropy), grads = eqx.filter_value_and_grad(loss, has_aux=True)(policy)
    policy, opt_state = adam_step(policy, grads, opt_state, learning_rate)
    return policy, opt_state, ActorMetrics(loss=value, entropy=entropy, grad_norm=tree_norm(grads))


def alpha_step(
    log_alpha: Scalar, opt_state: PyTree, entropy: Scalar, action_size: int, hypers: Hypers
) -> tuple[Scalar, PyTree, AlphaMetrics]:
    r"""One Adam step of $\log \alpha$ on $\alpha\, (H - H^*)$, with $H^*$ = `target_entropy` per action dimension."""
    excess = entropy - hypers.target_entropy * action_size
    loss, grad = jax.value_and_grad(lambda log_alpha: jnp.exp(log_alpha) * excess)(log_alpha)
    log_alpha, opt_state = adam_step(log_alpha, grad, opt_state, hypers.alpha_lr)
    return log_alpha, opt_state, AlphaMetrics(alpha=jnp.exp(log_alpha), loss=loss, grad_norm=jnp.abs(grad))
