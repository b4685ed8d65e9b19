"""Metrics as flat rows, one per epoch and lane, and where they go."""

import abc
import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from ..train import Config, Metrics


class AbstractSink(abc.ABC):
    """Where a run's metrics go. A sink of your own needs these two methods."""

    @abc.abstractmethod
    def start(self, config: Config, seeds: Sequence[int]) -> None:
        """Called once, before the first epoch."""

    @abc.abstractmethod
    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        """Called after each epoch with one row per lane: names to numbers, `None` for what is not finite."""


def metric_rows(metrics: Metrics, seeds: Sequence[int], epoch: int, seconds: float) -> list[dict[str, Any]]:
    """One flat row per lane.

    **Arguments:**

    - `metrics`: of one epoch, leaves `lane`.
    - `seeds`: of the lanes.
    - `epoch`: its number, from 1.
    - `seconds`: wall-clock time since the run began.

    **Returns:** rows whose evaluation metrics have plain names (`success_any`) and whose agent's metrics are named by
    where they stand (`critic/loss`).
    """
    columns: dict[str, Any] = {"env_steps": metrics.env_steps, "grad_steps": metrics.grad_steps}
    for tree in (metrics.evaluation, metrics.agent):
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            columns["/".join(str(part).lstrip(".") for part in path)] = leaf
    host = {name: np.asarray(leaf).tolist() for name, leaf in columns.items()}
    return [
        {"epoch": epoch, "lane": lane, "seed": seed, "seconds": round(seconds, 3)}
        | {name: _finite(values[lane]) for name, values in host.items()}
        for lane, seed in enumerate(seeds)
    ]


def _finite(value: int | float) -> int | float | None:
    return value if math.isfinite(value) else None
