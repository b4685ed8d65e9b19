"""What agents with a pair of temporal-difference critics share: targets, and the critics' update."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PyTree

from .._tree import tree_norm
from .._typing import IntScalar, Key, Scalar
from ..losses import td_loss, td_target
from ..nn import TwinCritic
from ..replay import Batch
from ._optim import AbstractOptimizer


class TDMetrics(eqx.Module):
    """Of one update of a pair of critics."""

    loss: Scalar
    """Half the squared temporal-difference error, summed over the pair, mean over the batch."""
    value: Scalar
    """Mean value of the batch's actions, over the pair."""
    target: Scalar
    """Mean of the targets."""
    grad_norm: Scalar
    """Euclidean norm of the gradient."""


def critic_step(
    optimizer: AbstractOptimizer,
    critic: TwinCritic,
    opt_state: PyTree,
    target: Float[Array, " batch"],
    batch: Batch,
    active: IntScalar | None,
    learning_rate: Scalar,
) -> tuple[TwinCritic, PyTree, TDMetrics]:
    """One step of both critics towards the targets."""

    def loss(critic: TwinCritic) -> tuple[Scalar, Float[Array, "batch 2"]]:
        values = pair_values(critic, batch.observation, batch.goal, batch.action, active)
        return jnp.mean(jax.vmap(td_loss)(values, target)), values

    (value, values), grads = eqx.filter_value_and_grad(loss, has_aux=True)(critic)
    critic, opt_state = optimizer.step(critic, grads, opt_state, learning_rate)
    metrics = TDMetrics(loss=value, value=jnp.mean(values), target=jnp.mean(target), grad_norm=tree_norm(grads))
    return critic, opt_state, metrics


def pair_values(
    critic: TwinCritic,
    observation: Float[Array, "batch obs"],
    goal: Float[Array, "batch goal"],
    action: Float[Array, "batch action"],
    active: IntScalar | None,
) -> Float[Array, "batch 2"]:
    """Both critics on a batch."""
    return jax.vmap(critic, in_axes=(0, 0, 0, None))(observation, goal, action, active)


def bootstrap_targets(
    batch: Batch, next_value: Callable[[Array, Array, Key], Scalar], gamma: Scalar, *, key: Key
) -> Float[Array, " batch"]:
    """What the critics are to say of a batch, given the value of one next observation and goal (with a key to draw by).

    **Raises** `ValueError` if there is no next step in the batch.
    """
    led_to = batch.next
    if led_to is None:
        raise ValueError(
            "This agent bootstraps, so batches must say what a step led to: `Batch.next` is `None`. Take a replay rule "
            "with a reward, such as `Replay(goals=CommandedGoals(), reward=TaskReward())`."
        )

    def target(observation: Array, goal: Array, reward: Scalar, terminated: Array, key: Key) -> Scalar:
        return td_target(reward, terminated, next_value(observation, goal, key), gamma)

    keys = jr.split(key, batch.goal.shape[0])
    return jax.vmap(target)(led_to.observation, batch.goal, led_to.reward, led_to.terminated, keys)
