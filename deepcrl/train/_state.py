"""What training carries and returns."""

from typing import Any

import equinox as eqx
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Array, Float, PyTree

from .._hypers import Hypers
from .._typing import BoolScalar, IntScalar, Key
from ..envs import EnvState, GoalObservation
from ..eval import EvalMetrics
from ..replay import QueueState
from ._collected import Failures


class TrainState(eqx.Module):
    """Everything a run needs to go on: restored, it computes what it would have computed."""

    agent: PyTree
    """What the agent learnt, and its optimisers."""
    collector: PyTree
    """The same of the config's collector, or `None`."""
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
    failures: Failures
    """Steps in which the environments' simulations broke down."""


class Metrics(eqx.Module):
    """Of one epoch; in a `TrainResult`, every leaf has a leading `epoch` axis."""

    env_steps: IntScalar
    """Environment steps taken so far, prefill included."""
    grad_steps: IntScalar
    """Updates made so far."""
    diverged: BoolScalar
    """Whether the lane had diverged by the end of the epoch, and no longer learns."""
    failed_steps: IntScalar
    """Environment steps so far, prefill included, whose simulation came to numbers that are not finite; each ended its
    episode. Always 0 where nothing is simulated."""
    action_std: Float[Array, "*axes"]
    """Standard deviation of the actions collected in the epoch, noise of exploration included, over steps and
    environments, mean over dimensions; actions lie in [-1, 1]."""
    agent: Any
    """The agent's metrics, means over the epoch's updates."""
    evaluation: EvalMetrics
    """The evaluation after the epoch."""

    def columns(self) -> dict[str, Any]:
        """All metrics by flat names: those of the evaluation as they are (`success_any`), the agent's by where they
        stand (`critic/loss`)."""
        plain = ("env_steps", "grad_steps", "diverged", "failed_steps", "action_std")
        columns: dict[str, Any] = {name: getattr(self, name) for name in plain}
        for tree in (self.evaluation, self.agent):
            for path, leaf in jtu.tree_leaves_with_path(tree):
                columns["/".join(str(part).lstrip(".") for part in path)] = leaf
        return columns

    @property
    def success_any(self) -> Float[Array | np.ndarray, "*axes"]:
        """Share of evaluation episodes with success at any step."""
        return self.evaluation.success_any

    @property
    def time_at_goal(self) -> Float[Array | np.ndarray, "*axes"]:
        """Steps with success per evaluation episode."""
        return self.evaluation.time_at_goal

    @property
    def success_end(self) -> Float[Array | np.ndarray, "*axes"]:
        """Share of evaluation episodes with success at their last step."""
        return self.evaluation.success_end


class TrainResult(eqx.Module):
    """What `train(seed)` returns; from a vmapped run, leaves have a leading `lane` axis."""

    state: TrainState
    """The state after the last epoch."""
    metrics: Metrics
    """The metrics of all epochs: leaves have a leading `epoch` axis (behind the lane axes of a vmapped run)."""
