"""`deepcrl plot`."""

from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from ..report import differing_settings, group_lanes, load_runs, plot_groups


def plot(
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional],
    *,
    by: tuple[str, ...] = (),
    metric: tuple[str, ...] = ("success_any",),
    last: int = 5,
    out: Path = Path("comparison.png"),
    overwrite: bool = False,
) -> None:
    """Compare runs: curves and final figures of their lanes, grouped by a setting, with intervals.

    Args:
        runs: The runs' folders.
        by: The settings, for example depth, width, env or run; by default those in which the lanes differ.
        metric: What to draw, one row of panels each.
        last: How many of the last evaluations a final figure is the mean of.
        out: The picture to write; its suffix tells the format.
        overwrite: Replace a picture that is there already.
    """
    if out.exists() and not overwrite:
        raise ValueError(f"{out} is there already. Choose another name (`--out`), or replace it (`--overwrite`).")
    rows, names = load_runs(runs), by or differing_settings(runs)
    setting = ", ".join(names)
    if len(names) > 1:
        unknown = [name for name in names if not any(name in row for row in rows)]
        rows = rows if unknown else [{**row, setting: ", ".join(str(row.get(name)) for name in names)} for row in rows]
    console = Console()
    for name in metric:
        groups = group_lanes(rows, by=setting, metric=name, last=last)
        count = max(group.last for group in groups)
        table = Table(
            setting, "lanes", "interquartile mean", "95 % interval", title=f"{name}, last {count} evaluations"
        )
        for group in groups:
            low, high = group.final_interval()
            table.add_row(
                str(group.value), str(len(group.final)), f"{group.final_mean:.3f}", f"[{low:.3f}, {high:.3f}]"
            )
        console.print(table, markup=False)
    plot_groups(rows, out, by=setting, metrics=metric, last=last)
    console.print(f"Written to {out}", markup=False, soft_wrap=True)
