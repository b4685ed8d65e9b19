r"""What agents with a tanh-Gaussian policy share: how it acts, its update by some critic, that of the entropy weight."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from .._hypers import Hypers
from .._tree import tree_norm
from .._typing import Key, Scalar
from ..nn import GaussianPolicy
from ..replay import Batch
from ._optim import Adam
from ._settings import active_blocks


ALPHA_ADAM = Adam()  # of a single number: what networks are clipped and decayed by is nothing to it


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


def gaussian_action(
    agent: Any, policy: GaussianPolicy, observation: Array, goal: Array, hypers: Hypers, key: Key | None = None
) -> Float[Array, " action"]:
    r"""A sample of the policy, or $\tanh(\mu)$ where no key is given."""
    distribution = policy(observation, goal, active_blocks(agent, hypers)[0])
    return distribution.mode if key is None else distribution.sample(key=key)


def soft_step(
    agent: Any,
    state: Any,
    q_fn: Callable[[Float[Array, "batch action"]], Float[Array, " batch"]],
    batch: Batch,
    hypers: Hypers,
    *,
    key: Key,
) -> tuple[Any, ActorMetrics, AlphaMetrics]:
    r"""The state after two steps, both at its own $\alpha$ and with fresh $a \sim \pi(\cdot | s, g)$: of the policy on
    $\mathbb{E}[\alpha \log \pi(a | s, g) - Q(a)]$, and of $\log \alpha$ on $\alpha\, (H - H^*)$, with $H$ the
    entropy and $H^*$ = `target_entropy` per action dimension.
    """
    actor_active, _ = active_blocks(agent, hypers)
    alpha = jnp.exp(state.log_alpha)

    def actor_loss(policy: GaussianPolicy) -> tuple[Scalar, Scalar]:
        def act(observation: Array, goal: Array, key: Key) -> tuple[Array, Scalar]:
            return policy(observation, goal, actor_active).sample_and_log_prob(key=key)

        keys = jr.split(key, batch.goal.shape[0])
        action, log_prob = jax.vmap(act)(batch.observation, batch.goal, keys)
        return jnp.mean(alpha * log_prob - q_fn(action)), -jnp.mean(log_prob)

    with jax.named_scope("deepcrl.actor"):
        (loss, entropy), grads = eqx.filter_value_and_grad(actor_loss, has_aux=True)(state.policy)
        policy, policy_opt = agent.optimizer.step(state.policy, grads, state.policy_opt, hypers.actor_lr)
        actor_metrics = ActorMetrics(loss=loss, entropy=entropy, grad_norm=tree_norm(grads))
    with jax.named_scope("deepcrl.alpha"):
        excess = entropy - hypers.target_entropy * batch.action.shape[-1]
        loss, grad = jax.value_and_grad(lambda log_alpha: jnp.exp(log_alpha) * excess)(state.log_alpha)
        log_alpha, alpha_opt = ALPHA_ADAM.step(state.log_alpha, grad, state.alpha_opt, hypers.alpha_lr)
        alpha_metrics = AlphaMetrics(alpha=jnp.exp(log_alpha), loss=loss, grad_norm=jnp.abs(grad))
    new = {"policy": policy, "policy_opt": policy_opt, "log_alpha": log_alpha, "alpha_opt": alpha_opt}
    return dataclasses.replace(state, **new), actor_metrics, alpha_metrics
