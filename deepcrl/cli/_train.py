"""`deepcrl train`."""

import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console

from ..envs import MazeArena
from ..runs import run, RunResult, Saving
from ..train import Config, lanes
from ._sinks import extra_sinks


def train(
    *,
    config: Annotated[Config, tyro.conf.arg(name="")],
    seeds: int = 1,
    first_seed: int = 0,
    out: Path | None = None,
    overwrite: bool = False,
    saving: Annotated[Saving, tyro.conf.arg(name="")] = Saving(),  # noqa: B008
    devices: int | Literal["all"] = 1,
    tensorboard: bool = False,
    wandb: bool = False,
    plots: bool = True,
    settings: Annotated[Mapping[str, Any], tyro.conf.Suppress] = MappingProxyType({}),
) -> int:
    """Train on a task.

    An option of the algorithm or the config with several values makes lanes of one program, every combination with every
    seed: `--depth 4 16 64 --width 64 256`. `--config FILE` begins with the settings in a TOML or JSON file, such as a run's
    `config.json`, and `--preset laptop` or `paper` with ours or the published ones of the task; other options change
    them.

    Args:
        config: The settings of the run.
        seeds: How many seeds to train, as lanes of one program.
        first_seed: The first of them; the others count on from it.
        out: The run's folder (by default runs/TASK-TIME).
        overwrite: Replace another run in that folder.
        saving: What is saved for `deepcrl resume`.
        devices: How many devices share the seeds, equally many each, or a multiple of the seeds: then devices share the
            environments of each. "all" takes as many as fit. A CPU is split into that many (with "all" into its
            cores), which up to doubles the speed of small networks on two cores.
        tensorboard: Write events for TensorBoard to the run's folder.
        wandb: Log to Weights & Biases, offline, in the run's folder.
        plots: Draw a learning curve and, for tasks in mazes, trajectories and the critic's value map.
        settings: Of lanes.
    """
    console = Console()
    if seeds < 1 or first_seed < 0:
        raise ValueError(f"`seeds` must be at least 1 and `first_seed` not negative, got {seeds} and {first_seed}.")
    out = Path("runs") / f"{config.env}-{time.strftime('%Y%m%d-%H%M%S')}" if out is None else out
    result = run(
        config,
        lanes=lanes(config, seeds=range(first_seed, first_seed + seeds), **settings),
        out=out,
        overwrite=overwrite,
        saving=saving,
        devices=devices,
        sinks=extra_sinks(out, tensorboard, wandb),
        console=console,
    )
    return finish(result, out, plots, console)


def finish(result: RunResult, out: Path, plots: bool, console: Console) -> int:
    """Pictures, where the files are, and the exit status of a run."""
    drawn = _draw(result, out, console) if plots and result.rows else True
    console.print(f"Written to {out}", markup=False, soft_wrap=True)
    if result.interrupted:
        console.print(f"Go on by: deepcrl resume {out}", markup=False, soft_wrap=True)
        return 130
    if result.diverged:
        return 3
    return 0 if drawn else 1


def _draw(result: RunResult, out: Path, console: Console) -> bool:
    from .. import report

    title = str(result.trainer.config.env)
    try:
        report.plot_learning_curve(result.rows, out / "learning_curve.png", by=result.sweep.lanes.settings, title=title)
        if isinstance(getattr(result.trainer.eval_env, "arena", None), MazeArena):
            report.plot_maze(result.trainer, result.state(0), out / "maze.png", title=f"{title}, first seed")
    except ImportError as error:
        console.print(f"No pictures: {error}", markup=False)
        return False
    return True
