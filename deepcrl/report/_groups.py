"""Lanes grouped by a setting: one curve and one final figure per group, with intervals over its lanes."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from .._errors import check_integer, did_you_mean
from ..eval import bootstrap_interval, interquartile_mean
from ._runs import Row


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """The lanes that share the value of a setting, and one of their metrics. Arrays have an axis `lane` or `step`."""

    value: Any
    """Of the setting."""
    env_steps: Float[np.ndarray, " step"]
    """Where the metric was measured, in env steps of a lane: the steps that all its lanes have in common."""
    lanes: Float[np.ndarray, "lane step"]
    """The metric."""
    tasks: tuple[str, ...]
    """The task of each lane, the strata of all intervals."""
    last: int
    """How many of the last measurements `final` is over: as many as asked for, or all there are."""

    @property
    def curve(self) -> Float[np.ndarray, " step"]:
        """The interquartile mean over lanes."""
        return interquartile_mean(self.lanes, axis=0)

    def curve_interval(self, level: float = 0.95) -> Float[np.ndarray, "2 step"]:
        """Both ends of the stratified bootstrap interval of `curve`, at every step by itself."""
        return np.array([self._interval(column, level) for column in self.lanes.T]).T

    @property
    def final(self) -> Float[np.ndarray, " lane"]:
        """Every lane's mean over its last measurements."""
        return self.lanes[:, -self.last :].mean(axis=1)

    @property
    def final_mean(self) -> float:
        """The interquartile mean of `final`."""
        return float(interquartile_mean(self.final))

    def final_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Both ends of the stratified bootstrap interval of `final_mean`."""
        return self._interval(self.final, level)

    def _interval(self, values: Float[np.ndarray, " lane"], level: float) -> tuple[float, float]:
        return bootstrap_interval(values, statistic=interquartile_mean, strata=self.tasks, level=level)


def group_lanes(rows: Sequence[Row], *, by: str, metric: str = "success_any", last: int = 5) -> list[Group]:
    """Groups the lanes of some runs by a setting.

    **Arguments:**

    - `rows`: as of [`deepcrl.report.load_runs`][]; rows that lack the metric are left out.
    - `by`: a column that is the same in all rows of a lane, such as `depth`, `width` or `env`.
    - `metric`: a column of numbers.
    - `last`: how many of the last measurements count for final figures (5, as in Wang et al. 2025).

    **Returns:** one group per value, in order of the values.

    **Raises:** `ValueError` for no rows, an unknown column, with close matches, or lanes of a group that were never
    measured at the same env steps.
    """
    check_integer("last", last)
    if not rows:
        raise ValueError("There is nothing to group: no rows were given.")
    columns = {name for row in rows for name in row}
    for name, what in ((by, "setting or metric"), (metric, "metric")):
        if name not in columns:
            raise ValueError(f"The runs have no {what} {name!r}. {did_you_mean(name, columns)}")
    lanes: dict[Any, dict[tuple[str, int], dict[int, float]]] = {}
    tasks: dict[tuple[str, int], str] = {}
    for row in rows:
        if metric in row:
            lane = (row.get("run", ""), row["lane"])
            value = row[metric]
            if not (value is None or isinstance(value, int | float)):
                raise ValueError(f"A metric must be a column of numbers; {metric!r} holds {value!r}.")
            tasks[lane] = str(row.get("env", ""))
            measured = lanes.setdefault(_hashable(row.get(by)), {}).setdefault(lane, {})
            measured[row["env_steps"]] = np.nan if value is None else float(value)
    return [_group(by, value, lanes[value], tasks, last) for value in sorted(lanes, key=_order)]


def _group(by: str, value: Any, lanes: dict[Any, dict[int, float]], tasks: dict[Any, str], last: int) -> Group:
    steps = sorted(set.intersection(*(set(measured) for measured in lanes.values())))
    if not steps:
        raise ValueError(
            f"The {len(lanes)} lanes with {by} = {value!r} were never measured at the same `env_steps`. Group by a "
            "setting that tells them apart."
        )
    return Group(
        value=value,
        env_steps=np.array(steps, float),
        lanes=np.array([[measured[step] for step in steps] for measured in lanes.values()]),
        tasks=tuple(tasks[lane] for lane in lanes),
        last=min(last, len(steps)),
    )


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _order(value: Any) -> tuple[bool, float, list[tuple[int, str]]]:
    """Numbers by size, then all else by name, the numbers in names by size as well."""
    number = isinstance(value, int | float)
    parts = re.split(r"(\d+)", str(value))
    return (not number, float(value) if number else 0.0, [(int(p), "") if p.isdigit() else (-1, p) for p in parts])
