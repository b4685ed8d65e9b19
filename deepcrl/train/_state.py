"""What training carries and returns."""

from typing import Any

import equinox as eqx
from jaxtyping import Array, Float, PyTree

from .._typing import BoolScalar, IntScalar, Key
from ..agents import Hypers
from ..buffers import QueueState
from ..envs import EnvState, GoalObservation
from ..eval import EvalMetrics


class TrainState(eqx.Module):
    """Everything a run needs to go on: restored, it computes what it would have computed."""

    agent: PyTree
    """What the agent learnt, and its optimisers."""
    hypers: Hypers
    """The lane's numbers."""
    env: EnvState
    """States of the training environments, leaves `env ...`."""
    obs: GoalObservation
    """What `env` shows, leaves `env ...`."""
    queue: QueueState
    """The replay buffer."""
    key: Key
    """The root key; every draw depends on it and the counters alone."""
    env_steps: IntScalar
    """Environment steps taken so far, prefill included."""
    grad_steps: IntScalar
    """Updates made so far."""
    diverged: BoolScalar
    """Whether a loss, parameter or observation was ever not finite; the agent stays what it was before."""


class Metrics(eqx.Module):
    """Of one epoch; in a `TrainResult`, every leaf has a leading `epoch` axis."""

    env_steps: IntScalar
    """Environment steps taken so far, prefill included."""
    grad_steps: IntScalar
    """Updates made so far."""
    diverged: BoolScalar
    """Whether the lane had diverged by the end of the epoch, and no longer learns."""
    agent: Any
    """The agent's metrics, means over the epoch's updates."""
    evaluation: EvalMetrics
    """The evaluation after the epoch."""

    @property
    def success_any(self) -> Float[Array, "*axes"]:
        """Share of evaluation episodes with success at any step."""
        return self.evaluation.success_any

    @property
    def time_at_goal(self) -> Float[Array, "*axes"]:
        """Steps with success per evaluation episode."""
        return self.evaluation.time_at_goal

    @property
    def success_end(self) -> Float[Array, "*axes"]:
        """Share of evaluation episodes with success at their last step."""
        return self.evaluation.success_end


class TrainResult(eqx.Module):
    """What `train(seed)` returns."""

    state: TrainState
    """The state after the last epoch."""
    metrics: Metrics
    """The metrics of all epochs: leaves have a leading `epoch` axis (behind the lane axes of a vmapped run)."""
