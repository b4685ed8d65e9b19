"""`deepcrl plot`."""

from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from ..report import group_lanes, load_runs, plot_groups


def plot(
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional],
    *,
    by: str = "depth",
    metric: tuple[str, ...] = ("success_any",),
    last: int = 5,
    out: Path = Path("comparison.png"),
    overwrite: bool = False,
) -> None:
    """Compare runs: curves and final figures of their lanes, grouped by a setting, with intervals.

    Args:
        runs: The runs' folders.
        by: The setting, for example depth, width, env or run.
        metric: What to draw, one row of panels each.
        last: How many of the last evaluations a final figure is the mean of.
        out: The picture to write; its suffix tells the format.
        overwrite: Replace a picture that is there already.
    """
    if out.exists() and not overwrite:
        raise ValueError(f"{out} is there already. Choose another name (`--out`), or replace it (`--overwrite`).")
    rows = load_runs(runs)
    console = Console()
    for name in metric:
        groups = group_lanes(rows, by=by, metric=name, last=last)
        count = max(group.last for group in groups)
        table = Table(by, "lanes", "interquartile mean", "95 % interval", title=f"{name}, last {count} evaluations")
        for group in groups:
            low, high = group.final_interval()
            table.add_row(
                str(group.value), str(len(group.final)), f"{group.final_mean:.3f}", f"[{low:.3f}, {high:.3f}]"
            )
        console.print(table, markup=False)
    plot_groups(rows, out, by=by, metrics=metric, last=last)
    console.print(f"Written to {out}", markup=False, soft_wrap=True)
