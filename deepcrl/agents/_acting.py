"""Ways to act by an agent: samples of its policy, its mode, or the best of some samples by its critic."""

import abc
import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, PyTree

from .._errors import check_integer
from .._hypers import Hypers
from .._registry import as_part
from .._typing import Key, Policy
from ._api import AbstractAgent


class AbstractActing(abc.ABC):
    """The interface of ways to act. Implementations are frozen dataclasses of plain values."""

    needs_critic: ClassVar[bool] = False
    """Whether only agents with a critic can be acted by like this."""

    @abc.abstractmethod
    def policy(self, agent: AbstractAgent, state: PyTree, hypers: Hypers) -> Policy:
        """The agent's policy, `policy(observation, goal, *, key) -> action in [-1, 1]`, per sample."""


@dataclasses.dataclass(frozen=True)
class Sample(AbstractActing):
    """Samples of the policy, with what noise of exploration it has."""

    def policy(self, agent: AbstractAgent, state: PyTree, hypers: Hypers) -> Policy:
        """Draws by `key`."""
        return lambda observation, goal, *, key: agent.act(state, observation, goal, hypers, key=key)


@dataclasses.dataclass(frozen=True)
class Mode(AbstractActing):
    """The policy's deterministic action."""

    def policy(self, agent: AbstractAgent, state: PyTree, hypers: Hypers) -> Policy:
        """Draws nothing, unless the agent does."""
        return lambda observation, goal, *, key: agent.act(
            state, observation, goal, hypers, key=key, deterministic=True
        )


@dataclasses.dataclass(frozen=True)
class BestOf(AbstractActing):
    """Of some samples of the policy the one with the highest value by the critic."""

    needs_critic: ClassVar[bool] = True

    count: int = 16
    """How many samples, at least 2."""

    def __post_init__(self):
        check_integer("count", self.count, 2)

    def policy(self, agent: AbstractAgent, state: PyTree, hypers: Hypers) -> Policy:
        """Draws `count` samples by `key`."""

        def act(observation: Array, goal: Array, *, key: Key) -> Array:
            def candidate(key: Key) -> tuple[Array, Array]:
                action = agent.act(state, observation, goal, hypers, key=key)
                return action, agent.value(state, observation, goal, hypers, action)

            candidates, values = jax.vmap(candidate)(jr.split(key, self.count))
            return candidates[jnp.argmax(values)]

        return act


def check_acting(field: str, acting: AbstractActing, agent: AbstractAgent) -> None:
    """Raises `ValueError`, with the name of the `field`, if the agent cannot be acted by like this."""
    if acting.needs_critic and not agent.has_critic:
        raise ValueError(
            f"`{field}` = {acting} chooses by the critic, and {type(agent).__name__} has none. Take `Sample()` or `Mode()`."
        )


def as_acting(field: str, given: Any) -> AbstractActing:
    """A way to act from an object, its name, or the number of samples of which the best is taken.

    **Raises:** `ValueError` or `TypeError`, with the name of the `field`, for anything else.
    """
    if isinstance(given, int) and not isinstance(given, bool):
        check_integer(field, given, 2)
        return BestOf(given)
    return as_part(field, AbstractActing, given)
