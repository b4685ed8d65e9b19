"""Lanes over several devices compute what they compute on one: four fake ones, and two processes."""

import os
import pathlib
import socket
import subprocess
import sys

import jax
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


@pytest.mark.slow
def test_lanes_of_different_size_on_four_devices_never_talk_to_each_other():
    ends_well(launch("spread"))


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


def seeds(number, **changes):
    from deepcrl import lanes

    return lanes(tiny(**changes), seeds=range(number))


@pytest.fixture
def four(monkeypatch):
    """Four names of one device: enough to count."""
    monkeypatch.setattr(jax, "local_devices", lambda: jax.devices()[:1] * 4)


@pytest.mark.parametrize(
    "devices, lanes, message",
    [
        (5, 10, r"`devices` must be 1 to 4, the number of cpu devices that this process sees, or 'all' of them; got 5"),
        (0, 8, r"`devices` must be at least 1, got 0"),
        (4, 6, r"4 do not fit \[6\] lanes of each size. Take 1 or 2 or 3, or train other seeds"),
    ],
)
def test_devices_that_cannot_share_the_lanes_are_refused(four, devices, lanes, message):
    from deepcrl.train import lane_mesh

    with pytest.raises(ValueError, match=message):
        lane_mesh(devices, seeds(lanes))


def test_all_devices_are_as_many_as_fit(four):
    from deepcrl import lanes
    from deepcrl.train import lane_mesh

    sizes = lambda devices, lanes: dict(lane_mesh(devices, lanes).shape)
    assert sizes("all", seeds(3)) == {"lane": 3}
    assert sizes("all", lanes(tiny(), seeds=range(4), depth=(4, 8))) == {"lane": 4}
    assert lane_mesh("all", lanes(tiny(), seeds=range(3), depth=(4, 4, 8), zipped=True)) is None
    assert sizes("all", seeds(1)) == {"lane": 1, "env": 4} and sizes(4, seeds(2)) == {"lane": 2, "env": 2}
    assert lane_mesh(1, seeds(3)) is None
    with pytest.raises(ValueError, match=r"4 do not fit \[1\] lanes of each size. Take 1 or 2, or"):
        lane_mesh(4, seeds(1, num_envs=6))


@pytest.mark.parametrize("devices", [True, 1.0, "some"])
def test_devices_are_a_number_or_all(devices):
    from deepcrl.train import lane_mesh

    with unchecked(), pytest.raises(TypeError, match="`devices` must be an integer"):
        lane_mesh(devices, seeds(4))


def test_a_sweep_refuses_a_mesh_that_does_not_fit():
    from deepcrl import Sweep

    with (
        unchecked(),
        pytest.raises(ValueError, match=r"there are \[3\] of each size, and 2 devices along the mesh's axis `lane`"),
    ):
        Sweep(seeds(3), jax.sharding.AbstractMesh((2,), ("lane",)))


def test_run_and_resume_refuse_before_anything_is_done(tmp_path):
    from deepcrl.runs import Plan, resume, run, RunFolder

    too_many = jax.local_device_count() + 1
    with pytest.raises(ValueError, match="`devices` must be"):
        run(tiny(), seeds=range(too_many), out=tmp_path / "run", devices=too_many)
    assert not (tmp_path / "run").exists()
    RunFolder(tmp_path / "run").begin(Plan(tiny(), seeds(too_many)))
    with pytest.raises(ValueError, match="`devices` must be"):
        resume(tmp_path / "run", devices=too_many)


def test_devices_with_memory_of_their_own_hold_their_share(train, monkeypatch):
    from deepcrl.train import _trainer, check_memory

    room = 3 * train.state_bytes()
    monkeypatch.setattr(_trainer, "_own_memory", lambda: room)
    check_memory([train], [12], devices=4)
    with pytest.raises(MemoryError, match=r"6 lane\(s\) need"):
        check_memory([train], [12], devices=2)
    monkeypatch.setattr(_trainer, "_own_memory", lambda: None)
    monkeypatch.setattr(_trainer, "available_memory", lambda: room)
    with pytest.raises(MemoryError, match=r"12 lane\(s\) need"):
        check_memory([train], [12], devices=4)
