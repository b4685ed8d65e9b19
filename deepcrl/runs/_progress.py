"""What a run shows in the terminal: a header, a progress bar, a table."""

import time
from collections.abc import Sequence
from typing import Any

import rich.progress
from rich.console import Console
from rich.table import Table

from .._hypers import depth_fields
from ..train import cost, Sweep


def print_header(console: Console, programs: Sweep) -> None:
    """What will be run, and how large it is."""
    config = programs.trainers[0].config
    task = config.env if isinstance(config.env, str) else type(config.env).__name__
    console.print(f"[bold]{task}[/bold]: {type(config.agent).__name__}")
    spread = f" on {programs.mesh.size} devices" if programs.mesh is not None else ""
    console.print(
        f"{len(programs.lanes)} lane(s){spread}, each {config.actual_env_steps:,} env steps and {config.actual_updates:,} "
        f"updates in {config.epochs} epochs"
    )
    for places, trainer in programs.grouped:
        sheet = cost(trainer, len(places))
        settings = [programs.lanes.lanes[place].settings for place in places]
        alike = {name: value for name, value in settings[0].items() if all(of[name] == value for of in settings)}
        built = ", ".join(
            f"{name.replace('_', ' ')} {value}" for name, value in (alike or depth_fields(trainer.config.agent)).items()
        )
        console.print(
            f"{len(places)} of {built or 'no depth'}: {sheet.parameters / 1e6:.2f} M parameters, "
            f"{sheet.flops_per_update / 1e9:.2f} GFLOP an update, {sheet.state_bytes / 1e6:.0f} MB of state a lane, "
            f"{sheet.buffer_bytes / 1e6:.0f} MB of it replay buffer"
        )


class EpochProgress:
    """A progress bar over epochs; a context manager. A log that is no terminal gets a line per epoch in its place. Silent
    where `console` is quiet."""

    def __init__(self, console: Console, epochs: int, done: int = 0):
        """Shows nothing before it is entered. `done` epochs are behind already."""
        self._progress = rich.progress.Progress(
            rich.progress.TextColumn("epoch {task.completed}/{task.total}"),
            rich.progress.BarColumn(bar_width=24),
            rich.progress.TextColumn("{task.description}"),
            rich.progress.TimeElapsedColumn(),
            rich.progress.TextColumn("left"),
            rich.progress.TimeRemainingColumn(elapsed_when_finished=False),
            console=console,
            disable=console.quiet or not console.is_terminal,
        )
        self._began = time.perf_counter()
        self._task = self._progress.add_task(
            "compiling" if done < epochs else "nothing left to do", total=epochs, completed=done
        )

    def __enter__(self) -> "EpochProgress":
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def advance(self, env_steps_per_second: float, updates_per_second: float, success: float, diverged: int) -> None:
        """One epoch done; throughput is summed over lanes, success averaged; `diverged` lanes no longer learn."""
        text = f"{env_steps_per_second:,.0f} env steps/s  {updates_per_second:,.0f} updates/s  success {success:.2f}"
        if diverged:
            text += f"  [bold red]{diverged} lane(s) diverged[/bold red]"
        self._progress.update(self._task, advance=1, description=text)
        if self._progress.disable:
            task, seconds = self._progress.tasks[0], time.perf_counter() - self._began
            self.say(f"epoch {task.completed:.0f}/{task.total:.0f}  {text}  {duration(seconds)}")

    def say(self, text: str) -> None:
        """A line above the bar."""
        self._progress.console.print(text, soft_wrap=True, highlight=False)

    def close(self) -> None:
        """Gives back the terminal, from any thread."""
        self._progress.console.show_cursor(True)


def duration(seconds: float) -> str:
    """In the unit that reads best: `8.2 s`, `3.5 min`, `5 h 20 min`, `3 d 6 h`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds / 60:.1f} min"
    minutes = round(seconds / 60)
    hours, days = divmod(minutes, 60), divmod(minutes // 60, 24)
    return f"{hours[0]} h {hours[1]} min" if hours[0] < 24 else f"{days[0]} d {days[1]} h"


def print_table(console: Console, rows: Sequence[dict[str, Any]], settings: Sequence[str] = ()) -> None:
    """The last evaluations of each lane, as means over the last five (the paper's way to report) or all there are;
    `settings` are columns that tell lanes apart."""
    columns = ("success_any", "success_end", "time_at_goal", "distance")
    count = min(5, len({row["epoch"] for row in rows}))
    table = Table(title=f"mean of the last {count} evaluations" if count > 1 else "the one evaluation")
    for name in (*settings, "seed", "env steps", *columns):
        table.add_column(name, justify="right", overflow="fold")
    for lane in sorted({row["lane"] for row in rows}):
        mine = [row for row in rows if row["lane"] == lane]
        last = mine[-5:]
        means = [
            sum(row[name] if row[name] is not None else float("nan") for row in last) / len(last) for name in columns
        ]
        told = (str(mine[-1].get(name)) for name in (*settings, "seed"))
        table.add_row(*told, f"{mine[-1]['env_steps']:,}", *(f"{mean:.3f}" for mean in means))
    console.print(table)
