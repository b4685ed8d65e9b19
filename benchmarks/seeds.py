"""Seeds in one program beside runs one after another, by whole commands.

    python benchmarks/seeds.py [--seeds 8] [--repeats 3] [--json FILE]

Each way trains the same seeds with a small network by `deepcrl train`: one program, one program on a CPU that is split
into devices, and a run per seed. `whole` is the time of the commands, starting and compiling included, with a compilation
cache that starts empty (so later runs load what the first compiled); `training` is that of the epochs after the first.
All ways take turns; the figures are medians of `--repeats`, the ratios are to the runs one after another.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


SMALL = "point_u_maze --width 64 --depth 4 --total-env-steps 153600 --epochs 4 --no-plots --save-every 0"


def measure(commands: list[str], folder: Path) -> tuple[float, float]:
    """Seconds of `deepcrl train` with each of these options, one after another: all of it, and all but the first epochs."""
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(folder / "programs")}
    started, training = time.perf_counter(), 0.0
    for number, options in enumerate(commands):
        out = folder / str(number)
        call = [
            str(Path(sys.executable).with_name("deepcrl")),
            "train",
            *SMALL.split(),
            *options.split(),
            "--out",
            str(out),
        ]
        done = subprocess.run(call, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"error: {' '.join(call)} failed:\n{done.stderr[-2000:]}")
        rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        training += max(row["seconds"] for row in rows) - min(row["seconds"] for row in rows)
    return time.perf_counter() - started, training


def main() -> None:
    """Prints one table, and writes JSON with `--json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the table here too")
    arguments = parser.parse_args()
    seeds = arguments.seeds
    ways = {
        "one after another": [f"--first-seed {seed}" for seed in range(seeds)],
        "one program": [f"--seeds {seeds}"],
        "one program, split CPU": [f"--seeds {seeds} --devices all"],
    }
    seconds = {name: [] for name in ways}
    for _ in range(arguments.repeats):
        for name, commands in ways.items():
            with tempfile.TemporaryDirectory() as folder:
                seconds[name].append(measure(commands, Path(folder)))
    rows = []
    for name, times in seconds.items():
        whole, training = (statistics.median(column) for column in zip(*times, strict=True))
        row = {"way": name, "whole_s": round(whole, 1), "training_s": round(training, 1)}
        first = rows[0] if rows else row
        ratios = {f"{what}_ratio": round(first[f"{what}_s"] / row[f"{what}_s"], 2) for what in ("whole", "training")}
        rows.append({**row, **ratios})
    print(f"{seeds} seeds: deepcrl train {SMALL}")
    print(f"{'':>24} {'whole s':>9} {'ratio':>6} {'training s':>11} {'ratio':>6}")
    for row in rows:
        whole, training = (f"{row[f'{what}_s']:>9} {row[f'{what}_ratio']:>6}" for what in ("whole", "training"))
        print(f"{row['way']:>24} {whole}   {training}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"seeds": seeds, "options": SMALL, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
