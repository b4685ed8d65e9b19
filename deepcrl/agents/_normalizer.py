"""Inputs of zero mean and unit variance, by running statistics."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._hypers import Hypers
from .._typing import IntScalar, Key, Scalar
from ..replay import AbstractReplay, Batch
from ._api import AbstractAgent, AgentSpec


# A number that hardly varies (a goal's height, a ball that was never touched) says nothing yet: were it blown up to unit
# variance, its first true change would be a number of thousands.
_LEAST_STD = 1e-2
_LARGEST = 10.0


class RunningStatistics(eqx.Module):
    """Mean and variance of every number of all samples so far, which came in batches of one size."""

    batches: IntScalar
    """How many batches there were."""
    mean: Float[Array, " x"]
    """Of all samples."""
    variance: Float[Array, " x"]
    """Of all samples, not corrected for their number."""

    @classmethod
    def fresh(cls, size: int) -> "RunningStatistics":
        """Of no samples: mean 0 and variance 1, which change nothing."""
        return cls(batches=jnp.zeros((), jnp.int32), mean=jnp.zeros(size), variance=jnp.ones(size))

    def after(self, batch: Float[Array, "batch x"]) -> "RunningStatistics":
        """With one batch more (Chan, Golub and LeVeque's pooled variance)."""
        share = 1.0 / (self.batches + 1).astype(jnp.float32)
        step = jnp.mean(batch, axis=0) - self.mean
        # Before the first batch there is no variance to keep and no mean to be apart from.
        spread = (1.0 - share) * jnp.square(step) - self.variance
        return RunningStatistics(
            batches=self.batches + 1,
            mean=self.mean + share * step,
            variance=self.variance + share * (jnp.var(batch, axis=0) + spread),
        )

    def __call__(self, x: Float[Array, " x"]) -> Float[Array, " x"]:
        """One sample less the mean, over the standard deviation (at least 0.01), within [-10, 10]."""
        unit = (x - self.mean) / jnp.maximum(jnp.sqrt(self.variance), _LEAST_STD)
        return jnp.clip(unit, -_LARGEST, _LARGEST)


class NormalizedState(eqx.Module):
    """What the learner learnt, and what its inputs are like."""

    learner: PyTree
    """Of the agent inside."""
    observation: RunningStatistics
    """Of observations."""
    goal: RunningStatistics
    """Of goals."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Normalized(AbstractAgent):
    """What the training loop makes of an agent under `Config(normalize_observations=True)`: observations and goals reach
    the learner with mean 0 and variance 1, whatever their unit: metres of a maze beside the radians per second of a joint.
    The statistics are those of all batches that it has learnt from; before the first, inputs are as they come.

    The paper's networks take their inputs as they come.
    """

    learner: AbstractAgent
    """Learns and acts."""

    @property
    def replay(self) -> AbstractReplay:
        """The learner's."""
        return self.learner.replay

    @property
    def has_critic(self) -> bool:
        """Whether the learner has."""
        return self.learner.has_critic

    def hypers(self) -> Hypers:
        """The learner's."""
        return self.learner.hypers()

    def init(self, spec: AgentSpec, *, key: Key) -> NormalizedState:
        """A fresh learner, and statistics of nothing."""
        return NormalizedState(
            learner=self.learner.init(spec, key=key),
            observation=RunningStatistics.fresh(spec.observation_size),
            goal=RunningStatistics.fresh(spec.goal_size),
        )

    def act(
        self,
        state: NormalizedState,
        observation: Float[Array, " obs"],
        goal: Float[Array, " goal"],
        hypers: Hypers,
        *,
        key: Key,
        deterministic: bool = False,
    ) -> Float[Array, " action"]:
        """The learner's action."""
        inputs = state.observation(observation), state.goal(goal)
        return self.learner.act(state.learner, *inputs, hypers, key=key, deterministic=deterministic)

    def value(
        self,
        state: NormalizedState,
        observation: Float[Array, " obs"],
        goal: Float[Array, " goal"],
        hypers: Hypers,
        action: Float[Array, " action"] | None = None,
    ) -> Scalar:
        """What the learner's critic says."""
        return self.learner.value(state.learner, state.observation(observation), state.goal(goal), hypers, action)

    def update(self, state: NormalizedState, batch: Batch, hypers: Hypers, *, key: Key) -> tuple[NormalizedState, Any]:
        """Statistics of the batch as well, then the learner's update on it as they have it."""
        observation, goal = state.observation.after(batch.observation), state.goal.after(batch.goal)

        def seen(sample: Batch) -> Batch:
            led_to = sample.next
            if led_to is not None:
                led_to = dataclasses.replace(led_to, observation=observation(led_to.observation))
            inputs = {"observation": observation(sample.observation), "goal": goal(sample.goal)}
            return dataclasses.replace(sample, **inputs, next=led_to)

        learner, metrics = self.learner.update(state.learner, jax.vmap(seen)(batch), hypers, key=key)
        return NormalizedState(learner=learner, observation=observation, goal=goal), metrics
