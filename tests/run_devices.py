"""Used by the tests of devices: programs of four devices, in processes of their own, as JAX counts devices only once."""

import re
import shutil
import sys
from pathlib import Path

import jax
import jax.tree_util as jtu
import numpy as np
from strategies import tiny
from trees import assert_close, assert_equal


COMMUNICATION = r"all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter|collective-broadcast"
TOLERANCE = 1e-4  # rounding, grown over some epochs


def mixed(**changes):
    """Four lanes of each of two sizes."""
    from deepcrl import lanes

    return lanes(tiny(**changes), seeds=range(4), depth=(4, 8))


def spread():
    """A lane of each size on each of four devices: `init` and an epoch after it."""
    from deepcrl import Sweep
    from deepcrl.train import lane_mesh

    four, one = Sweep(mixed(), lane_mesh("all", mixed())), Sweep(mixed())
    without_communication(four.program("init"), four._seeds, four._hypers)
    states, plain = four.init(), one.init()
    assert all(len(leaf.sharding.device_set) == 4 for leaf in jtu.tree_leaves(states))
    assert_equal(states, plain)
    without_communication(four.program("epoch", donate=True), states)
    assert_equal(four.epoch(states), one.epoch(plain))


def without_communication(program, *args):
    text = program.lower(*args).compile().as_text()
    assert not re.search(COMMUNICATION, text)
    assert "ynn_fusion" not in text  # they keep memory


def shared():
    """Two lanes, each with its environments on two devices, which its evaluations' are on too."""
    from deepcrl import lanes, Sweep
    from deepcrl.train import lane_mesh

    few = lanes(tiny(num_envs=6, eval_envs=10), seeds=range(2))  # numbers that no other axis has
    mesh = lane_mesh("all", few)
    assert dict(mesh.shape) == {"lane": 2, "env": 2}
    four, one = Sweep(few, mesh), Sweep(few)
    states, plain = four.init(), one.init()
    (state,) = states
    assert state.queue.data.reward.addressable_shards[0].data.shape == (1, 3, 40)
    assert state.agent.policy.encoder.output.weight.sharding.spec == jax.P("lane")
    assert_close(states, plain, 0.0)
    text = four.program("epoch", donate=True).lower(states).compile().as_text()
    parts = {envs: len(re.findall(rf"f32\[(?:1,)?{envs},2\]", text)) for envs in (3, 5, 6, 10)}
    assert parts[3] and parts[5] and not parts[6] and not parts[10], parts
    got = four.epoch(states)
    assert got[0][0].obs.observation.sharding.spec == jax.P("lane", "env")
    assert_close(got, one.epoch(plain), TOLERANCE)


def runner(out):
    """Stopped, and gone on with on as many devices, on more, on one."""
    from deepcrl import open_run, resume, run
    from deepcrl.runs import WALL_CLOCK

    def timeless(folder):
        return [{name: row[name] for name in row if name not in WALL_CLOCK} for row in open_run(folder).rows]

    def begin(epochs, folder):
        budget = {"epochs": epochs, "total_env_steps": 80 + 40 * epochs}
        return run(tiny(**budget), lanes=mixed(**budget), out=out / folder, devices=2)

    straight = begin(4, "straight")
    assert all(len(state.diverged.sharding.device_set) == 2 for state in straight.states) and straight.diverged == []
    begin(2, "two")
    for devices in (4, 1):
        shutil.copytree(out / "two", out / str(devices))
    for devices, folder in ((2, "two"), (4, "4"), (1, "1")):
        again = resume(out / folder, total_env_steps=80 + 40 * 4, devices=devices)
        assert all(len(state.diverged.sharding.device_set) == devices for state in again.states)
        assert_equal(again.states, straight.states)
        assert timeless(out / folder) == timeless(out / "straight")


def process(rank, port):
    """One of two processes, each with two of the four devices."""
    jax.distributed.initialize(f"localhost:{port}", num_processes=2, process_id=rank)
    assert (jax.device_count(), jax.local_device_count()) == (4, 2)
    from deepcrl import Sweep

    result, plain = Sweep(mixed(), jax.sharding.Mesh(jax.devices(), ("lane",)))(), Sweep(mixed())()
    mine = lambda leaf: np.concatenate([shard.data for shard in leaf.addressable_shards])
    half = lambda leaf: leaf[2 * rank : 2 * rank + 2]
    for state, other in zip(result.states, plain.states, strict=True):
        assert_equal(jtu.tree_map(mine, state.agent), jtu.tree_map(half, other.agent))
    assert_equal(result.metrics, plain.metrics)


if __name__ == "__main__":
    what, *args = sys.argv[1:]
    if what == "spread":
        spread()
    elif what == "shared":
        shared()
    elif what == "runner":
        runner(Path(args[0]))
    else:
        process(*map(int, args))
    print("done")
