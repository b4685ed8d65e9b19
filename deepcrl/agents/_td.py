"""What agents with a pair of temporal-difference critics share: networks, targets' average, the critics' update."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._errors import check_choice, check_number
from .._tree import tree_norm
from .._typing import IntScalar, Scalar
from ..losses import td_loss
from ..nn import TwinCritic
from ._api import Batch, Outcome
from ._optim import adam_step


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
    critic: TwinCritic,
    opt_state: PyTree,
    target: Float[Array, " batch"],
    batch: Batch,
    active_blocks: IntScalar,
    learning_rate: Scalar,
) -> tuple[TwinCritic, PyTree, TDMetrics]:
    """One Adam step of both critics towards the targets."""

    def loss(critic: TwinCritic) -> tuple[Scalar, Float[Array, "batch 2"]]:
        values = pair_values(critic, batch.observation, batch.goal, batch.action, active_blocks)
        return jnp.mean(jax.vmap(td_loss)(values, target)), values

    (value, values), grads = eqx.filter_value_and_grad(loss, has_aux=True)(critic)
    critic, opt_state = adam_step(critic, grads, opt_state, learning_rate)
    metrics = TDMetrics(loss=value, value=jnp.mean(values), target=jnp.mean(target), grad_norm=tree_norm(grads))
    return critic, opt_state, metrics


def pair_values(
    critic: TwinCritic,
    observation: Float[Array, "batch obs"],
    goal: Float[Array, "batch goal"],
    action: Float[Array, "batch action"],
    active_blocks: IntScalar,
) -> Float[Array, "batch 2"]:
    """Both critics on a batch."""
    return jax.vmap(critic, in_axes=(0, 0, 0, None))(observation, goal, action, active_blocks)


def outcome_of(batch: Batch) -> Outcome:
    """The outcome of a batch. **Raises** `ValueError` if the loop did not put one in."""
    if batch.outcome is None:
        raise ValueError("This agent bootstraps, so a `Batch` must hold an `outcome`, got `None`. Give an `Outcome`.")
    return batch.outcome


def check_td(agent: object) -> None:
    """Raises unless the fields that all such agents have are legal."""
    value = lambda name: getattr(agent, name)
    check_choice("hindsight", value("hindsight"), ("none", "final", "future"))
    check_number("hindsight_ratio", value("hindsight_ratio"), 0.0, 1.0)
    for name in ("actor_lr", "critic_lr"):
        check_number(name, value(name), 0.0)
    check_number("gamma", value("gamma"), 0.0, 1.0, open_low=True)
    check_number("tau", value("tau"), 0.0, 1.0)
