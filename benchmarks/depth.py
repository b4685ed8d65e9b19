"""Compile time and update time against depth: a 1024-layer critic trains on a CPU, and depth does not cost compilation.

    python benchmarks/depth.py [--depths 16,64,1024] [--updates 20] [--json FILE]

One table: seconds to compile the jitted scan of CRL updates (median of `--repeats` compilations, caches cleared in
between), ratio to the shallowest, milliseconds an update, the critic's loss before and after. At depth 1024 the actor has
512 layers, as in the paper. All depths rematerialise, so that the programs differ in depth alone.
"""

import argparse
import json
import platform
import statistics
import time

import equinox as eqx
import jax
import jax.random as jr

from deepcrl.agents import AgentSpec, CRL
from deepcrl.replay import Batch


# The sizes of the ant tasks: state, goal, action.
SPEC = AgentSpec(observation_size=29, goal_size=2, action_size=8)


def measure(depth: int, width: int, batch_size: int, updates: int, repeats: int) -> dict[str, float]:
    agent = CRL(critic_depth=depth, actor_depth=min(depth, 512), width=width, remat=True)
    hypers = agent.hypers()
    state = jax.jit(lambda key: agent.init(SPEC, key=key))(jr.key(0))
    batch = Batch(
        observation=jr.normal(jr.key(1), (batch_size, SPEC.observation_size)),
        action=jr.uniform(jr.key(2), (batch_size, SPEC.action_size), minval=-1.0, maxval=1.0),
        goal=jr.normal(jr.key(3), (batch_size, SPEC.goal_size)),
    )

    def train(state, batch, hypers):
        def update(state, key):
            return agent.update(state, batch, hypers, key=key)

        return jax.lax.scan(update, state, jr.split(jr.key(4), updates))

    def compile_once():
        jax.clear_caches()
        lowered = jax.jit(train).lower(state, batch, hypers)
        began = time.perf_counter()
        return lowered.compile(), time.perf_counter() - began

    compiled, seconds = compile_once()
    compile_seconds = [seconds] + [compile_once()[1] for _ in range(repeats - 1)]
    began = time.perf_counter()
    _, metrics = jax.block_until_ready(compiled(state, batch, hypers))
    seconds = time.perf_counter() - began
    losses = metrics.critic.loss
    if not bool(eqx.filter_jit(lambda m: jax.tree.reduce(lambda a, b: a & b, jax.tree.map(_finite, m)))(metrics)):
        raise SystemExit(f"depth {depth}: a metric is not finite")
    return {
        "depth": depth,
        "actor_depth": min(depth, 512),
        "compile_seconds": statistics.median(compile_seconds),
        "ms_per_update": 1e3 * seconds / updates,
        "first_loss": float(losses[0]),
        "last_loss": float(losses[-1]),
    }


def _finite(leaf: jax.Array) -> jax.Array:
    return jax.numpy.all(jax.numpy.isfinite(leaf))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depths", default="16,64,256,1024")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--updates", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", help="write the table here too")
    args = parser.parse_args()

    rows = []
    print(f"width {args.width}, batch {args.batch_size}, {args.updates} updates, {jax.devices()[0].device_kind}")
    names = ("compile s", "ratio", "ms/update", "first loss", "last loss")
    print(f"{'depth':>6} {'actor':>6} {names[0]:>10} {names[1]:>6} {names[2]:>10} {names[3]:>11} {names[4]:>10}")
    for depth in map(int, args.depths.split(",")):
        row = measure(depth, args.width, args.batch_size, args.updates, args.repeats)
        rows.append(row)
        ratio = row["compile_seconds"] / rows[0]["compile_seconds"]
        print(
            f"{depth:>6} {row['actor_depth']:>6} {row['compile_seconds']:>10.2f} {ratio:>6.2f} "
            f"{row['ms_per_update']:>10.1f} {row['first_loss']:>11.3f} {row['last_loss']:>10.3f}",
            flush=True,
        )
    if args.json:
        about = {"jax": jax.__version__, "python": platform.python_version(), "device": jax.devices()[0].device_kind}
        with open(args.json, "w") as file:
            json.dump({**about, "width": args.width, "batch_size": args.batch_size, "rows": rows}, file, indent=2)


if __name__ == "__main__":
    main()
