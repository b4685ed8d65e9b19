"""The host loop: epochs of all lanes in one program; metrics and checkpoints in between."""

import contextlib
import dataclasses
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from rich.console import Console

from ..train import (
    check_memory,
    Config,
    lane_mesh,
    lane_state,
    Lanes,
    lanes as make_lanes,
    States,
    Sweep,
    Trainer,
    TrainState,
)
from ._alarms import Alarm, alarms
from ._folder import RunFolder
from ._log import AbstractSink, metric_rows, peak_memory
from ._measures import Measure, measuring
from ._plan import engine_of, Plan, read_config_file, read_plan
from ._progress import EpochProgress, print_header, print_table
from ._resume import extended, restore_states
from ._signals import stop_at_signals
from ._store import CheckpointStore, Saving


@dataclasses.dataclass(frozen=True)
class RunResult:
    """What [`deepcrl.runs.run`][] or [`deepcrl.runs.resume`][] did."""

    sweep: Sweep
    """The programs of all lanes, with their trainers."""
    states: States
    """The last states, group by group; leaves have a leading `lane` axis, and stay on the devices that computed them."""
    rows: list[dict[str, Any]]
    """What was logged: one row per epoch and lane, of epochs before a stop as well."""
    interrupted: bool
    """Whether Ctrl-C or SIGTERM ended the run early."""

    @property
    def diverged(self) -> list[int]:
        """The lanes that diverged, by their numbers."""
        return np.flatnonzero(self.sweep.in_order(tuple(state.diverged for state in self.states))).tolist()

    @property
    def trainer(self) -> Trainer:
        """The training function of the first lane, with its environments and agent."""
        return self.sweep.trainers[0]

    def state(self, lane: int = 0) -> TrainState:
        """The last state of one lane."""
        return lane_state(self.sweep.lanes, self.states, lane)

    @property
    def alarms(self) -> list[Alarm]:
        """What its metrics give reason to look at: at most one alarm per lane and kind."""
        return alarms(self.rows)


def run(
    config: Config,
    *,
    seeds: Iterable[int] = (0,),
    lanes: Lanes | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    saving: Saving | None = None,
    devices: int | Literal["all"] = 1,
    measures: Sequence[Measure] = (),
    sinks: Sequence[AbstractSink] = (),
    console: Console | None = None,
) -> RunResult:
    """Trains all lanes in one program, logging and saving between epochs.

    The numbers are those of [`deepcrl.sweep`][]; on a CPU those of each lane alone, bit for bit. The first Ctrl-C (or
    SIGTERM) ends the run after the epoch in flight, the second ends the process at once, with status 130 (in a notebook it
    raises `KeyboardInterrupt` when JAX gives back the thread); what was logged and saved is kept, and
    [`deepcrl.runs.resume`][] goes on from it. A lane that diverges stops learning and is marked; the run ends early when no
    lane is left.

    **Arguments:**

    - `config`: of the run.
    - `seeds`: one lane each.
    - `lanes`: in place of seeds: lanes that [`deepcrl.lanes`][] made of the config, which may differ in anything.
    - `out`: the folder for `config.json`, metrics and checkpoints; without, nothing is written.
    - `overwrite`: whether another run in that folder may be replaced.
    - `saving`: how often to save, and how much.
    - `devices`: how many devices of this process share the lanes, equally many each; a multiple of the lanes has
        devices share the environments of each lane too. `"all"` takes as many as fit.
    - `measures`: what else to measure at the end of every epoch: pure functions `measure(trainer, state)` of one lane,
        whose dictionaries of arrays become columns of the rows, and lines of `measures.jsonl`.
    - `sinks`: where else the metrics go.
    - `console`: where progress is shown, for example `rich.console.Console()`; nowhere by default, but lanes that diverge
        are told by a warning.

    **Raises:** `ValueError` for a folder or devices that cannot be used, `MemoryError` for lanes that do not fit; both
    before anything is compiled. `OSError`, with the remedy, if the disk fills up.
    """
    lanes = make_lanes(config, seeds=seeds) if lanes is None else lanes
    if not isinstance(lanes, Lanes):
        raise TypeError(f"`lanes` must be what `deepcrl.lanes(config, ...)` makes; got {lanes!r}.")
    plan = Plan(config, lanes, Saving() if saving is None else saving)
    programs = _programs(plan, devices)
    folder = None if out is None else RunFolder(out, overwrite=overwrite)
    with contextlib.nullcontext() if folder is None else folder.locked():
        if folder is not None:
            folder.check_room(_checkpoint_bytes(programs, plan.saving), plan.saving)
            folder.begin(plan)
        return _Loop(programs, plan, folder, measures, sinks, console).run(programs.init, rows=[])


def resume(
    path: str | Path,
    *,
    total_env_steps: int | None = None,
    devices: int | Literal["all"] = 1,
    measures: Sequence[Measure] = (),
    sinks: Sequence[AbstractSink] = (),
    console: Console | None = None,
) -> RunResult:
    """Goes on with a run that was stopped, as if it had not been: on a CPU its numbers are the same, bit for bit.

    The run starts again from its newest checkpoint; metrics of later epochs are dropped and computed again. Without any
    checkpoint it starts from the beginning.

    **Arguments:**

    - `path`: the run's folder.
    - `total_env_steps`: a new, higher budget, to train for longer. It is rounded down to whole epochs of the same size.
    - `devices`: as for [`deepcrl.runs.run`][]; not necessarily as many as before. On another number of GPUs, numbers
        differ in the last digits.
    - `measures`, `sinks`, `console`: as for [`deepcrl.runs.run`][]; a run does not keep its measures.

    **Raises:** `ValueError` for a folder without a run, one in use by another process, a damaged checkpoint, or a
    `config.json` that was changed since the checkpoint in a field that may not change.
    """
    folder = RunFolder.of_run(path)
    with folder.locked():
        plan, engine = read_plan(path), read_config_file(path).get("engine")
        if total_env_steps is not None:
            longer = extended(plan.config, total_env_steps)
            plan = dataclasses.replace(plan, config=longer, lanes=plan.lanes.under(longer))
        programs = _programs(plan, devices)
        found = restore_states(folder.store(), plan, programs.shapes())
        epoch, states = (0, None) if found is None else found
        if engine not in (None, here := engine_of(plan.config)):
            told = f"The run began on the physics engine {engine} and goes on with {here}: simulations will differ."
            warnings.warn(f"{told} To keep to the first, resume where it began.", RuntimeWarning, stacklevel=2)
        if total_env_steps is not None:
            folder.write_plan(plan)
        loop = _Loop(programs, plan, folder, measures, sinks, console)
        return loop.run(programs.init if states is None else lambda: states, rows=folder.keep_epochs(epoch))


def _programs(plan: Plan, devices: int | Literal["all"]) -> Sweep:
    mesh = lane_mesh(devices, plan.lanes)
    programs = Sweep(plan.lanes, mesh)
    check_memory(programs.trainers, [len(group) for group in plan.lanes.groups], 1 if mesh is None else mesh.size)
    return programs


def _checkpoint_bytes(programs: Sweep, saving: Saving) -> int:
    buffers = sum(len(group) * trainer.buffer_bytes() for group, trainer in programs.grouped)
    return programs.state_bytes() - (0 if saving.save_buffer else buffers)


def _diverged_text(diverged: int, lanes: int, observations: Any) -> str:
    finite = all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(observations))
    what = (
        "a loss or a parameter was not finite" if finite else "the environment shows observations that are not finite"
    )
    return f"{diverged} of {lanes} lane(s) diverged and stopped learning: {what}."


@dataclasses.dataclass(frozen=True)
class _Loop:
    programs: Sweep
    plan: Plan
    folder: RunFolder | None
    measures: Sequence[Measure]
    sinks: Sequence[AbstractSink]
    console: Console | None

    def run(self, start: Callable[[], States], rows: list[dict[str, Any]]) -> RunResult:
        """From the state that `start` gives and the epoch after the last one in `rows`."""
        config, lanes = self.plan.config, self.plan.lanes
        console = Console(quiet=True) if self.console is None else self.console
        for sink in self.sinks:
            sink.start(config, lanes)
        measure = measuring(self.programs, self.measures)
        store = None if self.folder is None else self.folder.store(self.plan.saving)
        done, before_stop = (rows[-1]["epoch"], rows[-1]["seconds"]) if rows else (0, 0.0)
        known = alarms(rows)
        if self.folder is not None:
            self.folder.write_alarms(known)
        print_header(console, self.programs)

        began = time.perf_counter() - before_stop
        with (
            EpochProgress(console, config.epochs, done) as progress,
            stop_at_signals(progress.say, progress.close) as stop,
        ):
            states = start()
            for number in range(done + 1, config.epochs + 1):
                before = time.perf_counter()
                states, metrics = jax.block_until_ready(self.programs.epoch(states))
                now = time.perf_counter()
                measured = self._measured(now - began, now - before)
                new_rows = metric_rows(metrics, lanes, number, measured)
                new_rows = self._write(new_rows, measure(states))
                rows = rows + new_rows
                if new := alarms(new_rows, known):
                    known = known + new
                    self._tell(new, known, progress)
                success, diverged = float(metrics.success_any.mean()), int(metrics.diverged.sum())
                progress.advance(measured["env_steps_per_second"], measured["updates_per_second"], success, diverged)
                last = bool(stop) or number == config.epochs or diverged == len(lanes)
                if store is not None:
                    self._save(store, states, number, success, last)
                if last:
                    break
        result = RunResult(sweep=self.programs, states=states, rows=rows, interrupted=bool(stop))
        if diverged := len(result.diverged):
            told = _diverged_text(diverged, len(lanes), [state.obs for state in states])
            if console.quiet:
                warnings.warn(told, RuntimeWarning, stacklevel=3)
            console.print(f"[bold red]{told}[/bold red]")
        if rows:
            print_table(console, rows, lanes.settings)
        return result

    def _write(self, rows: list[dict[str, Any]], measured: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Rows of metrics to the folder, what was measured beside them, both together to the sinks."""
        if clash := sorted(set(measured[0]) & set(rows[0])) if measured else []:
            raise ValueError(f"Metrics have columns {clash} already. Give the measures' other names.")
        both = [{**row, **more} for row, more in zip(rows, measured, strict=True)] if measured else rows
        if self.folder is not None:
            self.folder.write(rows)
            if measured:
                of = [{"epoch": row["epoch"], "lane": row["lane"]} for row in rows]
                self.folder.write_measures([{**lane, **more} for lane, more in zip(of, measured, strict=True)])
        for sink in self.sinks:
            sink.write(both)
        return both

    def _tell(self, new: list[Alarm], known: list[Alarm], progress: EpochProgress) -> None:
        for alarm in new:
            progress.say(f"[bold yellow]Alarm[/bold yellow]: {alarm}")
        if self.folder is not None:
            self.folder.write_alarms(known)

    def _measured(self, total: float, epoch: float) -> dict[str, int | float]:
        config, lanes = self.plan.config, len(self.plan.lanes)
        return {
            "seconds": round(total, 3),
            "env_steps_per_second": round(lanes * config.env_steps_per_epoch / epoch, 1),
            "updates_per_second": round(lanes * config.steps_per_epoch * config.updates_per_step / epoch, 1),
            "memory_bytes": peak_memory(),
        }

    def _save(self, store: CheckpointStore, states: States, epoch: int, success: float, last: bool) -> None:
        every = self.plan.saving.save_every
        if every and (last or epoch % every == 0):
            store.save(states, epoch, success, self.plan.to_dict())
        if last:
            store.wait()
