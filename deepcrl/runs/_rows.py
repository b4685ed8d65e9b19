"""The rows that a run's folder holds: its metrics, and what was measured besides."""

import json
from pathlib import Path
from typing import Any


Row = dict[str, Any]


def read_rows(path: str | Path) -> list[Row]:
    """One row per epoch and lane that `metrics.jsonl` has: the metrics, and the columns of rows of that epoch and lane in
    any other `*.jsonl` of the folder. None before the first epoch has ended.

    **Raises:** `ValueError` for a line that is not JSON before the last of a file.
    """
    folder = Path(path)
    rows = {(row["epoch"], row["lane"]): row for row in read_lines(folder / "metrics.jsonl")}
    for file in sorted(folder.glob("*.jsonl")):
        for row in read_lines(file) if file.name != "metrics.jsonl" else []:
            if (place := (row.get("epoch"), row.get("lane"))) in rows:
                rows[place] = {**row, **rows[place]}
    return [rows[place] for place in sorted(rows)]


def read_lines(file: Path) -> list[Row]:
    """The rows of a file, if it is there; a last line cut short by a kill is left out."""
    rows, lines = [], file.read_text().splitlines() if file.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(dict(json.loads(line)))
        except (ValueError, TypeError) as error:
            if number < len(lines):
                raise ValueError(f"Line {number} of {file} is not a row of JSON: {error}.") from error
    return rows
