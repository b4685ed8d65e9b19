"""Lanes over several devices compute what they compute on one: four fake ones, and two processes."""

import os
import pathlib
import socket
import subprocess
import sys

import jax
import jax.tree_util as jtu
import numpy as np
import pytest
from strategies import tiny, unchecked


SCRIPT = pathlib.Path(__file__).with_name("run_devices.py")


def launch(*args, devices=4):
    settings = {
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # in slow tests too: they compile more than they run
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_NUMPY_DTYPE_PROMOTION": "strict",
        "JAX_NUMPY_RANK_PROMOTION": "raise",
    }
    command = [sys.executable, str(SCRIPT), *map(str, args)]
    return subprocess.Popen(
        command, env=os.environ | settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ends_well(process):
    try:
        said, complaints = process.communicate(timeout=900)
    finally:
        process.kill()
    assert process.returncode == 0 and said.strip().splitlines()[-1] == "done", complaints[-3000:]


def test_lanes_of_different_size_on_four_devices_never_talk_to_each_other():
    ends_well(launch("init"))


@pytest.mark.slow
def test_nor_do_they_in_an_epoch():
    ends_well(launch("epoch"))


@pytest.mark.slow
def test_devices_share_the_environments_of_a_lane():
    ends_well(launch("shared"))


@pytest.mark.slow
def test_a_run_goes_on_on_any_number_of_devices(tmp_path):
    """On as many as before bit for bit."""
    ends_well(launch("runner", tmp_path))


@pytest.mark.slow
def test_two_processes_share_the_lanes():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    processes = [launch("process", rank, port, devices=2) for rank in (0, 1)]
    try:
        for process in processes:
            ends_well(process)
    finally:
        for process in processes:
            process.kill()


# What is asked for


@pytest.fixture
def four(monkeypatch):
    """Four names of one device: enough to count."""
    monkeypatch.setattr(jax, "local_devices", lambda: jax.devices()[:1] * 4)


@pytest.mark.parametrize(
    "devices, lanes, message",
    [
        (5, 10, r"`devices` must be 1 to 4, the number of cpu devices that this process sees, or 'all' of them; got 5"),
        (0, 8, r"`devices` must be 1 to 4"),
        (4, 6, r"got 4 devices and 6 lanes. Take 1 or 2 or 3 of the devices, or train 4 or 8 lanes"),
        ("all", 3, r"got 4 devices and 3 lanes. Take 1 or 3 of the devices, or train 4 lanes"),
    ],
)
def test_devices_that_cannot_share_the_lanes_are_refused(four, devices, lanes, message):
    from deepcrl.train import lane_mesh

    with pytest.raises(ValueError, match=message):
        lane_mesh(devices, lanes, tiny())


def test_devices_of_one_lane_share_its_environments_evenly(four):
    from deepcrl.train import lane_mesh

    with pytest.raises(ValueError, match=r"must be multiples of 4; got 6 and 4. Change them, or take 1 of the devices"):
        lane_mesh(4, 1, tiny(num_envs=6))


@pytest.mark.parametrize("devices", [True, 1.0, "some"])
def test_devices_are_a_number_or_all(devices):
    from deepcrl.train import lane_mesh

    with unchecked(), pytest.raises(TypeError, match="`devices` must be an integer or 'all'"):
        lane_mesh(devices, 4, tiny())


def test_one_device_needs_no_mesh():
    from deepcrl.train import lane_mesh

    assert lane_mesh(1, 3, tiny()) is None
    if jax.local_device_count() == 1:
        assert lane_mesh("all", 3, tiny()) is None


def test_run_and_resume_refuse_before_anything_is_done(tmp_path, monkeypatch):
    from deepcrl.runs import Plan, resume, run, RunFolder

    too_many = jax.local_device_count() + 1
    with pytest.raises(ValueError, match="`devices` must be"):
        run(tiny(), seeds=range(too_many), out=tmp_path / "run", devices=too_many)
    assert not (tmp_path / "run").exists()
    RunFolder(tmp_path / "run").begin(Plan(tiny(), seeds=range(too_many)))
    with pytest.raises(ValueError, match="`devices` must be"):
        resume(tmp_path / "run", devices=too_many)


def test_devices_with_memory_of_their_own_hold_their_share(monkeypatch):
    from deepcrl import make_train
    from deepcrl.train import _trainer, check_memory

    train = make_train(tiny())
    monkeypatch.setattr(_trainer, "_own_memory", lambda: 3 * train.state_bytes())
    check_memory(train, lanes=12, devices=4)
    with pytest.raises(MemoryError, match=r"6 lane\(s\) need"):
        check_memory(train, lanes=12, devices=2)
    monkeypatch.setattr(_trainer, "_own_memory", lambda: None)
    monkeypatch.setattr(_trainer, "available_memory", lambda: 3 * train.state_bytes())
    with pytest.raises(MemoryError, match=r"12 lane\(s\) need"):
        check_memory(train, lanes=12, devices=4)


# The order of lanes


def test_every_device_is_dealt_its_share_of_every_depth():
    from deepcrl import lanes

    sweep = lanes(tiny(agent={"depth": 16}), seeds=range(4), depth=(4, 16, 8))
    dealt = sweep.dealt(4)
    by_seed = lambda row: (row["actor_depth"], row["seed"])
    rows = [{**row, "lane": 0} for row in sorted(sweep.table(), key=by_seed)]
    assert [{**row, "lane": 0} for row in sorted(dealt.table(), key=by_seed)] == rows
    depths = np.asarray(dealt.hypers.critic_depth)
    assert depths.tolist() == [4, 8, 16] * 4
    assert jtu.tree_all(jtu.tree_map(lambda a, b: a.dtype == b.dtype and a.shape == b.shape, dealt, sweep))


@pytest.mark.parametrize("devices", [0, 3])
def test_lanes_are_dealt_to_a_number_of_devices_that_divides_theirs(devices):
    from deepcrl import lanes

    with pytest.raises(ValueError, match=f"`devices` must divide the number of lanes, 8.*got {devices}"):
        lanes(tiny(), seeds=range(4), depth=(4, 8)).dealt(devices)


def test_every_device_is_dealt_its_share_of_every_width():
    from deepcrl import lanes

    agent = {"depth": 16, "width": 8}
    sizes = {"depth": [16, 4, 16, 4], "width": [4, 8, 4, 8]}  # all of equal work
    dealt = lanes(tiny(agent=agent), seeds=range(4), zipped=True, **sizes).dealt(2)
    assert [(row["actor_depth"], row["width"]) for row in dealt.table()] == [(16, 4), (4, 8)] * 2
    wide_or_deep = lanes(tiny(agent=agent), seeds=[0], width=(8, 4), depth=(4, 8)).dealt(2)
    assert wide_or_deep.hypers.width.reshape(2, 2).tolist() == [[4, 8], [4, 8]]


def test_a_block_has_as_many_kinds_as_depths_at_most():
    """Each different block is a branch to be compiled."""
    from deepcrl import lanes

    config = tiny(agent={"depth": 16})
    sweep = lanes(config, seeds=range(6), depth=[4] * 3 + [8] * 2 + [16], zipped=True).dealt(3)
    assert np.asarray(sweep.hypers.critic_depth).reshape(3, -1).tolist() == [[4, 8], [4, 8], [4, 16]]
