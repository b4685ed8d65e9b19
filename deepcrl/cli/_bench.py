"""`deepcrl bench`."""

import dataclasses
import json
from pathlib import Path

import jax
from rich.console import Console
from rich.table import Table

from ..nn import blocks_of_depth
from ..train import time_learner


def bench(
    *,
    depths: tuple[int, ...] = (4, 16, 64),
    lanes: tuple[int, ...] = (1,),
    width: int = 256,
    batch_size: int = 256,
    repeats: int = 7,
    json_file: Path | None = None,
) -> None:
    """Time the learner on this machine, beside the plain matrix products that its layers are made of.

    Args:
        depths: Of the critic; the actor is as deep, or 512 layers. Deep ones take minutes on a CPU.
        lanes: How many learn side by side in one batch; each of the numbers is measured.
        width: Of the networks.
        batch_size: Of an update.
        repeats: Timed calls, of which medians are shown.
        json_file: Write the figures here too.
    """
    for depth in depths:
        blocks_of_depth(depth, "depths")
    console, rows = Console(), []
    device = jax.devices()[0].device_kind
    columns = ("depth", "lanes", "compile s", "updates/s", "GFLOP/s", "products alone", "share", "MB")
    table = Table(*columns, title=f"CRL, width {width}, batch {batch_size}, on {device}")
    with console.status("measuring"):
        for depth in depths:
            for count in lanes:
                speed = time_learner(depth, width=width, batch_size=batch_size, lanes=count, repeats=repeats)
                rows.append(dataclasses.asdict(speed))
                table.add_row(
                    *(str(depth), str(count), f"{speed.compile_seconds:.1f}", f"{speed.updates_per_second:.2f}"),
                    *(f"{flops / 1e9:,.0f}" for flops in (speed.flops_per_second, speed.chain_flops_per_second)),
                    *(f"{speed.share:.2f}", f"{speed.program_bytes / 1e6:,.0f}"),
                )
    console.print(table)
    if json_file is not None:
        about = {"width": width, "batch_size": batch_size, "device": device, "jax": jax.__version__}
        json_file.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")
