"""What the training loop asks of an agent. An agent sees sizes, never an environment."""

import abc
import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._hypers import Hypers, number_fields
from .._typing import Key, Scalar
from ..replay import AbstractReplay, Batch


@dataclasses.dataclass(frozen=True, kw_only=True)
class AgentSpec:
    """The sizes an agent is built for."""

    observation_size: int
    """Numbers in an observation, without the goal."""
    goal_size: int
    """Numbers in a goal."""
    action_size: int
    """Numbers in an action."""


class AbstractAgent(abc.ABC):
    """The interface of agents. Implementations are frozen dataclasses of plain values: structure here, arrays in states.

    Methods are pure. Arrays that an agent needs come as arguments: its own state, and the lane's
    [`deepcrl.agents.Hypers`][].
    """

    replay: AbstractReplay
    """What batches are made of; the training loop draws them by it."""
    has_critic: bool = True
    """Whether `value` says anything; an agent that has none need not define it."""

    def hypers(self) -> Hypers:
        """The agent's own numbers as arrays: the fields that [`deepcrl.agents.lane_number`][] declares."""
        return Hypers(**number_fields(self))

    @abc.abstractmethod
    def init(self, spec: AgentSpec, *, key: Key) -> PyTree:
        """A fresh agent state."""

    @abc.abstractmethod
    def act(
        self,
        state: PyTree,
        observation: Float[Array, " obs"],
        goal: Float[Array, " goal"],
        hypers: Hypers,
        *,
        key: Key,
        deterministic: bool = False,
    ) -> Float[Array, " action"]:
        """One action in [-1, 1] for one observation and goal."""

    @abc.abstractmethod
    def update(self, state: PyTree, batch: Batch, hypers: Hypers, *, key: Key) -> tuple[PyTree, PyTree]:
        """One update on one batch: the next state, and a module of scalar metrics."""

    def value(
        self,
        state: PyTree,
        observation: Float[Array, " obs"],
        goal: Float[Array, " goal"],
        hypers: Hypers,
        action: Float[Array, " action"] | None = None,
    ) -> Scalar:
        """What the critic says of one observation and goal under an action, by default the deterministic one; zero for
        agents without a critic.
        """
        if self.has_critic:
            raise TypeError(f"`{type(self).__name__}` needs a `value` of its own, or `has_critic = False`.")
        return jnp.zeros(())
