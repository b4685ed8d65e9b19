"""How near an update of CRL comes to what plain matrix products reach: updates/s, GFLOP/s, share, memory against depth.

    python benchmarks/learner.py [--depths 4,16,64] [--batch-size 256] [--json FILE]

The yardstick is a chain of the products that one hidden layer needs for a batch: forward, gradient of the input, gradient
of the weights, all under one `lax.scan`. Updates count the operations of their own matrix products only, so norms, losses,
sampling of actions and Adam are what keeps the share below 1. Both take turns in one process; figures are medians.
Depths of 64 and more rematerialise; their repeated forward passes are work of the program, not of the formula, and are
not counted. At depth 1024 the actor has 512 layers, as in the paper.
"""

import argparse
import json
import statistics
import time

import jax
import jax.numpy as jnp
import jax.random as jr

from deepcrl.agents import AgentSpec, Batch, CRL
from deepcrl.train._cost import matmul_flops


SPEC = AgentSpec(observation_size=29, goal_size=2, action_size=8)  # the ant's
CHAIN = 32  # layers


def make_updates(depth: int, remat: bool, arguments: argparse.Namespace):
    """A compiled scan of updates, its inputs, operations of one update, and bytes that the program needs."""
    sizes = {"critic_depth": depth, "actor_depth": min(depth, 512), "width": arguments.width}
    agent, plain = CRL(**sizes, remat=remat), CRL(**sizes)
    hypers = agent.hypers()
    state = jax.jit(lambda key: agent.init(SPEC, key=key))(jr.key(0))
    batch = Batch(
        observation=jr.normal(jr.key(1), (arguments.batch_size, SPEC.observation_size)),
        action=jr.uniform(jr.key(2), (arguments.batch_size, SPEC.action_size), minval=-1.0, maxval=1.0),
        goal=jr.normal(jr.key(3), (arguments.batch_size, SPEC.goal_size)),
    )
    count = max(2, arguments.layers // depth)
    update = lambda state, key: (agent.update(state, batch, hypers, key=key)[0], None)
    counted = jax.make_jaxpr(lambda state: plain.update(state, batch, hypers, key=jr.key(0))[1])(state)
    run = jax.jit(lambda state: jax.lax.scan(update, state, jr.split(jr.key(4), count))[0]).lower(state).compile()
    plan = run.memory_analysis()
    held = sum(getattr(plan, f"{kind}_size_in_bytes", 0) for kind in ("argument", "output", "temp"))
    return lambda: run(state), count, matmul_flops(counted.jaxpr), held


def make_chain(arguments: argparse.Namespace):
    """A compiled chain of layers' products and its operations."""
    batch, width = arguments.batch_size, arguments.width
    x, weights = jnp.ones((batch, width)), jr.normal(jr.key(0), (CHAIN, width, width)) / width**0.5

    def layer(x, weight):
        forward = x @ weight
        backward = forward @ weight.T
        return backward, backward.T @ x

    run = jax.jit(lambda x: jax.lax.scan(layer, x, weights)).lower(x).compile()
    return lambda: run(x), CHAIN * 3 * 2 * batch * width**2


def seconds(call) -> float:
    start = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - start


def main() -> None:
    """Prints one table, and JSON with `--json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depths", default="4,16,64")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--layers", type=int, default=160, help="that a timed call takes updates for, together")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json")
    arguments = parser.parse_args()

    chain, chain_flops = make_chain(arguments)
    jax.block_until_ready(chain())
    rows = []
    print(f"width {arguments.width}, batch {arguments.batch_size}, {jax.devices()[0].device_kind}")
    print(f"{'depth':>6} {'remat':>6} {'updates/s':>10} {'GFLOP/s':>8} {'chain':>8} {'share':>6} {'MB':>7}")
    for depth in map(int, arguments.depths.split(",")):
        updates, count, flops, held = make_updates(depth, depth >= 64, arguments)
        jax.block_until_ready(updates())
        times = [(seconds(updates), seconds(chain)) for _ in range(arguments.repeats)]
        speed = statistics.median(count * flops / update for update, _ in times) / 1e9
        yardstick = statistics.median(chain_flops / plain for _, plain in times) / 1e9
        share = statistics.median(count * flops / update * plain / chain_flops for update, plain in times)
        row = {
            "depth": depth,
            "remat": depth >= 64,
            "updates_per_second": 1e9 * speed / flops,
            "gflop_per_second": speed,
        }
        rows.append({**row, "chain_gflop_per_second": yardstick, "share": share, "program_bytes": held})
        print(
            f"{depth:>6} {'yes' if depth >= 64 else 'no':>6} {1e9 * speed / flops:>10.1f} {speed:>8.0f} {yardstick:>8.0f} "
            f"{share:>6.2f} {held / 1e6:>7.0f}",
            flush=True,
        )
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"width": arguments.width, "batch_size": arguments.batch_size, "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
