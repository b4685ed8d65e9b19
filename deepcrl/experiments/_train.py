"""Trains the sets of an experiment, or goes on with what a folder holds of them."""

from pathlib import Path
from typing import Literal

from rich.console import Console

from ..runs import open_run, resume, run
from ._experiment import Experiment


def train(
    experiment: Experiment, out: str | Path, *, devices: int | Literal["all"] = "all", console: Console | None = None
) -> list[str]:
    """Trains set after set, each in a folder of its own below `out`. What was stopped goes on; what is done stays as it is.

    **Arguments:**

    - `experiment`: what to train.
    - `out`: the experiment's folder.
    - `devices`, `console`: as for [`deepcrl.run`][].

    **Returns:** the names of the sets that are done: all of them, unless Ctrl-C ended it before.

    **Raises:** `ValueError` for a folder that holds a run of other settings.
    """
    console = Console(quiet=True) if console is None else console
    done: list[str] = []
    for name, trained in experiment.sets.items():
        folder = Path(out) / name
        console.print(f"[bold]{name}[/bold]: {', '.join(dict.fromkeys(trained.names))}", highlight=False)
        shared = {"devices": devices, "measures": experiment.measures, "console": console}
        if (folder / "config.json").exists():
            there = open_run(folder)
            if (there.config, there.lanes) != (experiment.config, trained.lanes):
                raise ValueError(f"{folder} holds a run with other settings. Choose another folder, or remove it.")
            if there.rows and there.rows[-1]["epoch"] == experiment.config.epochs:
                done.append(name)
                continue
            result = resume(folder, **shared)
        else:
            result = run(experiment.config, lanes=trained.lanes, out=folder, **shared)
        if result.interrupted:
            break
        done.append(name)
    return done
