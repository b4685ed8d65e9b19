"""Inputs of zero mean and unit variance, by running statistics."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._typing import IntScalar, Key
from ._api import Actor, AgentSpec, Batch, Hypers
from ._wrapper import AbstractWrapper


_LEAST_STD = 1e-4


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
        """One sample less the mean, over the standard deviation."""
        return (x - self.mean) / jnp.maximum(jnp.sqrt(self.variance), _LEAST_STD)


class WithNormalizerState(eqx.Module):
    """What the learner learnt, and what its inputs are like."""

    learner: PyTree
    """Of the agent inside."""
    observation: RunningStatistics
    """Of observations."""
    goal: RunningStatistics
    """Of goals."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class WithNormalizer(AbstractWrapper):
    """An agent that sees observations and goals with zero mean and unit variance, each number by itself, whatever its
    unit: metres of a maze beside the radians per second of a joint. The statistics are those of all batches that it has
    learnt from; before the first, inputs are as they come.

    ```python
    config = Config(env="ant_u_maze", agent=CRL(depth=8), normalize_observations=True)  # wraps the agent so
    ```

    The paper's networks take their inputs as they come.
    """

    def init(self, spec: AgentSpec, *, key: Key) -> WithNormalizerState:
        """The learner as it would be alone."""
        return WithNormalizerState(
            learner=self.learner.init(spec, key=key),
            observation=RunningStatistics.fresh(spec.observation_size),
            goal=RunningStatistics.fresh(spec.goal_size),
        )

    def collecting(self, state: WithNormalizerState, hypers: Hypers) -> Actor:
        """Whoever collects for the learner, with the same statistics."""
        agent, inner, hypers = self.learner.collecting(state.learner, hypers)
        state = WithNormalizerState(learner=inner, observation=state.observation, goal=state.goal)
        return Actor(WithNormalizer(learner=agent), state, hypers)

    def inputs(
        self, state: WithNormalizerState, observation: Float[Array, " obs"], goal: Float[Array, " goal"]
    ) -> tuple[Float[Array, " obs"], Float[Array, " goal"]]:
        """Both normalised."""
        return state.observation(observation), state.goal(goal)

    def update(
        self, state: WithNormalizerState, batch: Batch, hypers: Hypers, *, key: Key
    ) -> tuple[WithNormalizerState, Any]:
        """The batch goes into the statistics, then into an update of the learner; the learner's metrics."""
        observation, goal = state.observation.after(batch.observation), state.goal.after(batch.goal)

        def seen(sample: Batch) -> Batch:
            outcome = sample.outcome
            if outcome is not None:
                outcome = dataclasses.replace(outcome, next_observation=observation(outcome.next_observation))
            inputs = {"observation": observation(sample.observation), "goal": goal(sample.goal)}
            return dataclasses.replace(sample, **inputs, outcome=outcome)

        learner, metrics = self.learner.update(state.learner, jax.vmap(seen)(batch), hypers, key=key)
        return WithNormalizerState(learner=learner, observation=observation, goal=goal), metrics
