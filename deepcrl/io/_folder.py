"""A run's folder: `config.json`, `metrics.jsonl`, pictures. Checked before any long work; nothing is overwritten."""

import importlib.metadata
import json
import os
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from ..train import Config
from ._log import AbstractSink


_FILES = ("config.json", "metrics.jsonl")


class RunFolder(AbstractSink):
    """The folder of one run, as a sink of metrics."""

    def __init__(self, path: str | Path, *, overwrite: bool = False):
        """**Arguments:**

        - `path`: made if it is not there.
        - `overwrite`: whether another run's files in it may be replaced.

        **Raises:** `ValueError` if the path is a file, cannot be written to, or holds another run.
        """
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"The run's folder {self.path} is a file. Choose another folder.")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            raise ValueError(f"The run's folder {self.path} cannot be written to: {error}. Choose another.") from error
        taken = [name for name in _FILES if (self.path / name).exists()]
        if taken and not overwrite:
            raise ValueError(
                f"The folder {self.path} holds another run ({', '.join(taken)}). Choose another folder, or say that it "
                "may be replaced: `--overwrite` (`overwrite=True`)."
            )
        for name in taken:
            (self.path / name).unlink()

    def start(self, config: Config, seeds: Sequence[int]) -> None:
        """Writes `config.json`: the config, the seeds, and what ran it."""
        packages = ("deepcrl", "jax", "jaxlib", "equinox", "optax", "numpy")
        about: dict[str, Any] = {
            "config": config.to_dict(),
            "seeds": list(seeds),
            "versions": {name: importlib.metadata.version(name) for name in packages},
            "python": platform.python_version(),
            "device": jax.devices()[0].device_kind,
            "cpu_count": os.cpu_count(),
        }
        (self.path / "config.json").write_text(json.dumps(about, indent=2) + "\n")

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        """Appends one line per row to `metrics.jsonl`, on disk when this returns."""
        with open(self.path / "metrics.jsonl", "a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
            file.flush()
            os.fsync(file.fileno())


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """The rows of a run's `metrics.jsonl`; a last line cut short by a kill is left out.

    **Raises:** `ValueError` if the folder holds no metrics, or a line that is not JSON before the last.
    """
    file = Path(path) / "metrics.jsonl"
    if not file.exists():
        raise ValueError(f"{path} holds no `metrics.jsonl`: it is not the folder of a run, or no epoch has ended yet.")
    rows, lines = [], file.read_text().splitlines()
    for number, line in enumerate(lines, 1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise ValueError(f"Line {number} of {file} is not JSON: {error}.") from error
    return rows
