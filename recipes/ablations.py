"""The paper's ablations at a small size: without norm, with ReLU, without residuals, at the depth where they should hurt.

    python recipes/ablations.py --scale laptop --out runs/ablations

trains each variant with all seeds as lanes of one program. A variant is a program of its own: a switch changes which
operations there are, and lanes share them all. Killed at any instant, the same command goes on. What comes out, in the
folder `--out`:

- `base/`, `no_norm/`, ...: the folders of the runs;
- `results.csv` (a row per variant, seed and epoch) and `results.json` (final figures with intervals, settings, versions);
- `success.png`: curves and final figures.

Settings are in `ablations.toml`.
"""

import argparse
import csv
import dataclasses
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from deepcrl import Config, open_run, resume, run
from deepcrl.nn import BlockSpec
from deepcrl.report import group_lanes, load_runs, plot_groups
from deepcrl.train import split_cpu


METRICS = ("success_any", "critic/accuracy", "critic/loss")
COLUMNS = ("variant", "seed", "epoch", "env_steps", "grad_steps", *METRICS)
LAST = 2  # evaluations that a final figure is the mean of


@dataclasses.dataclass(frozen=True)
class Scale:
    """A table of the settings: how much is trained."""

    total_env_steps: int
    epochs: int
    seeds: int


def read_scale(file: Path, scale: str) -> Scale:
    """How much is trained."""
    tables = tomllib.loads(file.read_text())
    known = [name for name in tables if name not in ("config", "variants")]
    if scale not in known:
        raise SystemExit(f"error: {file} has no scale {scale!r}; it has {', '.join(known)}.")
    return Scale(**tables[scale])


def read_variants(file: Path, what: Scale) -> dict[str, Config]:
    """The config of every variant by name."""
    tables = tomllib.loads(file.read_text())
    values, variants = tables["config"], tables["variants"]
    base = Config.from_dict({**values, "total_env_steps": what.total_env_steps, "epochs": what.epochs})
    agents = {name: dataclasses.replace(base.agent, trunk=BlockSpec(**fields)) for name, fields in variants.items()}
    return {name: dataclasses.replace(base, agent=agent) for name, agent in agents.items()}


def train_variant(config: Config, seeds: int, folder: Path, console: Console) -> bool:
    """Trains all seeds as lanes of one program; goes on with what `folder` holds of it.

    Returns whether it was stopped before its end.
    """
    devices = seeds if seeds <= len(jax.devices()) else 1
    if not (folder / "config.json").exists():
        return run(config, seeds=range(seeds), devices=devices, out=folder, console=console).interrupted
    opened = open_run(folder)
    if opened.config != config or [lane.seed for lane in opened.lanes] != list(range(seeds)):
        raise SystemExit(f"error: {folder} holds a run with other settings. Choose another folder: `--out`.")
    return resume(folder, devices=devices, console=console).interrupted


def write_tables(rows: list[dict[str, Any]], what: dict[str, Any], out: Path) -> None:
    """`results.csv` and `results.json`."""
    with open(out / "results.csv", "w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        table.writeheader()
        table.writerows({**row, **{name: round(row[name], 4) for name in METRICS}} for row in rows)
    final = []
    for metric in METRICS:
        for group in group_lanes(rows, by="variant", metric=metric, last=LAST):
            low, high = group.final_interval()
            figures = {"interquartile_mean": round(group.final_mean, 4), "low": round(low, 4), "high": round(high, 4)}
            final.append({"variant": group.value, "metric": metric, **figures, "lanes": group.final.round(4).tolist()})
    (out / "results.json").write_text(json.dumps({**what, "interval": 0.95, "final": final}, indent=1) + "\n")


def report(out: Path, configs: dict[str, Config], scale: Scale, console: Console) -> None:
    """Tables and the picture of what `out` holds."""
    rows = load_runs([out / name for name in configs])
    for row in rows:
        row["variant"] = Path(row["run"]).name
    about = json.loads((out / next(iter(configs)) / "config.json").read_text())
    what = {"command": " ".join(["python", *sys.argv]), "scale": dataclasses.asdict(scale), "last_evaluations": LAST}
    what |= {name: about[name] for name in ("config", "versions", "python", "cpu_count")}
    what["seconds"] = {name: max(row["seconds"] for row in rows if row["variant"] == name) for name in configs}
    write_tables(rows, what, out)
    agent = next(iter(configs.values())).agent
    title = f"{about['config']['env']}, depth {agent.depth}, width {agent.width}"
    plot_groups(rows, out / "success.png", by="variant", metrics=("success_any",), last=LAST, title=title)
    console.print(f"Tables and picture: {out}", markup=False, soft_wrap=True)


def main() -> None:
    """Trains, writes tables and the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="laptop", help="a table of the settings: laptop or full")
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--settings", type=Path, default=Path(__file__).with_suffix(".toml"))
    arguments = parser.parse_args()
    scale = read_scale(arguments.settings, arguments.scale)
    split_cpu(scale.seeds)  # before a config is built, which asks JAX for arrays
    configs = read_variants(arguments.settings, scale)
    console = Console()
    for name, config in configs.items():
        console.print(f"[bold]{name}[/bold]: {config.agent.trunk}")
        if train_variant(config, scale.seeds, arguments.out / name, console):
            console.print("Stopped. The same command goes on.")
            raise SystemExit(130)
    report(arguments.out, configs, scale, console)


if __name__ == "__main__":
    main()
