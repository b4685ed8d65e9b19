"""Tables with intervals, pictures, and where they come from."""

import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..eval import bootstrap_difference, interquartile_mean
from ..report import group_lanes, load_runs, plot_cells, plot_goal_values, plot_groups, plot_trajectories
from ..runs import open_run
from ._experiment import Experiment


Row = dict[str, Any]


def report(experiment: Experiment, out: str | Path, sets: Sequence[str]) -> dict[str, Any]:
    """Writes `results.csv` (a row per lane and evaluation), `results.json` and the pictures of the sets that are trained.

    **Arguments:**

    - `experiment`: as it was trained.
    - `out`: its folder.
    - `sets`: the names of the sets to tell of, as [`deepcrl.experiments.train`][] returns them.

    **Returns:** what `results.json` holds: for every name and metric the interquartile mean over lanes of the mean of the
    last evaluations, its 95 % bootstrap interval, every lane, and the difference to the first name of its set with an
    interval of its own; the question, the command, the settings, versions and seconds.
    """
    out = Path(out)
    rows = {name: _rows(experiment, out, name) for name in sets}
    _write_csv(experiment, [row for of_set in rows.values() for row in of_set], out / "results.csv")
    about = json.loads((out / sets[0] / "config.json").read_text())
    results = {
        "question": experiment.question,
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        **{name: about[name] for name in ("config", "versions", "python", "device", "cpu_count")},
        "seconds": {name: max(row["seconds"] for row in of_set) for name, of_set in rows.items()},
        "last_evaluations": experiment.last,
        "interval": 0.95,
        "final": [row for name, of_set in rows.items() for row in _final(experiment, name, of_set)],
    }
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    for name, of_set in rows.items():
        _draw(experiment, out, name, of_set)
    return results


def _rows(experiment: Experiment, out: Path, name: str) -> list[Row]:
    names = experiment.sets[name].names
    return [{**row, "set": name, "name": names[row["lane"]]} for row in load_runs([out / name])]


def _write_csv(experiment: Experiment, rows: list[Row], file: Path) -> None:
    given = dict.fromkeys(
        name for of_set in experiment.sets.values() for lane in of_set.lanes for name in lane.settings
    )
    columns = ("set", "name", *given, "seed", "epoch", "env_steps", "grad_steps", *experiment.metrics)
    with open(file, "w", newline="") as opened:
        table = csv.DictWriter(opened, columns, extrasaction="ignore")
        table.writeheader()
        table.writerows({**row, **{name: _rounded(row.get(name)) for name in experiment.metrics}} for row in rows)


def _final(experiment: Experiment, name: str, rows: list[Row]) -> list[Row]:
    final = []
    for metric in experiment.metrics:
        groups = {group.value: group for group in group_lanes(rows, by="name", metric=metric, last=experiment.last)}
        first = groups[experiment.sets[name].names[0]]
        for value in dict.fromkeys(experiment.sets[name].names):
            group = groups[value]
            low, high = group.final_interval()
            row = {"set": name, "name": value, "metric": metric, "interquartile_mean": _rounded(group.final_mean)}
            row |= {"low": _rounded(low), "high": _rounded(high), "lanes": group.final.round(4).tolist()}
            if group is not first:
                low, high = bootstrap_difference(first.final, group.final, statistic=interquartile_mean)
                row["difference"] = _rounded(group.final_mean - first.final_mean)
                row["difference_low"], row["difference_high"] = _rounded(low), _rounded(high)
            final.append(row)
    return final


def _draw(experiment: Experiment, out: Path, name: str, rows: list[Row]) -> None:
    if "success" in experiment.figures:
        settings = {"by": "name", "metrics": experiment.metrics, "last": experiment.last}
        plot_groups(rows, out / f"{name}.png", **settings, title=f"{experiment.config.env}: {experiment.question}")
    if "maze" in experiment.figures and name == next(iter(experiment.sets)):
        trained, names = open_run(out / name), experiment.sets[name].names
        places = {names[0]: 0, names[-1]: names.index(names[-1])}  # the first seed of each
        states = {shown: trained.state(place) for shown, place in places.items()}
        draw = {"cells": plot_cells, "values": plot_goal_values, "trajectories": plot_trajectories}
        for figure, plot in draw.items():
            plot(trained.trainer, states, out / f"{figure}.png")


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
