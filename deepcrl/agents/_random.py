"""The floor: actions drawn uniformly, nothing learnt."""

import dataclasses
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from .._hypers import Hypers
from .._typing import Key
from ..replay import AbstractReplay, Batch, CommandedGoals, Replay
from ._api import AbstractAgent, AgentSpec


class RandomState(eqx.Module):
    """Nothing that is learnt."""

    action_like: Float[Array, " action"]
    """Zeros of the size of an action."""


class RandomMetrics(eqx.Module):
    """Nothing: there are no updates to speak of."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Random(AbstractAgent):
    """Uniform actions in $[-1, 1]$, in evaluation too: what a task gives for nothing."""

    replay: ClassVar[AbstractReplay] = Replay(goals=CommandedGoals())
    has_critic: ClassVar[bool] = False

    def init(self, spec: AgentSpec, *, key: Key) -> RandomState:
        """Nothing but the size of an action."""
        return RandomState(jnp.zeros(spec.action_size))

    def act(
        self,
        state: RandomState,
        observation: Float[Array, " obs"],
        goal: Float[Array, " goal"],
        hypers: Hypers,
        *,
        key: Key,
        deterministic: bool = False,
    ) -> Float[Array, " action"]:
        """A uniform action, also if `deterministic`."""
        return jr.uniform(key, state.action_like.shape, minval=-1.0, maxval=1.0)

    def update(
        self, state: RandomState, batch: Batch, hypers: Hypers, *, key: Key
    ) -> tuple[RandomState, RandomMetrics]:
        """The same state."""
        return state, RandomMetrics()
