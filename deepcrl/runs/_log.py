"""Metrics as flat rows, one per epoch and lane, and where they go."""

import abc
import math
import resource
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ..train import _serialise, Config, Lanes, Metrics


WALL_CLOCK = ("seconds", "env_steps_per_second", "updates_per_second", "memory_bytes")


class AbstractSink(abc.ABC):
    """Where a run's metrics go. A sink of your own needs these two methods."""

    @abc.abstractmethod
    def start(self, config: Config, lanes: Lanes) -> None:
        """Called once, before the first epoch, and again when a run is resumed."""

    @abc.abstractmethod
    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        """Called after each epoch with one row per lane: names to numbers, `None` for what is not finite."""


def metric_rows(
    metrics: Metrics, lanes: Lanes, epoch: int, measured: Mapping[str, int | float]
) -> list[dict[str, Any]]:
    """One flat row per lane.

    **Arguments:**

    - `metrics`: of one epoch, leaves `lane`.
    - `lanes`: what each is: every setting that they were given is a column.
    - `epoch`: its number, from 1.
    - `measured`: by the host, of all lanes together: `seconds` since the run began (stops not counted),
        `env_steps_per_second`, `updates_per_second`, `memory_bytes`. Nothing else in a row depends on the machine's speed.

    **Returns:** rows whose evaluation metrics have plain names (`success_any`) and whose agent's metrics are named by
    where they stand (`critic/loss`).
    """
    host = {name: np.asarray(leaf).tolist() for name, leaf in metrics.columns().items()}
    return [
        {"epoch": epoch, **{name: _plain(value) for name, value in lane.items()}, **measured}
        | {name: _finite(values[lane["lane"]]) for name, values in host.items()}
        for lane in lanes.table()
    ]


def peak_memory() -> int:
    """The most bytes used so far: of the first device where it says so, else of this process."""
    stats = jax.local_devices()[0].memory_stats() or {}
    kilo = 1 if sys.platform == "darwin" else 1024
    return stats.get("peak_bytes_in_use") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kilo


def _finite(value: int | float) -> int | float | None:
    return value if math.isfinite(value) else None


def _plain(value: Any) -> int | float | str | bool:
    return value if isinstance(value, int | float | str | bool) else _serialise.text_of(value)
