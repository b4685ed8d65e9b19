"""Environment steps per second of the tasks on MuJoCo, beside the bare batched simulation.

    python benchmarks/physics.py [--tasks ant_u_maze,humanoid_u_maze] [--engines native,mjx] [--envs 256,1024]
                                 [--steps 100] [--repeats 3] [--brax] [--json FILE]

For every task: env steps/s of the bare `mujoco.batch.Batch`, then of each engine inside `jit` and `scan` with resets,
observations and rewards, its share of the bare loop's speed, and the seconds that compiling took. Both take the same random
actions, drawn before, and the bare batch is put to the same starts, so that both simulate the same. All in one run, bare
and engines in turn, medians of `--repeats`. `--brax` measures Brax's own `ant` and `humanoid` as well (`pip install brax`),
on its `spring` and `mjx` back ends.
"""

import argparse
import dataclasses
import json
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.random as jr
import numpy as np

from deepcrl import envs


@dataclasses.dataclass
class Trace:
    """What a roll-out of random actions did: arrays `step env ...`."""

    actions: jax.Array
    controls: np.ndarray
    qpos: np.ndarray
    qvel: np.ndarray
    first: np.ndarray
    """Whether the step is the first of its episode, which starts at `qpos` and `qvel`."""


def random_trace(task: str, num_envs: int, steps: int) -> Trace:
    """A roll-out on the engine `native`."""
    env, params = mujoco_env(task, "native")
    vector = envs.VectorEnv(env, num_envs)
    space = env.action_space(params)
    actions = jr.uniform(jr.key(2), (steps, num_envs, *space.shape), minval=space.low, maxval=space.high)

    def step(state: Any, keyed: Any) -> tuple[Any, Any]:
        physics = state.inner.physics
        controls = jax.vmap(env.control, in_axes=(0, 0, None))(physics, keyed[1], params)
        after = vector.step(keyed[0], state, keyed[1], params)[1]
        return after, (controls, physics.qpos, physics.qvel, state.time == 0)

    _, state = jax.jit(vector.reset)(jr.key(0), params)
    _, seen = jax.jit(lambda state: jax.lax.scan(step, state, (jr.split(jr.key(1), steps), actions)))(state)
    return Trace(actions, *map(np.asarray, seen))


def mujoco_env(task: str, engine: str) -> tuple[envs.AbstractMujocoEnv, Any]:
    env, params = envs.make(task, engine=engine)
    assert isinstance(env, envs.AbstractMujocoEnv)
    return env, params


def bare(task: str, trace: Trace) -> Callable[[], float]:
    """A function that gives steps/s of MuJoCo's own batch, led through the same episodes by the same controls."""
    from mujoco.batch import Batch

    env, _ = mujoco_env(task, "native")
    steps, num_envs, _ = trace.controls.shape
    batch = Batch(env.build_model(), num_envs)

    def run() -> float:
        batch.reset()
        began = time.perf_counter()
        for step in range(steps):
            starts = np.flatnonzero(trace.first[step])
            if starts.size:
                batch.bind("qpos")[starts] = trace.qpos[step, starts]
                batch.bind("qvel")[starts] = trace.qvel[step, starts]
                batch.bind("qacc_warmstart")[starts] = 0.0
            batch.bind("ctrl")[:] = trace.controls[step]
            batch.step(nstep=env.substeps)
        return num_envs * steps / (time.perf_counter() - began)

    run()
    return run


def timed(rollout: Callable[..., Any], *args: Any, env_steps: int) -> tuple[Callable[[], float], float]:
    """A function that gives steps/s of a roll-out of that many, and the seconds that compiling it took."""
    began = time.perf_counter()
    program = jax.jit(rollout).lower(*args).compile()
    seconds = time.perf_counter() - began

    def run() -> float:
        began = time.perf_counter()
        jax.block_until_ready(program(*args))
        return env_steps / (time.perf_counter() - began)

    run()
    return run, seconds


def compiled(task: str, engine: str, trace: Trace) -> tuple[Callable[[], float], float]:
    """A function that gives steps/s of a task under jit and scan, and the seconds that compiling took."""
    env, params = mujoco_env(task, engine)
    steps, num_envs, _ = trace.actions.shape
    vector = envs.VectorEnv(env, num_envs)

    def rollout(state: Any, key: Any, actions: jax.Array) -> Any:
        def step(state: Any, keyed: Any) -> tuple[Any, Any]:
            obs, state, reward, *_ = vector.step(keyed[0], state, keyed[1], params)
            return state, jax.numpy.mean(obs.observation) + jax.numpy.mean(reward)

        return jax.lax.scan(step, state, (jr.split(key, steps), actions))

    _, state = jax.jit(vector.reset)(jr.key(0), params)
    return timed(rollout, state, jr.key(1), trace.actions, env_steps=num_envs * steps)


def brax(name: str, backend: str, num_envs: int, steps: int) -> tuple[Callable[[], float], float]:
    """As `compiled`, of Brax's own environment with its training wrappers."""
    from brax import envs as brax_envs  # pyright: ignore[reportMissingImports]
    from brax.envs.wrappers.training import wrap  # pyright: ignore[reportMissingImports]

    env = wrap(brax_envs.get_environment(name, backend=backend), episode_length=1000)

    def rollout(state: Any, key: Any) -> Any:
        def step(state: Any, key: Any) -> tuple[Any, Any]:
            return env.step(state, jr.uniform(key, (num_envs, env.action_size), minval=-1.0, maxval=1.0)), None

        return jax.lax.scan(step, state, jr.split(key, steps))

    # its wrappers count environments by the shape of raw keys
    state = jax.jit(env.reset)(jr.split(jr.PRNGKey(0), num_envs))
    return timed(rollout, state, jr.key(1), env_steps=num_envs * steps)


def measure(task: str, engines: list[str], num_envs: int, steps: int, repeats: int, with_brax: bool) -> list[dict]:
    trace = random_trace(task, num_envs, steps)
    runs: dict[str, Callable[[], float]] = {"bare": bare(task, trace)}
    compile_seconds = {"bare": 0.0}
    for engine in engines:
        runs[engine], compile_seconds[engine] = compiled(task, engine, trace)
    if with_brax and task in ("ant", "humanoid"):
        for backend in ("spring", "mjx"):
            name = f"brax {backend}"
            runs[name], compile_seconds[name] = brax(task, backend, num_envs, steps)
    seen = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            seen[name].append(run())
    # The share is taken within each repetition, where both met the same machine.
    return [
        {
            "task": task,
            "envs": num_envs,
            "engine": name,
            "steps_per_second": statistics.median(rates),
            "share_of_bare": statistics.median(a / b for a, b in zip(rates, seen["bare"], strict=True)),
            "compile_seconds": compile_seconds[name],
        }
        for name, rates in seen.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default="ant_u_maze,humanoid_u_maze,arm_push_easy")
    parser.add_argument("--engines", default="native")
    parser.add_argument("--envs", default="256")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--brax", action="store_true")
    parser.add_argument("--json")
    args = parser.parse_args()
    rows = []
    print(f"{'task':22} {'envs':>5} {'engine':12} {'env steps/s':>12} {'of bare':>8} {'compile s':>10}")
    for task in args.tasks.split(","):
        for num_envs in map(int, args.envs.split(",")):
            engines = args.engines.split(",")
            for row in measure(task, engines, num_envs, args.steps, args.repeats, args.brax):
                rows.append(row)
                print(
                    f"{row['task']:22} {row['envs']:5d} {row['engine']:12} {row['steps_per_second']:12,.0f} "
                    f"{row['share_of_bare']:8.2f} {row['compile_seconds']:10.1f}",
                    flush=True,
                )
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump({"machine": f"{platform.machine()}, jax {jax.__version__}", "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
