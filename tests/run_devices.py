"""Used by the tests of devices: programs of four devices, in processes of their own, as JAX counts devices only once."""

import re
import sys
from pathlib import Path

import jax
import jax.tree_util as jtu
import numpy as np
from strategies import tiny
from test_lanes import assert_close


COMMUNICATION = r"all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter|collective-broadcast"
TOLERANCE = 1e-4  # rounding, grown over some epochs


def mixed():
    """Four lanes of two sizes, in twos: no two devices may assume the same."""
    from deepcrl import lanes

    sizes = [4, 4, 8, 8]
    return lanes(tiny(), seeds=[0, 1, 0, 1], depth=sizes, width=sizes, zipped=True), sizes


def spread(whole_epoch):
    """One lane of its own size on each of four devices: of `init`, whose roll-outs act, or an epoch after it."""
    from deepcrl import make_train
    from deepcrl.train import lane_mesh, over_devices

    sweep, sizes = mixed()
    train, mesh = make_train(tiny(), hypers=sweep.hypers), lane_mesh("all", 4, tiny())
    init = without_communication(over_devices(train.init, mesh), *sweep)
    state, plain = init(*on(mesh, sweep)), over_devices(train.init, None)(*sweep)
    assert all(len(leaf.sharding.device_set) == 4 for leaf in jtu.tree_leaves(state))
    assert_close(state, plain, 0.0)  # bit for bit
    assert {(size,) * 3 for size in sizes} <= set(train._resized)
    if whole_epoch:
        epoch = without_communication(over_devices(train.epoch, mesh), state)
        assert_close(epoch(state), jax.vmap(train.epoch)(plain), TOLERANCE)


def on(mesh, tree):
    return jax.device_put(tree, jax.NamedSharding(mesh, jax.P("lane")))


def without_communication(function, *args):
    program = function.lower(*args).compile()
    text = program.as_text()
    assert "conditional" in text and not re.search(COMMUNICATION, text)
    assert "ynn_fusion" not in text  # they keep memory
    return program


def shared():
    """Two lanes, each with its environments on two devices, which its evaluations' are on too."""
    from deepcrl import make_train
    from deepcrl.train import lane_mesh, over_devices

    config = tiny(num_envs=6, eval_envs=10)  # numbers that no other axis has
    train, mesh, seeds = make_train(config), lane_mesh("all", 2, config), np.arange(2)
    assert dict(mesh.shape) == {"lane": 2, "env": 2}
    init = over_devices(train.init, mesh)
    state = init(seeds)
    assert state.queue.data.reward.addressable_shards[0].data.shape == (1, 3, config.buffer_length)
    assert state.agent.policy.encoder.output.weight.sharding.spec == jax.P("lane")
    plain = over_devices(train.init, None)(seeds)
    assert_close(state, plain, 0.0)
    epoch = over_devices(train.epoch, mesh).lower(state).compile()
    parts = {envs: len(re.findall(rf"f32\[(?:1,)?{envs},2\]", epoch.as_text())) for envs in (3, 5, 6, 10)}
    assert parts[3] and parts[5] and not parts[6] and not parts[10], parts
    got, expected = epoch(state), jax.vmap(train.epoch)(plain)
    assert_close(got, expected, TOLERANCE)
    assert got[0].obs.observation.sharding.spec == jax.P("lane", "env")


def runner(out):
    """Two sizes on every device; stopped, and gone on with on as many devices, on fewer, on one."""
    import shutil

    from test_resume import same_states, timeless

    from deepcrl.runs import read_metrics, resume, run

    sweep, _ = mixed()
    sweep = sweep.dealt(2)
    settings = {"seeds": sweep.seeds.tolist(), "hypers": sweep.hypers, "devices": 2}
    long, short = (tiny(epochs=n, total_env_steps=80 + 40 * n) for n in (4, 2))
    straight = run(long, out=out / "straight", **settings)
    assert len(straight.state.diverged.sharding.device_set) == 2 and straight.diverged == []
    run(short, out=out / "two", **settings)
    for devices in (4, 1):
        shutil.copytree(out / "two", out / str(devices))
    again = resume(out / "two", total_env_steps=long.total_env_steps, devices=2)
    same_states(again.state, straight.state)
    assert timeless(read_metrics(out / "two")) == timeless(read_metrics(out / "straight"))
    for devices in (4, 1):
        other = resume(out / str(devices), total_env_steps=long.total_env_steps, devices=devices)
        assert len(other.state.diverged.sharding.device_set) == devices
        assert_close(other.state, straight.state, TOLERANCE)


def process(rank, port):
    """One of two processes, each with two of the four devices."""
    jax.distributed.initialize(f"localhost:{port}", num_processes=2, process_id=rank)
    assert (jax.device_count(), jax.local_device_count()) == (4, 2)
    from jax.experimental import multihost_utils

    from deepcrl import make_train
    from deepcrl.train import over_devices

    sweep, _ = mixed()
    train = make_train(tiny(), hypers=sweep.hypers)
    result = over_devices(train, jax.sharding.Mesh(jax.devices(), ("lane",)))(*sweep)
    plain = jax.vmap(train)(*sweep)
    mine = lambda leaf: np.concatenate([shard.data for shard in leaf.addressable_shards])
    half = lambda leaf: leaf[2 * rank : 2 * rank + 2]
    assert_close(jtu.tree_map(mine, result.state.agent), jtu.tree_map(half, plain.state.agent), TOLERANCE)
    assert_close(multihost_utils.process_allgather(result.metrics, tiled=True), plain.metrics, TOLERANCE)


if __name__ == "__main__":
    what, *args = sys.argv[1:]
    if what in ("init", "epoch"):
        spread(whole_epoch=what == "epoch")
    elif what == "shared":
        shared()
    elif what == "runner":
        runner(Path(args[0]))
    else:
        process(*map(int, args))
    print("done")
