"""The look of all pictures. The only place that imports matplotlib."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TYPE_CHECKING

import numpy as np


if TYPE_CHECKING:
    from matplotlib.figure import Figure


COLOURS = ("#1f5fa8", "#d1662a", "#3d8f5f", "#8a5bb0", "#b03a5b", "#6b6b6b")
LINES = ("-", "--", ":", "-.")  # of more groups than colours


def new_figure(
    rows: int, columns: int, *, width: float, height: float, shares: Sequence[float] | None = None
) -> tuple["Figure", Any]:
    """A figure of `width` x `height` inches and its axes, `[row][column]`; `shares` are the columns' relative widths.

    No window and no global state: the figure is made without pyplot.

    **Raises:** `ImportError`, with the remedy, if matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("Pictures need matplotlib: pip install matplotlib") from error
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, width_ratios=shares)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    return figure, axes


def share_limits(axis: Any) -> None:
    """For a share, from 0 to 1: with room at both ends, so that no curve hides under the frame."""
    axis.set_ylim(-0.03, 1.03)
    axis.set_yticks(np.linspace(0.0, 1.0, 6))


def save(figure: "Figure", path: str | Path) -> Path:
    """Writes a figure with all that reaches beyond its edges; the suffix of `path` tells the format."""
    figure.savefig(path, dpi=150, bbox_inches="tight", pad_inches=0.06)
    return Path(path)
