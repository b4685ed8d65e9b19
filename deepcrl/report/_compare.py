"""Runs compared by a setting: curves with intervals, and final figures against the setting."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ._curves import LABELS
from ._groups import Group, group_lanes
from ._runs import Row
from ._style import COLOURS, new_figure, save, share_limits


def plot_groups(
    rows: Sequence[Row],
    path: str | Path,
    *,
    by: str,
    metrics: Sequence[str] = ("success_any",),
    last: int = 5,
    level: float = 0.95,
    title: str = "",
) -> Path:
    """Draws metrics of runs, grouped by a setting: one row of panels per metric.

    On the left against env steps: the interquartile mean over the lanes of each group, with its interval. On the right
    against the setting: a dot per lane (the mean of its last measurements), their interquartile mean, and its interval.
    Intervals are percentile bootstrap intervals, stratified by task. On the command line:
    `deepcrl plot runs/a runs/b --by depth --metric success_any critic/loss`.

    **Arguments:**

    - `rows`: as of [`deepcrl.report.load_runs`][].
    - `path`: the picture to write.
    - `by`: the setting, for example `depth`.
    - `metrics`: names of columns.
    - `last`: how many of the last measurements make a final figure.
    - `level`: of the intervals, in (0, 1).
    - `title`: of the picture.

    **Raises:** `ValueError` for no metrics, and as [`deepcrl.report.group_lanes`][] does.
    """
    if not metrics:
        raise ValueError("`metrics` must name at least one metric.")
    grouped = {metric: group_lanes(rows, by=by, metric=metric, last=last) for metric in metrics}
    figure, axes = new_figure(len(grouped), 2, width=7.6, height=2.6 * len(grouped) + 0.3, shares=(2.0, 1.0))
    for (metric, groups), (left, right) in zip(grouped.items(), axes, strict=True):
        for index, group in enumerate(groups):
            _draw_curve(left, group, by, COLOURS[index % len(COLOURS)], level)
            _draw_final(right, index, group, COLOURS[index % len(COLOURS)], level)
        left.set_xlabel("env steps (millions)", fontsize=9)
        left.set_xlim(left=0.0)
        left.legend(fontsize=8, frameon=False, loc="best")
        names = [str(group.value) for group in groups]
        right.set_xticks(range(len(groups)), names, rotation=20 if sum(map(len, names)) > 24 else 0)
        right.set_xlim(-0.6, len(groups) - 0.4)
        right.set_xlabel(by, fontsize=9)
        right.set_title(f"mean of the last {max(group.last for group in groups)} evaluations", fontsize=9)
        left.set_title(LABELS.get(metric, metric), fontsize=9)
        for axis in (left, right):
            if metric.startswith("success") or metric.endswith("accuracy"):
                share_limits(axis)
            axis.grid(axis="y", color="#dddddd", linewidth=0.6)
            axis.set_axisbelow(True)
    figure.suptitle(title, fontsize=10)
    return save(figure, path)


def _draw_curve(axis: Any, group: Group, by: str, colour: str, level: float) -> None:
    steps, (low, high) = group.env_steps / 1e6, group.curve_interval(level)
    label = f"{by} {group.value} ({len(group.lanes)} {'lanes' if len(group.lanes) > 1 else 'lane'})"
    axis.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0.0)
    axis.plot(steps, group.curve, color=colour, linewidth=2.0, label=label)


def _draw_final(axis: Any, place: int, group: Group, colour: str, level: float) -> None:
    low, high = group.final_interval(level)
    axis.plot([place] * len(group.final), group.final, "o", color=colour, markersize=4, alpha=0.45, markeredgewidth=0.0)
    axis.plot([place + 0.15] * 2, [low, high], color=colour, linewidth=2.0, solid_capstyle="butt")
    axis.plot(place + 0.15, group.final_mean, "D", color=colour, markersize=6)
