"""A sweep of depths in one program: laid out by depth, masked, and lane by lane.

    python benchmarks/lanes.py --depths 4,8,16,32,64 --updates 40

Every figure is of one epoch (roll-outs, updates, one small evaluation), median of `--repeats`, after one that compiles;
all three ways take turns in one process. Ratios are what counts: seconds depend on the machine.
"""

import argparse
import json
import statistics
import time

import jax
import jax.numpy as jnp

from deepcrl import Config, lanes, make_train, Sweep
from deepcrl.agents import CRL


def config_of(depth: int, arguments: argparse.Namespace) -> Config:
    """One epoch of that many updates, one per roll-out step of all environments."""
    env_steps = 8 * 100 + 8 * 10 * arguments.updates * 4
    return Config(
        env="point_u_maze",
        agent=CRL(depth=depth, width=arguments.width),
        total_env_steps=env_steps,
        epochs=4,
        batch_size=arguments.batch_size,
        utd_ratio=1 / 80,
        eval_envs=8,
        num_envs=8,
        rollout_length=10,
        prefill_length=100,
        episode_length=100,
    )


def main() -> None:
    """Prints one table, and JSON with `--json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depths", default="4,8,16,32,64")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--updates", type=int, default=40, help="in an epoch")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    depths = [int(depth) for depth in arguments.depths.split(",")]

    deepest = config_of(max(depths), arguments)
    many = lanes(deepest, seeds=[0], depth=depths)
    by_size, masked = Sweep(many), make_train(deepest)
    ways = {"by size": by_size.program("epoch", donate=False), "masked": jax.jit(jax.vmap(masked.epoch))}
    states = {"by size": by_size.init(), "masked": jax.vmap(masked.init)(many.seeds, many.hypers)}
    for depth in depths:
        train = make_train(config_of(depth, arguments))
        ways[f"depth {depth} alone"], states[f"depth {depth} alone"] = jax.jit(train.epoch), train.init(jnp.int32(0))

    compiling, seconds = {}, {name: [] for name in ways}
    for name, epoch in ways.items():
        start = time.perf_counter()
        ways[name] = epoch.lower(states[name]).compile()
        compiling[name] = time.perf_counter() - start
    for _ in range(arguments.repeats + 1):
        for name, epoch in ways.items():
            start = time.perf_counter()
            jax.block_until_ready(epoch(states[name]))
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    alone = sum(value for name, value in medians.items() if name.endswith("alone"))
    rows = [
        {"program": name, "compile_s": compiling[name], "epoch_s": medians[name], "of_sum_alone": medians[name] / alone}
        for name in ways
    ]
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'program':>16} {'compile s':>10} {'epoch s':>9} {'/ sum alone':>12}")
    for row in rows:
        print(f"{row['program']:>16} {row['compile_s']:>10.1f} {row['epoch_s']:>9.2f} {row['of_sum_alone']:>12.2f}")


if __name__ == "__main__":
    main()
