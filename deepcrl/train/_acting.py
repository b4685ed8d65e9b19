"""How a policy is acted by: samples, its mode, or the best of some samples by the critic."""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, PyTree

from .._errors import check_choice, check_integer
from .._typing import Key
from ..agents import AbstractAgent, Hypers


Actions = Literal["stochastic", "deterministic"] | int


def check_actions(field: str, given: Any, agent: AbstractAgent) -> None:
    """Raises unless `given` is a way to act that the agent knows."""
    if isinstance(given, str):
        check_choice(field, given, ("stochastic", "deterministic"))
        return
    check_integer(field, given, 2)
    if not agent.has_critic:
        raise ValueError(
            f"`{field}` = {given} takes the best of {given} samples by the critic, and {type(agent).__name__} has none. "
            "Choose 'stochastic' or 'deterministic'."
        )


def acting_policy(
    agent: AbstractAgent, state: PyTree, hypers: Hypers, actions: Actions
) -> Callable[..., Array]:  # (observation, goal, key=...) -> action in [-1, 1], per sample
    """The agent's policy in the form that roll-outs take."""

    def act(observation: Array, goal: Array, *, key: Key) -> Array:
        if isinstance(actions, str):
            return agent.act(state, observation, goal, hypers, key=key, deterministic=actions == "deterministic")

        def candidate(key: Key) -> tuple[Array, Array]:
            action = agent.act(state, observation, goal, hypers, key=key)
            return action, agent.value(state, observation, goal, hypers, action)

        candidates, values = jax.vmap(candidate)(jr.split(key, actions))
        return candidates[jnp.argmax(values)]

    return act
