"""`deepcrl cost`."""

from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from ..runs._progress import duration
from ..train import Config, cost, make_train, measure


def cost_sheet(*, config: Annotated[Config, tyro.conf.arg(name="")], lanes: int = 1, measured: bool = True) -> int:
    """Say what a run would cost: sizes, arithmetic, memory, and time by a measurement of 2 seconds.

    Exit status 1 if it would not fit the device.

    Args:
        config: The settings of the run.
        lanes: How many lanes (seeds, settings) in one program.
        measured: Compile one update and one roll-out and time them.
    """
    if lanes < 1:
        raise ValueError(f"`lanes` must be at least 1, got {lanes}.")
    trainer = make_train(config)
    sheet = cost(trainer, lanes)
    table = Table("of one lane", "", show_header=True)
    table.add_row("parameters", f"{sheet.parameters:,}")
    table.add_row("updates", f"{config.actual_updates:,}")
    table.add_row("matrix products per update", f"{sheet.flops_per_update / 1e9:.3f} GFLOP")
    table.add_row("replay buffer", _megabytes(sheet.buffer_bytes))
    table.add_row("state, buffer included", _megabytes(sheet.state_bytes))
    needed = sheet.needed_bytes
    speed = measure(trainer) if measured else None
    if speed is not None:
        needed += lanes * speed.activation_bytes
        table.add_row("activations of an update", _megabytes(speed.activation_bytes))
        table.add_row("an update, with its sampling", f"{1e3 * speed.seconds_per_update:.2f} ms")
        table.add_row("matrix products", f"{sheet.flops_per_update / speed.seconds_per_update / 1e9:.0f} GFLOP/s")
        table.add_row("env steps/s", f"{1 / speed.seconds_per_env_step:,.0f}")
    console = Console()
    console.print(table)
    if speed is not None:
        time = duration(speed.seconds(trainer, lanes))
        console.print(f"{lanes} lane(s): about {time}, evaluations and compiling not counted.", highlight=False)
    fits = needed <= sheet.available_bytes
    console.print(f"{lanes} lane(s) need {_megabytes(needed)} of {_megabytes(sheet.available_bytes)}.")
    if not fits:
        console.print(
            "They do not fit. Lower `--buffer-length`, `--num-envs`, depth, width or the lanes, or give `--remat`."
        )
    return 0 if fits else 1


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
