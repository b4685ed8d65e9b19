"""The host loop: epochs of all lanes in one program; metrics and checkpoints in between."""

import contextlib
import dataclasses
import functools as ft
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool
from rich.console import Console

from ..agents import Hypers
from ..train import check_memory, Config, lane_mesh, make_train, over_devices, shardings, Trainer, TrainState
from ._alarms import Alarm, alarms
from ._folder import Plan, RunFolder
from ._log import AbstractSink, metric_rows, peak_memory
from ._progress import EpochProgress, print_header, print_table
from ._resume import extended, restore_state
from ._signals import stop_at_signals
from ._store import CheckpointStore, Saving


@dataclasses.dataclass(frozen=True)
class RunResult:
    """What [`deepcrl.runs.run`][] or [`deepcrl.runs.resume`][] did."""

    trainer: Trainer
    """The training function, with its environments and agent."""
    state: TrainState
    """The last state; leaves have a leading `lane` axis, and stay on the devices that computed them."""
    rows: list[dict[str, Any]]
    """What was logged: one row per epoch and lane, of epochs before a stop as well."""
    interrupted: bool
    """Whether Ctrl-C or SIGTERM ended the run early."""

    @property
    def diverged(self) -> list[int]:
        """The lanes that diverged, by their numbers."""
        return np.flatnonzero(np.asarray(self.state.diverged)).tolist()

    @property
    def alarms(self) -> list[Alarm]:
        """What its metrics give reason to look at: at most one alarm per lane and kind."""
        return alarms(self.rows)


def run(
    config: Config,
    *,
    seeds: Sequence[int] = (0,),
    hypers: Hypers | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    saving: Saving | None = None,
    devices: int | Literal["all"] = 1,
    sinks: Sequence[AbstractSink] = (),
    console: Console | None = None,
) -> RunResult:
    """Trains one lane per seed, all in one program, logging and saving between epochs.

    The numbers are those of `jax.vmap(make_train(config))(seeds)`, on several devices but for rounding. The first Ctrl-C
    (or SIGTERM) ends the run after the epoch in flight, the second ends the process at once, with status 130 (in a notebook
    it raises `KeyboardInterrupt` when JAX gives back the thread); what was logged and saved is kept, and
    [`deepcrl.runs.resume`][] goes on from it. A lane that diverges stops learning and is marked; the run ends early when no
    lane is left.

    **Arguments:**

    - `config`: of the run.
    - `seeds`: one lane each.
    - `hypers`: the lanes' numbers, leaves `lane`; `config.hypers()` for all of them by default.
    - `out`: the folder for `config.json`, metrics and checkpoints; without, nothing is written.
    - `overwrite`: whether another run in that folder may be replaced.
    - `saving`: how often to save, and how much.
    - `devices`: how many devices of this process share the lanes, equally many each; a multiple of the lanes has
        devices share the environments of each lane too. `"all"` takes them all.
    - `sinks`: where else the metrics go.
    - `console`: where progress is shown, for example `rich.console.Console()`; nowhere by default, but lanes that diverge
        are told by a warning.

    **Raises:** `ValueError` for a folder or devices that cannot be used, `MemoryError` for lanes that do not fit; both
    before anything is compiled. `OSError`, with the remedy, if the disk fills up.
    """
    if not seeds:
        raise ValueError("`seeds` must list at least one seed.")
    mesh = lane_mesh(devices, len(seeds), config)
    plan = Plan(config, seeds, hypers, Saving() if saving is None else saving)
    trainer = make_train(config, hypers=hypers)
    check_memory(trainer, len(seeds), _count(mesh))
    folder = None if out is None else RunFolder(out, overwrite=overwrite)
    with contextlib.nullcontext() if folder is None else folder.locked():
        if folder is not None:
            folder.check_room(len(seeds) * _checkpoint_bytes(trainer, plan.saving), plan.saving)
            folder.begin(plan)
        loop = _Loop(trainer, plan, mesh, folder, sinks, console)
        return loop.run(lambda: initial_state(trainer, plan, mesh), rows=[])


def resume(
    path: str | Path,
    *,
    total_env_steps: int | None = None,
    devices: int | Literal["all"] = 1,
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
    - `sinks`, `console`: as for [`deepcrl.runs.run`][].

    **Raises:** `ValueError` for a folder without a run, one in use by another process, a damaged checkpoint, or a
    `config.json` that was changed since the checkpoint in a field that may not change.
    """
    folder = RunFolder.of_run(path)
    with folder.locked():
        plan = folder.read_plan()
        if total_env_steps is not None:
            plan = dataclasses.replace(plan, config=extended(plan.config, total_env_steps))
        mesh = lane_mesh(devices, len(plan.seeds), plan.config)
        trainer = make_train(plan.config, hypers=plan.hypers)
        check_memory(trainer, len(plan.seeds), _count(mesh))
        init = ft.partial(initial_state, trainer, plan, mesh)
        found = restore_state(folder.store(), plan, _placed(initial_shapes(trainer, plan), mesh))
        epoch, state = (0, None) if found is None else found
        if total_env_steps is not None:
            folder.write_plan(plan)
        loop = _Loop(trainer, plan, mesh, folder, sinks, console)
        return loop.run(init if state is None else lambda: state, rows=folder.keep_epochs(epoch))


def initial_state(trainer: Trainer, plan: Plan, mesh: Mesh | None) -> TrainState:
    """The state before the first epoch, leaves `lane ...`, on the devices of the mesh."""
    return over_devices(trainer.init, mesh)(jnp.asarray(plan.seeds), plan.hypers)


def initial_shapes(trainer: Trainer, plan: Plan) -> TrainState:
    """That state as `jax.ShapeDtypeStruct`s."""
    return jax.eval_shape(jax.vmap(trainer.init), jnp.asarray(plan.seeds), plan.hypers)


def _placed(shapes: TrainState, mesh: Mesh | None) -> TrainState:
    if mesh is None:
        return shapes
    place = lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
    return jax.tree.map(place, shapes, shardings(shapes, mesh))


def _number(flags: Bool[Array, " lane"]) -> int:
    return int(np.asarray(flags).sum())


def _diverged_text(diverged: int, lanes: int, state: TrainState) -> str:
    finite = all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.device_get(state.obs)))
    what = (
        "a loss or a parameter was not finite" if finite else "the environment shows observations that are not finite"
    )
    return f"{diverged} of {lanes} lane(s) diverged and stopped learning: {what}."


def _count(mesh: Mesh | None) -> int:
    return 1 if mesh is None else mesh.size


def _checkpoint_bytes(trainer: Trainer, saving: Saving) -> int:
    return trainer.state_bytes() - (0 if saving.save_buffer else trainer.config.buffer_bytes)


@dataclasses.dataclass(frozen=True)
class _Loop:
    trainer: Trainer
    plan: Plan
    mesh: Mesh | None
    folder: RunFolder | None
    sinks: Sequence[AbstractSink]
    console: Console | None

    def run(self, start: Callable[[], TrainState], rows: list[dict[str, Any]]) -> RunResult:
        """From the state that `start` gives and the epoch after the last one in `rows`."""
        config, seeds = self.plan.config, self.plan.seeds
        console = Console(quiet=True) if self.console is None else self.console
        for sink in self.sinks:
            sink.start(config, seeds)
        sinks = [*([] if self.folder is None else [self.folder]), *self.sinks]
        store = None if self.folder is None else self.folder.store(self.plan.saving)
        done, before_stop = (rows[-1]["epoch"], rows[-1]["seconds"]) if rows else (0, 0.0)
        known = alarms(rows)
        if self.folder is not None:
            self.folder.write_alarms(known)
        print_header(console, self.trainer, len(seeds), _count(self.mesh))

        began = time.perf_counter() - before_stop
        with (
            EpochProgress(console, config.epochs, done) as progress,
            stop_at_signals(progress.say, progress.close) as stop,
        ):
            state = start()
            # The old state's memory, buffer included, becomes the new one's.
            epoch = over_devices(self.trainer.epoch, self.mesh, donate=True)
            for number in range(done + 1, config.epochs + 1):
                before = time.perf_counter()
                state, metrics = jax.block_until_ready(epoch(state))
                now = time.perf_counter()
                measured = self._measured(now - began, now - before)
                new_rows = metric_rows(metrics, seeds, number, measured)
                rows = rows + new_rows
                for sink in sinks:
                    sink.write(new_rows)
                if new := alarms(new_rows, known):
                    known = known + new
                    self._tell(new, known, progress)
                # By NumPy: JAX would have the devices talk to each other.
                success, diverged = float(np.asarray(metrics.success_any).mean()), _number(metrics.diverged)
                progress.advance(measured["env_steps_per_second"], measured["updates_per_second"], success, diverged)
                last = bool(stop) or number == config.epochs or diverged == len(seeds)
                if store is not None:
                    self._save(store, state, number, success, last)
                if last:
                    break
        if diverged := _number(state.diverged):
            told = _diverged_text(diverged, len(seeds), state)
            if console.quiet:
                warnings.warn(told, RuntimeWarning, stacklevel=3)
            console.print(f"[bold red]{told}[/bold red]")
        if rows:
            print_table(console, rows)
        return RunResult(trainer=self.trainer, state=state, rows=rows, interrupted=bool(stop))

    def _tell(self, new: list[Alarm], known: list[Alarm], progress: EpochProgress) -> None:
        for alarm in new:
            progress.say(f"[bold yellow]Alarm[/bold yellow]: {alarm}")
        if self.folder is not None:
            self.folder.write_alarms(known)

    def _measured(self, total: float, epoch: float) -> dict[str, int | float]:
        config, lanes = self.plan.config, len(self.plan.seeds)
        return {
            "seconds": round(total, 3),
            "env_steps_per_second": round(lanes * config.env_steps_per_epoch / epoch, 1),
            "updates_per_second": round(lanes * config.steps_per_epoch * config.updates_per_step / epoch, 1),
            "memory_bytes": peak_memory(),
        }

    def _save(self, store: CheckpointStore, state: TrainState, epoch: int, success: float, last: bool) -> None:
        every = self.plan.saving.save_every
        if every and (last or epoch % every == 0):
            about = {"config": self.plan.config.to_dict(), "seeds": list(self.plan.seeds)}
            store.save(state, epoch, success, about)
        if last:
            store.wait()
