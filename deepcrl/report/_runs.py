"""Folders of runs as one tidy table: a row per lane and epoch, with everything that the lane was told."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


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


def _load_run(folder: Path) -> list[Row]:
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder} holds no `config.json`: it is not the folder of a run.")
    if not (folder / "metrics.jsonl").is_file():
        raise ValueError(f"{folder} holds no `metrics.jsonl`: no epoch of the run has ended yet.")
    settings = _lane_settings(folder / "config.json")
    measured: dict[tuple[int, int], Row] = {}
    for file in sorted(folder.glob("*.jsonl")):
        for row in _lines(file):
            if "epoch" in row and "lane" in row:
                measured.setdefault((row["epoch"], row["lane"]), {}).update(row)
    logged = {(row["epoch"], row["lane"]) for row in _lines(folder / "metrics.jsonl")}
    if not logged:
        raise ValueError(f"{folder} holds no metrics: no epoch of the run has ended yet.")
    return [{"run": str(folder), **settings[lane], **measured[epoch, lane]} for epoch, lane in sorted(logged)]


def _lane_settings(file: Path) -> list[Row]:
    """What every lane was told."""
    try:
        about = json.loads(file.read_text())
        config, lanes = dict(about["config"]), [{**lane["settings"], "seed": lane["seed"]} for lane in about["lanes"]]
        agent = _part(config.pop("agent"))
        shared = {**_flat(config), "agent": agent.pop("name"), **_flat(agent)}
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise ValueError(f"{file} is not a run's: {type(error).__name__}: {error}.") from error
    rows = []
    for lane in lanes:
        row = {**shared, **({"actor_depth": None, "critic_depth": None} if "depth" in lane else {}), **lane}
        for name in ("actor_depth", "critic_depth"):
            row[name] = row.get("depth") if row.get(name) is None else row[name]
        row["depth"] = row["actor_depth"] if row["actor_depth"] == row["critic_depth"] else None
        rows.append(row)
    return rows


def _part(value: str | Mapping[str, Any]) -> Row:
    """A part as a file has it: its name and fields, or its name alone."""
    return {"name": value} if isinstance(value, str) else dict(value)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Row:
    flat: Row = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            fields = dict(value)
            named = {prefix + name: fields.pop("name")} if "name" in fields else {}
            flat |= named | _flat(fields, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _lines(file: Path) -> list[Row]:
    """The rows of a file; a last line cut short by a kill is left out."""
    rows, lines = [], file.read_text().splitlines()
    for number, line in enumerate(lines, 1):
        try:
            rows.append(dict(json.loads(line)))
        except (ValueError, TypeError) as error:
            if number < len(lines):
                raise ValueError(f"Line {number} of {file} is not a row of metrics: {error}.") from error
    return rows
