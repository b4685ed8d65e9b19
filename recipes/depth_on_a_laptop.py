"""Depth on a laptop: contrastive RL with shallow and deep networks in a maze whose far corner is close as the crow flies.

    python recipes/depth_on_a_laptop.py --scale laptop --out runs/depth

trains every depth and seed as lanes of one program, and the scale `brief` half as long; `parts` trains networks where only
the actor or only the critic is deep, `widths` wide ones as a control, and `full` all of it with more depths. Killed at any
instant, the same command goes on. What comes out, in the folder `--out`:

- `depths/`, `parts/`, `widths/`: the folders of the runs, with `cells.jsonl` beside `metrics.jsonl`: success by goal cell,
  its mean over all free cells and over the far ones (shortest path at least 0.6 of the longest);
- `results.csv` (a row per lane and epoch) and `results.json` (final figures with intervals, settings, versions);
- pictures: `success.png` (curves and final figures by depth) and `controls.png` (of all networks), `cells.png`,
  `values.png` and `trajectories.png` (seed 0 of the shallowest and the deepest networks: success and visits by cell, the
  critic's values seen from the start, trajectories to the farthest goal).

Settings are in `depth_on_a_laptop.toml`. Training episodes start in any free cell, evaluations where the maze has its `R`:
what is compared is what networks make of experience that has the whole maze in it. With `--starts R` training starts there
too, and finding the far cells is part of the task. With `--random-goals 0.5` half of the goals that the policy learns for
are of other trajectories, which the paper does not have. `--env` trains the same on another point maze.
"""

import argparse
import csv
import dataclasses
import json
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from rich.console import Console

from deepcrl import Config, Lanes, lanes, make_train
from deepcrl.envs import PointMaze
from deepcrl.eval import far_cells, success_by_cell
from deepcrl.report import (
    distance_ranks,
    group_lanes,
    load_runs,
    plot_cells,
    plot_goal_values,
    plot_groups,
    plot_trajectories,
)
from deepcrl.runs import AbstractSink, load_checkpoint, resume, run, RunFolder
from deepcrl.train import split_cpu, Trainer, TrainState


METRICS = ("success_any", "success_cells", "success_far")


@dataclasses.dataclass(frozen=True)
class Scale:
    """A table of the settings: what is trained."""

    total_env_steps: int
    epochs: int
    seeds: int
    episodes_per_cell: int
    sets: dict[str, list[dict[str, int]]]


class SuccessByCell(AbstractSink):
    """Measures the policies of every checkpoint goal by goal, and keeps the figures in `cells.jsonl`.

    A sink sees no states, so this one reads them from the checkpoint of the epoch before; `measure` after the run's end
    does the last one. At least two checkpoints are kept, so none is missed, whenever the run was stopped.
    """

    def __init__(self, folder: Path, episodes: int):
        self._folder, self._episodes = folder, episodes

    def start(self, config: Config, seeds: Sequence[int]) -> None:
        """Reads what was measured before a stop."""
        file = self._folder / "cells.jsonl"
        self._rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        plan = RunFolder.of_run(self._folder).read_plan()
        self._trainer, self._template = trainer_and_template(self._folder)
        self._store = RunFolder.of_run(self._folder).store(plan.saving)
        env, params = self._trainer.eval_env, self._trainer.eval_env_params

        def success(state: TrainState, key: jax.Array) -> jax.Array:
            return success_by_cell(env, params, self._trainer.policy(state), self._episodes, key=key)

        self._success = jax.jit(jax.vmap(success, in_axes=(0, None)))

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        """Measures the checkpoint of the epoch before."""
        self.measure()

    def measure(self) -> None:
        """Measures every checkpoint that is on disk and was not measured yet."""
        measured = {row["epoch"] for row in self._rows}
        for epoch in self._store.epochs():
            if epoch not in measured:
                state = load_checkpoint(self._store.at(epoch), self._template)
                success = np.asarray(self._success(state, jr.key(epoch)))
                far = tuple(np.array(far_cells(self._trainer.eval_env.maze)).T)
                self._rows += [
                    {
                        "epoch": epoch,
                        "lane": lane,
                        "success_cells": float(np.nanmean(cells)),
                        "success_far": float(cells[far].mean()),
                        "by_cell": np.where(np.isnan(cells), None, cells).tolist(),
                    }
                    for lane, cells in enumerate(success)
                ]
        unfinished = self._folder / "cells.jsonl.new"
        unfinished.write_text("".join(json.dumps(row) + "\n" for row in self._rows))
        unfinished.replace(self._folder / "cells.jsonl")


def trainer_and_template(folder: Path) -> tuple[Trainer, TrainState]:
    """The trainer of a run's folder, and the shapes of its states, leaves `lane ...`."""
    plan = RunFolder.of_run(folder).read_plan()
    trainer = make_train(plan.config)
    return trainer, jax.eval_shape(lambda: jax.vmap(trainer.init)(jnp.asarray(plan.seeds), plan.hypers))


def read_settings(
    file: Path,
    scale: str,
    env: str | None = None,
    seeds: int | None = None,
    starts: str | None = None,
    random_goals: float | None = None,
) -> tuple[Config, Scale]:
    """The config that all sets share, and what the scale trains."""
    tables = tomllib.loads(file.read_text())
    values = tables.pop("config")
    if scale not in tables:
        raise SystemExit(f"error: {file} has no scale {scale!r}; it has {', '.join(tables)}.")
    what = Scale(**tables[scale])
    config = Config.from_dict({**values, "total_env_steps": what.total_env_steps, "epochs": what.epochs})
    config = config if env is None else dataclasses.replace(config, env=env)
    if starts is not None:
        config = dataclasses.replace(config, env_options={**dict(config.env_options), "starts": starts})
    if random_goals is not None:
        config = dataclasses.replace(config, agent=dataclasses.replace(config.agent, random_goals=random_goals))
    if not isinstance(config.make_env()[0], PointMaze):
        raise SystemExit(f"error: {config.env} is no point maze, so its goals are not cells.")
    return config, what if seeds is None else dataclasses.replace(what, seeds=seeds)


def train_set(config: Config, sizes: list[dict[str, int]], scale: Scale, folder: Path, console: Console) -> bool:
    """Trains networks of these sizes, each with all seeds, as lanes of one program; goes on with what `folder` holds.

    Returns whether it was stopped before its end.
    """
    largest = {name: max(size[name] for size in sizes) for name in sizes[0]}
    config = dataclasses.replace(config, agent=dataclasses.replace(config.agent, **largest))
    # Seed by seed, so that devices, which get a row of lanes each, have large and small ones.
    each = [(seed, size) for seed in range(scale.seeds) for size in sizes]
    settings = {name: [size[name] for _, size in each] for name in largest}
    seeds, hypers = lanes(config, seeds=[seed for seed, _ in each], zipped=True, **settings)
    devices = max(count for count in range(1, len(jax.devices()) + 1) if len(each) % count == 0)
    sink = SuccessByCell(folder, scale.episodes_per_cell)
    if (folder / "config.json").exists():
        plan = RunFolder.of_run(folder).read_plan()
        if plan.config != config or list(plan.seeds) != seeds.tolist() or not eqx.tree_equal(plan.hypers, hypers):
            raise SystemExit(f"error: {folder} holds a run with other settings. Choose another folder: `--out`.")
        result = resume(folder, devices=devices, sinks=[sink], console=console)
    else:
        settings = {"seeds": seeds.tolist(), "hypers": hypers, "devices": devices}
        result = run(config, **settings, out=folder, sinks=[sink], console=console)
    sink.measure()
    return result.interrupted


def depth_name(row: dict[str, Any]) -> str:
    """The depth of a lane's networks, or both if they differ."""
    actor, critic = row["actor_depth"], row["critic_depth"]
    return str(actor) if actor == critic else f"actor {actor}, critic {critic}"


def write_tables(rows: list[dict[str, Any]], ranks: list[dict[str, Any]], what: dict[str, Any], out: Path) -> None:
    """`results.csv` and `results.json`."""
    columns = ("network", "actor_depth", "critic_depth", "width", "seed", "epoch", "env_steps", *METRICS)
    with open(out / "results.csv", "w", newline="") as file:
        table = csv.DictWriter(file, columns, extrasaction="ignore")
        table.writeheader()
        table.writerows({**row, **{name: round(row[name], 4) for name in METRICS}} for row in rows)
    final = []
    for metric in METRICS:
        for group in group_lanes(rows, by="network", metric=metric):
            low, high = group.final_interval()
            figures = {"interquartile_mean": round(group.final_mean, 4), "low": round(low, 4), "high": round(high, 4)}
            figures |= {"lanes": group.final.round(4).tolist()}
            final.append({"network": group.value, "metric": metric, **figures})
    text = json.dumps({**what, "last_evaluations": 5, "interval": 0.95, "final": final, "ranks": ranks}, indent=1)
    (out / "results.json").write_text(text + "\n")


def report(out: Path, names: Sequence[str], scale: Scale, console: Console) -> None:
    """Tables and pictures of the sets in `out` with these names."""
    rows = load_runs([out / name for name in names])
    for row in rows:
        row["network"] = f"{depth_name(row)} x {row['width']}"
    about = json.loads((out / names[0] / "config.json").read_text())
    what = {"command": " ".join(["python", *sys.argv]), "scale": dataclasses.asdict(scale)}
    what |= {name: about[name] for name in ("config", "versions", "python", "cpu_count")}
    what["seconds"] = {name: max(row["seconds"] for row in rows if row["run"] == str(out / name)) for name in names}

    trainer, template = trainer_and_template(out / names[0])
    store = RunFolder.of_run(out / names[0]).store()
    state = load_checkpoint(store.at(store.epochs()[-1]), template)
    lane = lambda number: jax.tree.map(lambda leaf: leaf[number], state)
    plan = RunFolder.of_run(out / names[0]).read_plan()
    table = Lanes(jnp.asarray(plan.seeds), plan.hypers).table()
    ranks = [
        {name: row[name] for name in ("actor_depth", "critic_depth", "width", "seed") if name in row}
        | {name: round(rank, 4) for name, rank in vars(distance_ranks(trainer, lane(row["lane"]))).items()}
        for row in table
    ]
    write_tables(rows, ranks, what, out)
    shown = [row for row in rows if row["run"] == str(out / names[0])]
    networks, depths = ({row[name] for row in shown} for name in ("network", "depth"))
    by = "depth" if len(networks) == len(depths) and None not in depths else "network"
    title = trainer.config.env + (f", width {trainer.config.agent.width}" if by == "depth" else "")
    plot_groups(shown, out / "success.png", by=by, metrics=METRICS[1:], title=title)
    if len(names) > 1:
        plot_groups(rows, out / "controls.png", by="network", metrics=METRICS[1:], title=trainer.config.env)
    rows_of_seed = sorted((row for row in table if row["seed"] == 0), key=lambda row: row["critic_depth"])
    states = {f"depth {depth_name(row)}": lane(row["lane"]) for row in (rows_of_seed[0], rows_of_seed[-1])}
    plot_cells(trainer, states, out / "cells.png")
    plot_goal_values(trainer, states, out / "values.png")
    plot_trajectories(trainer, states, out / "trajectories.png")
    console.print(f"Tables and pictures: {out}", markup=False, soft_wrap=True)


def main() -> None:
    """Trains, measures, writes tables and pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--scale", default="laptop", help="a table of the settings: laptop, brief, parts, widths or full"
    )
    parser.add_argument("--env", help="another point maze, for example point_giant_maze")
    parser.add_argument("--starts", choices=["R", "free"], help="where training episodes start")
    parser.add_argument("--seeds", type=int, help="how many, in place of the scale's own number")
    parser.add_argument("--random-goals", type=float, help="share of the actor's goals from other trajectories, 0 to 1")
    parser.add_argument("--out", type=Path, default=Path("runs/depth"))
    parser.add_argument("--settings", type=Path, default=Path(__file__).with_suffix(".toml"))
    arguments = parser.parse_args()
    split_cpu()
    given = (arguments.env, arguments.seeds, arguments.starts, arguments.random_goals)
    config, scale = read_settings(arguments.settings, arguments.scale, *given)
    console = Console()
    trained = []
    for name, sizes in scale.sets.items():
        console.print(f"[bold]{name}[/bold]: {sizes}")
        if train_set(config, sizes, scale, arguments.out / name, console):
            console.print("Stopped. The same command goes on.")
            raise SystemExit(130)
        trained.append(name)
        report(arguments.out, trained, scale, console)


if __name__ == "__main__":
    main()
