"""Sinks for programs that draw curves. Both packages are extras, imported when a sink is made."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from ..train import Config, Lanes
from ._log import AbstractSink


_LABELS = ("epoch", "lane", "seed", "env_steps")


class TensorBoardSink(AbstractSink):
    """Writes events for TensorBoard: a chart per metric, in it a curve per lane, over environment steps."""

    def __init__(self, folder: str | Path):
        """**Arguments:** `folder`: for a folder of events per lane. **Raises:** `ImportError` without tensorboardX."""
        try:
            from tensorboardX import SummaryWriter  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise ImportError("This sink needs tensorboardX: pip install tensorboardX") from error
        # Its `flush` does not wait for what is still queued to its thread, which writes as often as this says.
        self._open = lambda name: SummaryWriter(str(Path(folder) / name), flush_secs=1)
        self._writers: list[Any] = []

    def start(self, config: Config, lanes: Lanes) -> None:
        """Writes the config as text."""
        self._labels = {*_LABELS, *lanes.settings}
        named = [
            [f"lane_{lane.pop('lane')}", *(f"{name}_{value}" for name, value in lane.items())] for lane in lanes.table()
        ]
        self._writers = [self._open("-".join(names)) for names in named]
        self._writers[0].add_text("config", f"```\n{config.to_json()}```", 0)

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        """Adds one point to every curve whose metric is finite; on disk about a second later."""
        for row in rows:
            for name, value in row.items():
                if name not in self._labels and isinstance(value, int | float):
                    self._writers[row["lane"]].add_scalar(name, value, row["env_steps"])


class WandbSink(AbstractSink):
    """Logs to Weights & Biases. Offline unless told otherwise: `wandb sync` uploads the folder when you want it."""

    def __init__(self, folder: str | Path, project: str = "deepcrl", mode: Literal["offline", "online"] = "offline"):
        """**Arguments:**

        - `folder`: for the logs; made if it is not there.
        - `project`: where the run is listed.
        - `mode`: `"online"` uploads while the run goes on.

        **Raises:** `ImportError` without the package wandb.
        """
        try:
            import wandb  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise ImportError("This sink needs wandb: pip install wandb") from error
        self._wandb, self._folder, self._project, self._mode = wandb, Path(folder), project, mode
        self._run: Any = None

    def start(self, config: Config, lanes: Lanes) -> None:
        """Begins a run of theirs; a resumed run of ours is a second one of theirs."""
        self._labels = {*_LABELS, *lanes.settings}
        self._folder.mkdir(parents=True, exist_ok=True)
        settings = {**config.to_dict(), "lanes": lanes.table()}
        self._run = self._wandb.init(project=self._project, mode=self._mode, dir=str(self._folder), config=settings)

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        """One record per epoch, with `metric/lane_0` and so on as names."""
        values = {
            f"{name}/lane_{row['lane']}": value
            for row in rows
            for name, value in row.items()
            if name not in self._labels and isinstance(value, int | float)
        }
        self._run.log({"env_steps": rows[0]["env_steps"], **values}, step=rows[0]["epoch"])
