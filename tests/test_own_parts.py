"""Parts of one's own live as ours do: each in a file outside the library with one registration, trained, killed, resumed
bit for bit, plotted, exported. One tiny program: an agent with a loss, an energy and a replay rule of its own."""

import dataclasses
import importlib
import os
import pathlib
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest
from strategies import registering, tiny


OWN = pathlib.Path(__file__).parent / "own"
MODULES = ("own_loss", "own_energy", "own_goals", "own_agent")
IMPORTS = [option for name in MODULES for option in ("--import", str(OWN / f"{name}.py"))]

# Dies, without a word, as the second epoch's metrics come.
KILLED = """
import os, signal, sys
for name in sys.argv[3:]:
    __import__(name)
from deepcrl import Config
from deepcrl.runs import AbstractSink, run

class Die(AbstractSink):
    def start(self, config, seeds):
        pass
    def write(self, rows):
        if rows[0]["epoch"] == 2:
            os.kill(os.getpid(), signal.SIGKILL)

config = Config.from_json(open(sys.argv[1]).read())
run(config, seeds=[0, 1], out=sys.argv[2], sinks=[Die()])
"""


@pytest.fixture(scope="module")
def config():
    """With parts of one's own, registered while the tests of this file run."""
    with registering(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path, str(OWN)])
        modules = [importlib.reload(importlib.import_module(name)) for name in MODULES]
        loss, energy, goals, agent = modules
        from deepcrl.losses import SymmetricInfoNCE
        from deepcrl.replay import Replay

        own = agent.Linear(
            energy=energy.LogDistance(),
            loss=loss.Tempered(temperature=0.5, inner=SymmetricInfoNCE()),
            replay=Replay(goals=goals.NearGoals(horizon=None)),
            step_size=0.1,
        )
        yield dataclasses.replace(tiny(epochs=3, total_env_steps=200, utd_ratio=0.5), agent=own)


@pytest.fixture(scope="module")
def straight(config, tmp_path_factory):
    """The undisturbed run and its folder."""
    from deepcrl.runs import run

    out = tmp_path_factory.mktemp("own") / "straight"
    return run(config, seeds=[0, 1], out=out), out


@pytest.fixture(scope="module")
def killed(config, tmp_path_factory):
    """The folder of the same run, killed and gone on with."""
    folder = tmp_path_factory.mktemp("own_killed")
    (folder / "config.json").write_text(config.to_json())
    command = [sys.executable, "-c", KILLED, folder / "config.json", folder / "run", *MODULES]
    path = os.pathsep.join([str(OWN), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return folder / "run"


def deepcrl(*args):
    from deepcrl.cli import main

    with pytest.raises(SystemExit) as stop:
        main([str(arg) for arg in args])
    return stop.value.code


def test_it_is_written_by_names_and_fields(config):
    from deepcrl import Config

    values = config.to_dict()["agent"]
    assert values["name"] == "Linear"
    assert values["loss"] == {"name": "Tempered", "temperature": 0.5, "inner": "symmetric_infonce"}
    assert values["energy"] == "log_distance"
    assert values["replay"]["goals"] == {"name": "NearGoals", "horizon": None}
    assert Config.from_json(config.to_json()) == config == Config.from_toml(config.to_toml())


def test_it_learns(straight):
    result, _ = straight
    losses = np.array([row["loss"] for row in result.rows]).reshape(3, 2)
    assert (losses[-1] < losses[0]).all()
    assert not result.diverged


def test_it_goes_on_bit_for_bit_after_a_kill(killed, straight):
    from deepcrl import open_run
    from deepcrl.runs import resume, WALL_CLOCK

    assert {row["epoch"] for row in open_run(killed).rows} <= {1, 2}
    resumed = resume(killed)
    result, out = straight
    timeless = lambda rows: [{name: row[name] for name in row.keys() - WALL_CLOCK} for row in rows]
    assert timeless(open_run(killed).rows) == timeless(open_run(out).rows) == timeless(result.rows)
    for lane in (0, 1):
        a, b = (jax.tree.leaves(run.state(lane).agent) for run in (resumed, result))
        assert all(np.asarray(x).tobytes() == np.asarray(y).tobytes() for x, y in zip(a, b, strict=True))


def test_it_is_plotted(straight, tmp_path):
    picture = tmp_path / "comparison.png"
    assert deepcrl("plot", straight[1], "--by", "loss", "--metric", "success_any", "loss", "--out", picture) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_it_is_exported_and_says_what_it_needs(straight, tmp_path):
    import deepcrl as library
    from deepcrl import _registry

    result, out = straight
    assert deepcrl("export", out, tmp_path / "policy", "--lane", 1) == 0
    policy = library.load_policy(tmp_path / "policy")
    observation, goal = np.full(4, 0.1, np.float32), np.full(2, 0.3, np.float32)
    own = result.trainer.policy(result.state(1))(observation, goal, key=jax.random.key(0))
    np.testing.assert_allclose(policy(observation, goal), own, rtol=1e-6)
    with registering():
        for store in (_registry._NAMED, _registry._WRITTEN):
            del store["AbstractAgent"]["Linear"]
        with pytest.raises(ValueError, match=r"'Linear'.*`deepcrl.register\(Linear\)`, or `--import MODULE`"):
            library.load_policy(tmp_path / "policy")


def test_lanes_differ_in_its_numbers_and_parts(config):
    from deepcrl import lanes
    from deepcrl.losses import InfoNCE

    assert lanes(config, step_size=[0.1, 0.2], noise=[0.1]).hypers.step_size.tolist() == pytest.approx([0.1, 0.2])
    assert len(lanes(config, loss=[config.agent.loss, InfoNCE()])) == 2


def test_the_command_line_names_them(config, monkeypatch):
    from deepcrl.cli import _train

    seen = []
    monkeypatch.setattr(_train, "run", lambda config, **settings: seen.append(config) or sys.exit(0))
    parts = [
        "--agent",
        "Linear",
        "--loss",
        "Tempered:temperature=0.5:inner=symmetric_infonce",
        "--energy",
        "log_distance",
    ]
    deepcrl(*IMPORTS, "train", "point_u_maze", *parts, "--step-size", "0.1")
    assert (seen[0].agent.loss, seen[0].agent.energy) == (config.agent.loss, config.agent.energy)
    assert seen[0].agent.step_size == 0.1
