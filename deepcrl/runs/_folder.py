"""A run's folder: `config.json`, `metrics.jsonl`, `metrics.csv`, checkpoints, pictures. Nothing is overwritten."""

import contextlib
import csv
import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..train import Config, Lanes
from ._alarms import Alarm
from ._files import explained, locked, remove_folder, remove_unfinished, write_whole
from ._log import AbstractSink
from ._plan import Plan, read_config_file
from ._rows import read_lines, read_rows
from ._store import CheckpointStore, Saving


_FILES = ("config.json", "metrics.jsonl", "metrics.csv", "measures.jsonl", "alarms.jsonl")


class RunFolder(AbstractSink):
    """The folder of one run, as a sink of metrics."""

    def __init__(self, path: str | Path, *, overwrite: bool = False):
        """**Arguments:**

        - `path`: made if it is not there.
        - `overwrite`: whether another run's files in it may be replaced.

        **Raises:** `ValueError` if the path is a file, cannot be written to, or holds another run.
        """
        self.path = Path(path)
        self._overwrite = overwrite
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"The run's folder {self.path} is a file. Choose another folder.")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            raise ValueError(f"The run's folder {self.path} cannot be written to: {error}. Choose another.") from error
        self._refuse_another_run()

    @classmethod
    def of_run(cls, path: str | Path) -> "RunFolder":
        """The folder of a run that is to go on. **Raises** `ValueError` if it holds none."""
        read_config_file(path)
        return cls(path, overwrite=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the folder for this process. **Raises** `ValueError` if another one holds it."""
        with locked(self.path):
            yield

    def store(self, saving: Saving | None = None) -> CheckpointStore:
        """The run's checkpoints."""
        return CheckpointStore(self.path / "checkpoints", saving)

    def start(self, config: Config, lanes: Lanes) -> None:
        """Writes `config.json` and empties the folder of the run before."""
        self.begin(Plan(config, lanes))

    def begin(self, plan: Plan) -> None:
        """As `start`, with all of the plan. **Raises** `ValueError` if the folder holds another run by now."""
        self._refuse_another_run()
        remove_unfinished(self.path)
        remove_folder(self.path / "checkpoints")
        for name in _FILES:
            (self.path / name).unlink(missing_ok=True)
        self.write_plan(plan)

    def write_plan(self, plan: Plan) -> None:
        """Writes `config.json`: the plan, and what runs it."""
        with self._explained("config.json"):
            write_whole(self.path / "config.json", plan.to_json())

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Appends one line per row to `metrics.jsonl` and `metrics.csv`, on disk when this returns."""
        with self._explained("metrics.jsonl"), open(self.path / "metrics.jsonl", "a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
            file.flush()
            os.fsync(file.fileno())
        with self._explained("metrics.csv"), open(self.path / "metrics.csv", "a", newline="") as file:
            table = csv.DictWriter(file, list(rows[0]) if rows else [])
            if file.tell() == 0:
                table.writeheader()
            table.writerows(rows)

    def write_alarms(self, alarms: Sequence[Alarm]) -> None:
        """Writes all alarms of the run, one a line, to `alarms.jsonl`; without any there is no such file."""
        path = self.path / "alarms.jsonl"
        with self._explained(path.name):
            if alarms:
                write_whole(path, "".join(json.dumps(dataclasses.asdict(alarm)) + "\n" for alarm in alarms))
            else:
                path.unlink(missing_ok=True)

    def write_measures(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Appends what was measured besides, one line per row, to `measures.jsonl`."""
        with self._explained("measures.jsonl"), open(self.path / "measures.jsonl", "a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
            file.flush()
            os.fsync(file.fileno())

    def keep_epochs(self, last: int) -> list[dict[str, Any]]:
        """Drops the metrics and measures of epochs after `last`, and gives back the rows that stay."""
        for name in ("metrics.jsonl", "measures.jsonl"):
            path = self.path / name
            rows = [row for row in read_lines(path) if row["epoch"] <= last]
            if path.exists():
                with self._explained(name):
                    write_whole(path, "".join(json.dumps(row) + "\n" for row in rows))
        (self.path / "metrics.csv").unlink(missing_ok=True)
        # The table is made anew from the lines, which are the record.
        if rows := read_lines(self.path / "metrics.jsonl"):
            with open(self.path / "metrics.csv", "w", newline="") as file:
                table = csv.DictWriter(file, list(rows[0]))
                table.writeheader()
                table.writerows(rows)
        return read_rows(self.path)

    def check_room(self, checkpoint_bytes: int, saving: Saving) -> None:
        """Raises `ValueError` if the disk has no room for one checkpoint beside the one before it."""
        free = shutil.disk_usage(self.path).free
        if saving.save_every and 2 * checkpoint_bytes > free:
            raise ValueError(
                f"The disk of {self.path} has {free / 1e9:.1f} GB free; two checkpoints of this run take "
                f"{2 * checkpoint_bytes / 1e9:.1f} GB. Make room, choose another folder, lower `buffer_length`, leave the "
                "replay buffer out (`--no-save-buffer`), or save nothing (`--save-every 0`)."
            )

    def _refuse_another_run(self) -> None:
        taken = [name for name in (*_FILES, "checkpoints") if (self.path / name).exists()]
        if taken and not self._overwrite:
            raise ValueError(
                f"The folder {self.path} holds another run ({', '.join(taken)}). Go on with that run by `deepcrl resume`, "
                "choose another folder, or say that it may be replaced: `--overwrite` (`overwrite=True`)."
            )

    @contextlib.contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise explained(error, self.path / name) from error
