"""Learning curves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ._style import COLOURS, LINES, new_figure, save, share_limits


LABELS = {
    "success_any": "episodes with success",
    "success_cells": "success, mean over all goals",
    "success_far": "success, mean over far goals",
    "time_at_goal": "steps at the goal per episode",
    "success_end": "episodes that end in success",
    "distance": "distance to the goal at the end",
    "critic/loss": "critic loss (nats)",
    "critic/accuracy": "critic accuracy in the batch",
    "critic/value": "critic value",
    "alpha/alpha": "entropy weight",
    "actor/entropy": "policy entropy (nats)",
    "loss": "loss (nats)",
}
# Agents differ in what they log: of these, what there is.
_USUAL = ("success_any", "time_at_goal", "critic/accuracy", "critic/value", "actor/entropy", "loss")


def plot_learning_curve(
    rows: Sequence[dict[str, Any]],
    path: str | Path,
    *,
    metrics: Sequence[str] | None = None,
    by: Sequence[str] = (),
    title: str = "",
) -> Path:
    """Draws metrics against environment steps: a thin line per lane, a thick one for the mean of those
    that are alike but for their seeds.

    **Arguments:**

    - `rows`: as logged, one per epoch and lane.
    - `path`: the picture to write.
    - `metrics`: names of columns, one panel each; by default success, and what the agent logs of critic value or accuracy,
        entropy and loss.
    - `by`: columns of settings by which the lanes are told apart, such as `("depth", "width")`; a colour for each of their
        combinations.
    - `title`: of the picture.

    **Raises:** `ValueError` for no rows, or a metric that they do not hold.
    """
    if not rows:
        raise ValueError("There is nothing to draw: no rows were logged.")
    metrics = [name for name in _USUAL if name in rows[0]] if metrics is None else metrics
    for name in (*by, *metrics):
        if name not in rows[0]:
            raise ValueError(f"No metric is named {name!r}; the rows hold {sorted(rows[0])}.")
    figure, axes = new_figure(1, len(metrics), width=3.1 * len(metrics), height=2.7)
    lanes: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        lanes.setdefault(row["lane"], []).append(row)
    groups: dict[tuple[Any, ...], list[list[dict[str, Any]]]] = {}
    for mine in lanes.values():
        groups.setdefault(tuple(mine[0][name] for name in by), []).append(mine)
    for axis, name in zip(axes[0], metrics, strict=True):
        for place, (values, alike) in enumerate(groups.items()):
            look = {"color": COLOURS[place % len(COLOURS)], "linestyle": LINES[place // len(COLOURS) % len(LINES)]}
            label = ", ".join(f"{setting} {value}" for setting, value in zip(by, values, strict=True))
            curves = [np.array([np.nan if row[name] is None else row[name] for row in mine], float) for mine in alike]
            steps = np.array([row["env_steps"] for row in alike[0]]) / 1e6
            for curve in curves:
                alone = {"label": label} if len(curves) == 1 else {"alpha": 0.35}
                axis.plot(steps, curve, linewidth=1.0, **look, **alone)
            if len(curves) > 1:
                axis.plot(steps, np.mean(curves, axis=0), linewidth=2.2, label=label, **look)
        axis.set_xlabel("env steps (millions)")
        axis.set_title(LABELS.get(name, name), fontsize=9)
        axis.set_xlim(left=0.0)
        if name.startswith("success") or name.endswith("accuracy"):
            share_limits(axis)
    if by:
        axes[0][0].legend(fontsize=7, frameon=False)
    figure.suptitle(title, fontsize=10)
    return save(figure, path)
