"""Folders of runs as one tidy table: a row per lane and epoch, with everything that the lane was told."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..runs import open_run
from ..train import Config


Row = dict[str, Any]


def load_runs(paths: Sequence[str | Path]) -> list[Row]:
    """The metrics of some runs with the settings of their lanes, as rows for `pandas.DataFrame` or
    [`deepcrl.report.plot_groups`][].

    A row has `run` (the folder as given), `lane`, `seed`, all fields of the config by name (those of the agent too;
    nested ones with dots, as `trunk.norm`), the lane's own numbers in their place, `depth` where actor and critic have
    the same, and the metrics of one epoch. Measurements of your own join them: rows of any other `*.jsonl` file in the
    folder that have an `epoch` and a `lane`.

    **Arguments:**

    - `paths`: the folders.

    **Raises:** `ValueError` for no folders, one without `config.json` or metrics, one that is named twice, or
    a file that is not as a run writes it.
    """
    folders = [Path(path) for path in paths]
    if not folders:
        raise ValueError("Name at least one run's folder.")
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise ValueError(f"Every run may be named once, got {[str(folder) for folder in folders]}.")
    return [row for folder in folders for row in _load_run(folder)]


def differing_settings(paths: Sequence[str | Path]) -> list[str]:
    """The settings in which lanes of some runs differ, seeds left out; `depth` if they differ in none.

    **Arguments:**

    - `paths`: the runs' folders.
    """
    rows = [_settings(lane.config) for path in paths for lane in open_run(path).lanes]
    names = list(dict.fromkeys(name for row in rows for name in row))
    differ = [name for name in names if any(row.get(name) != rows[0].get(name) for row in rows)]
    if "depth" in differ and all(row["depth"] is not None for row in rows):
        differ = [name for name in differ if name not in ("actor_depth", "critic_depth")]
    return differ or ["depth"]


def _load_run(folder: Path) -> list[Row]:
    run = open_run(folder)
    settings = [_settings(lane.config) for lane in run.lanes]
    rows = run.rows
    if not rows:
        raise ValueError(f"{folder} holds no metrics: no epoch of the run has ended yet.")
    return [{"run": str(folder), **settings[row["lane"]], **row} for row in rows]


def _settings(config: Config) -> Row:
    """What a lane was told, by flat names."""
    values = config.to_dict()
    agent = values.pop("agent")
    agent = dict(agent) if isinstance(agent, Mapping) else {"name": agent}
    row = {**_flat(values), "agent": agent.pop("name"), **_flat(agent)}
    for name in ("actor_depth", "critic_depth"):
        row.setdefault(name, row.get("depth"))
    row["depth"] = row["actor_depth"] if row["actor_depth"] == row["critic_depth"] else None
    return row


def _flat(values: Mapping[str, Any], prefix: str = "") -> Row:
    flat: Row = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat
