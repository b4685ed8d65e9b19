"""What training carries and returns."""

from collections.abc import Iterable
from typing import Any

import equinox as eqx
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from .._errors import did_you_mean
from .._typing import BoolScalar, IntScalar, Key
from ..agents import Hypers
from ..envs import EnvState, GoalObservation
from ..eval import EvalMetrics
from ..replay import QueueState
from ._collected import Failures


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

    def columns(self) -> dict[str, Array]:
        """All metrics by flat names: those of the evaluation as they are (`success_any`), the agent's by where they
        stand (`critic/loss`)."""
        plain = ("env_steps", "grad_steps", "diverged", "failed_steps", "action_std")
        columns: dict[str, Array] = {name: getattr(self, name) for name in plain}
        for tree in (self.evaluation, self.agent):
            for path, leaf in jtu.tree_leaves_with_path(tree):
                columns["/".join(str(part).lstrip(".") for part in path)] = leaf
        return columns

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
    """What `train(seed)` returns; from a vmapped run, leaves have a leading `lane` axis."""

    state: TrainState
    """The state after the last epoch."""
    metrics: Metrics
    """The metrics of all epochs: leaves have a leading `epoch` axis (behind the lane axes of a vmapped run)."""

    def select(self, **settings: int | float) -> "TrainResult":
        """The lanes with these settings, for example `result.select(depth=16, gamma=0.99)`.

        **Arguments:** values of fields of [`deepcrl.agents.Hypers`][]; `depth` means both depths.

        **Returns:** the same of fewer lanes, in their order.

        **Raises:** `ValueError` for an unknown name, for settings that no lane has, or without a lane axis.
        """
        table = lane_table(self.state.hypers)
        known = [*table[0], "depth"]
        for name in settings:
            if name not in known:
                raise ValueError(f"Lanes have no setting {name!r}. {did_you_mean(name, known)}")
        wanted = {name: value for name, value in settings.items() if name != "depth"}
        if "depth" in settings:
            wanted |= {"actor_depth": settings["depth"], "critic_depth": settings["depth"]}
        chosen = [i for i, row in enumerate(table) if all(row[k] == _as_stored(v) for k, v in wanted.items())]
        if not chosen:
            there = {name: sorted({row[name] for row in table}) for name in wanted}
            raise ValueError(f"No lane has {settings}. The lanes have {there}.")
        return jtu.tree_map(lambda leaf: leaf[np.array(chosen)], self)

    def rows(self, seeds: Iterable[int] | Int[Array, " lane"] | None = None) -> list[dict[str, Any]]:
        """One dictionary per lane and epoch, for `pandas.DataFrame(result.rows())`: `lane`, `epoch` (from 1), the lane's
        numbers and all metrics by flat names.

        **Arguments:**

        - `seeds`: of the lanes, for a column `seed`: states do not keep them.
        """
        table = lane_table(self.state.hypers)
        if seeds is not None:
            table = [{"seed": int(seed), **row} for seed, row in zip(seeds, table, strict=True)]
        columns = {name: np.asarray(leaf).tolist() for name, leaf in self.metrics.columns().items()}
        epochs = range(self.metrics.env_steps.shape[-1])
        return [
            {"lane": lane, "epoch": epoch + 1, **row, **{name: values[lane][epoch] for name, values in columns.items()}}
            for lane, row in enumerate(table)
            for epoch in epochs
        ]


def lane_table(hypers: Hypers) -> list[dict[str, int | float]]:
    """The numbers of every lane as they are stored (learning rates rounded to float32), by name.

    **Raises:** `ValueError` unless `hypers` have one lane axis.
    """
    columns = {name: np.asarray(leaf) for name, leaf in vars(hypers).items() if leaf is not None}
    if any(column.ndim != 1 for column in columns.values()):
        shape = next(iter(columns.values())).shape
        raise ValueError(
            f"A table of lanes needs one lane axis, as `jax.vmap(train)(*lanes(...))` gives it; got axes {shape}. "
            "Flatten the axes of nested vmaps first."
        )
    rows = zip(*[column.tolist() for column in columns.values()], strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _as_stored(value: int | float) -> int | float:
    return value if isinstance(value, int) else float(np.float32(value))
