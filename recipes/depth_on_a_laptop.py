"""Depth on a laptop: contrastive RL with shallow and deep networks in a maze whose far corner is close as the crow flies.

    python recipes/depth_on_a_laptop.py --scale laptop --out runs/depth

trains every depth and seed as lanes of one program, and the scale `brief` half as long; `parts` trains networks where only
the actor or only the critic is deep, `widths` wide ones as a control, and `full` all of it with more depths. Killed at any
instant, the same command goes on. What comes out, in the folder `--out`:

- `depths/`, `parts/`, `widths/`: the folders of the runs, with `measures.jsonl` beside `metrics.jsonl`: success by goal
  cell, its mean over all free cells and over the far ones (shortest path at least 0.6 of the longest);
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
import functools as ft
import json
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from rich.console import Console

from deepcrl import Config, lanes, open_run, resume, run, Trainer, TrainState
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
from deepcrl.train import split_cpu


METRICS = ("success_any", "success_cells", "success_far")


@dataclasses.dataclass(frozen=True)
class Scale:
    """A table of the settings: what is trained."""

    total_env_steps: int
    epochs: int
    seeds: int
    episodes_per_cell: int
    sets: dict[str, list[dict[str, int]]]


def success_by_goal(episodes: int, trainer: Trainer, state: TrainState) -> dict[str, jax.Array]:
    """A measure: success goal by goal, its mean over all free cells and over the far ones."""
    key = jr.fold_in(state.key, state.env_steps)
    cells = success_by_cell(trainer.eval_env, trainer.eval_env_params, trainer.policy(state), episodes, key=key)
    far = tuple(np.array(far_cells(trainer.eval_env.maze)).T)
    return {"success_cells": jnp.nanmean(cells), "success_far": cells[far].mean(), "by_cell": cells}


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
    # Seed by seed, so that devices, which get a row of lanes each, have large and small ones.
    each = [(seed, size) for seed in range(scale.seeds) for size in sizes]
    settings = {name: [size[name] for _, size in each] for name in sizes[0]}
    several = lanes(config, seeds=[seed for seed, _ in each], zipped=True, **settings)
    devices = max(count for count in range(1, len(jax.devices()) + 1) if scale.seeds % count == 0)
    measures = [ft.partial(success_by_goal, scale.episodes_per_cell)]
    if (folder / "config.json").exists():
        opened = open_run(folder)
        if opened.config != config or opened.lanes != several:
            raise SystemExit(f"error: {folder} holds a run with other settings. Choose another folder: `--out`.")
        return resume(folder, devices=devices, measures=measures, console=console).interrupted
    return run(config, lanes=several, devices=devices, out=folder, measures=measures, console=console).interrupted


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

    opened = open_run(out / names[0])
    shown = [row for row in rows if row["run"] == str(out / names[0])]
    trainer, table = opened.trainer, [row for row in shown if row["epoch"] == shown[-1]["epoch"]]
    learnt = [opened.state(row["lane"]) for row in table]
    ranks = [
        {name: row[name] for name in ("actor_depth", "critic_depth", "width", "seed")}
        | {name: round(rank, 4) for name, rank in vars(distance_ranks(trainer, state)).items()}
        for row, state in zip(table, learnt, strict=True)
    ]
    write_tables(rows, ranks, what, out)
    networks, depths = ({row[name] for row in shown} for name in ("network", "depth"))
    by = "depth" if len(networks) == len(depths) and None not in depths else "network"
    title = trainer.config.env + (f", width {trainer.config.agent.width}" if by == "depth" else "")
    plot_groups(shown, out / "success.png", by=by, metrics=METRICS[1:], title=title)
    if len(names) > 1:
        plot_groups(rows, out / "controls.png", by="network", metrics=METRICS[1:], title=trainer.config.env)
    rows_of_seed = sorted((row for row in table if row["seed"] == 0), key=lambda row: row["critic_depth"])
    states = {f"depth {depth_name(row)}": learnt[row["lane"]] for row in (rows_of_seed[0], rows_of_seed[-1])}
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
