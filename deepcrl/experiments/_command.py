"""The command line of a recipe."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ..train import Config, cost, split_cpu, Sweep
from ..train._serialise import plain_value
from ._experiment import Experiment
from ._report import report
from ._train import train


def main(file: str | Path, description: str | None, args: Sequence[str] | None = None) -> None:
    """Trains the experiment of a TOML file, or goes on with it, and reports: all that a recipe has to do.

    ```python
    if __name__ == "__main__":
        main(Path(__file__).with_suffix(".toml"), __doc__)
    ```

    **Arguments:**

    - `file`: as [`deepcrl.experiments.Experiment`][] has it.
    - `description`: for `--help`.
    - `args`: by default those of the command line.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="laptop", help="which scale of the settings to train (laptop)")
    parser.add_argument("--out", type=Path, default=Path("runs") / Path(file).stem, help="the experiment's folder")
    parser.add_argument("--seeds", type=int, help="how many, in place of the scale's own number")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="other values for all lanes")
    parser.add_argument("--settings", type=Path, default=Path(file), help="another file of settings")
    parser.add_argument("--dry-run", action="store_true", help="say what it costs, and train nothing")
    arguments = parser.parse_args(args)
    console = Console()
    try:
        changes = dict(_change(text) for text in arguments.set)
        experiment = Experiment.from_toml(arguments.settings, arguments.scale, seeds=arguments.seeds, changes=changes)
        split_cpu()
        if arguments.dry_run:
            return _print_cost(experiment, console)
        done = train(experiment, arguments.out, console=console)
        if done:
            report(experiment, arguments.out, done)
            console.print(f"Tables and pictures: {arguments.out}", markup=False, soft_wrap=True)
    except (ValueError, TypeError, MemoryError, OSError, KeyError) as error:
        raise SystemExit(f"error: {error}") from error
    if len(done) < len(experiment.sets):
        console.print("Stopped. The same command goes on.")
        raise SystemExit(130)


def _change(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError(f"`--set` takes NAME=VALUE, got {text!r}.")
    return name.replace("-", "_"), plain_value(value)


def _print_cost(experiment: Experiment, console: Console) -> None:
    """The cost sheet of all lanes; nothing is compiled."""
    table = Table("set", "name", "lanes", "env steps", "updates", "M parameters", "GFLOP an update", "GB of state")
    for name, trained in experiment.sets.items():
        programs = Sweep(trained.lanes)
        for places, trainer in programs.grouped:
            config: Config = trainer.config
            sheet = cost(trainer, len(places))
            figures = (sheet.parameters / 1e6, sheet.flops_per_update / 1e9, sheet.needed_bytes / 1e9)
            counts = (len(places), config.actual_env_steps, config.actual_updates)
            shown = dict.fromkeys(trained.names[place] for place in places)
            table.add_row(name, "; ".join(shown), *(f"{n:,}" for n in counts), *(f"{x:.2f}" for x in figures))
    console.print(table)
