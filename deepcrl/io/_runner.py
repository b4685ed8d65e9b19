"""The host loop: epochs of all lanes in one program; metrics and pictures in between and after."""

import dataclasses
import signal
import time
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from rich.console import Console

from ..train import check_memory, Config, make_train, Trainer, TrainState
from ._folder import RunFolder
from ._log import AbstractSink, metric_rows
from ._progress import EpochProgress, print_header, print_table


@dataclasses.dataclass(frozen=True)
class RunResult:
    """What [`deepcrl.io.run`][] did."""

    trainer: Trainer
    """The training function, with its environments and agent."""
    state: TrainState
    """The last state; leaves have a leading `lane` axis."""
    rows: list[dict[str, Any]]
    """What was logged: one row per epoch and lane."""
    interrupted: bool
    """Whether Ctrl-C ended the run early."""


def run(
    config: Config,
    *,
    seeds: Sequence[int] = (0,),
    out: str | Path | None = None,
    overwrite: bool = False,
    sinks: Sequence[AbstractSink] = (),
    console: Console | None = None,
) -> RunResult:
    """Trains one lane per seed, all in one program, logging after every epoch.

    The numbers are those of `jax.vmap(make_train(config))(seeds)`. The first Ctrl-C ends the run after the epoch in
    flight, the second at once; what was logged is kept.

    **Arguments:**

    - `config`: of the run.
    - `seeds`: one lane each.
    - `out`: the folder for `config.json` and `metrics.jsonl`; without, nothing is written.
    - `overwrite`: whether another run in that folder may be replaced.
    - `sinks`: where else the metrics go.
    - `console`: where progress is shown; a quiet one by default.

    **Raises:** `ValueError` for a folder that cannot be used, `MemoryError` for lanes that do not fit; both before
    anything is compiled.
    """
    if not seeds:
        raise ValueError("`seeds` must list at least one seed.")
    console = Console(quiet=True) if console is None else console
    trainer = make_train(config)
    check_memory(trainer, lanes=len(seeds))
    sinks = [*([] if out is None else [RunFolder(out, overwrite=overwrite)]), *sinks]
    for sink in sinks:
        sink.start(config, seeds)
    print_header(console, trainer, len(seeds))

    rows: list[dict[str, Any]] = []
    began = time.perf_counter()
    with EpochProgress(console, config.epochs) as progress, _stop_at_interrupt(progress) as stop:
        state = jax.vmap(trainer.init)(jnp.asarray(seeds))
        # The old state's memory, buffer included, becomes the new one's.
        epoch = jax.jit(jax.vmap(trainer.epoch), donate_argnums=0)
        for number in range(1, config.epochs + 1):
            if stop:
                break
            before = time.perf_counter()
            state, metrics = jax.block_until_ready(epoch(state))
            now = time.perf_counter()
            new_rows = metric_rows(metrics, seeds, number, now - began)
            rows += new_rows
            for sink in sinks:
                sink.write(new_rows)
            progress.advance(
                env_steps_per_second=len(seeds) * config.env_steps_per_epoch / (now - before),
                updates_per_second=len(seeds) * config.steps_per_epoch * config.updates_per_step / (now - before),
                success=float(jnp.mean(metrics.success_any)),
            )
    if rows:
        print_table(console, rows)
    return RunResult(trainer=trainer, state=state, rows=rows, interrupted=bool(stop))


@contextmanager
def _stop_at_interrupt(progress: EpochProgress):
    """Yields a list that is empty until Ctrl-C; a second Ctrl-C raises `KeyboardInterrupt`."""
    stop: list[bool] = []

    def on_interrupt(signum: int, frame: object) -> None:
        if stop:
            raise KeyboardInterrupt
        stop.append(True)
        progress.say("Stopping after this epoch; Ctrl-C again stops at once. What was logged is kept.")

    try:
        previous = signal.signal(signal.SIGINT, on_interrupt)
    except ValueError:  # not in the main thread: Ctrl-C is not ours to handle
        yield stop
        return
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, previous)
