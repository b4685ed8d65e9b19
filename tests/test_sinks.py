"""Sinks of other programs get every finite number once, stay offline, and say what to install."""

import sys
import time
import types
from pathlib import Path

import pytest
from strategies import tiny


ROWS = [
    {"epoch": 1, "lane": 0, "seed": 3, "env_steps": 40, "success_any": 0.5, "critic/loss": 1.25, "diverged": False},
    {"epoch": 1, "lane": 1, "seed": 4, "env_steps": 40, "success_any": 0.75, "critic/loss": None, "diverged": True},
]


def lanes_of(*seeds):
    from deepcrl import lanes

    return lanes(tiny(), seeds=seeds)


@pytest.mark.parametrize("module, sink", [("tensorboardX", "TensorBoardSink"), ("wandb", "WandbSink")])
def test_without_the_package_the_remedy_is_told(monkeypatch, tmp_path, module, sink):
    from deepcrl import runs

    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=f"pip install {module}"):
        getattr(runs, sink)(tmp_path)


def test_wandb_is_offline_and_gets_one_record_an_epoch(monkeypatch, tmp_path):
    from deepcrl.runs import WandbSink

    calls = []
    session = types.SimpleNamespace(log=lambda values, step: calls.append((values, step)))
    fake = types.SimpleNamespace(init=lambda **settings: calls.append(settings) or session)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    sink = WandbSink(tmp_path / "logs")
    sink.start(tiny(), lanes_of(3, 4))
    sink.write(ROWS)
    settings, (values, step) = calls
    assert (
        settings["mode"] == "offline"
        and settings["dir"] == str(tmp_path / "logs")
        and [lane["seed"] for lane in settings["config"]["lanes"]] == [3, 4]
    )
    assert step == 1
    assert values == {
        "env_steps": 40,
        "success_any/lane_0": 0.5,
        "critic/loss/lane_0": 1.25,
        "diverged/lane_0": False,
        "success_any/lane_1": 0.75,
        "diverged/lane_1": True,
    }


def test_tensorboard_gets_a_chart_per_metric_and_in_it_a_curve_per_lane(monkeypatch, tmp_path):
    from deepcrl.runs import TensorBoardSink

    points, texts = [], []

    class Writer:
        def __init__(self, folder, flush_secs):
            assert flush_secs == 1
            self.lane = str(Path(folder).relative_to(tmp_path))

        def add_text(self, *text):
            texts.append(text)

        def add_scalar(self, *point):
            points.append((self.lane, *point))

    monkeypatch.setitem(sys.modules, "tensorboardX", types.SimpleNamespace(SummaryWriter=Writer))
    sink = TensorBoardSink(tmp_path)
    sink.start(tiny(), lanes_of(3, 4))
    sink.write(ROWS)
    assert len(texts) == 1 and "point_u_maze" in texts[0][1]
    assert ("lane_1-seed_4", "success_any", 0.75, 40) in points and ("lane_0-seed_3", "critic/loss", 1.25, 40) in points
    assert len(points) == 5


def read_when(file, text):
    """A file's bytes once it holds the text: both programs write from threads or processes of their own."""
    deadline = time.monotonic() + 30
    while text not in (seen := file.read_bytes()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return seen


def test_the_real_tensorboard_writes_events(tmp_path):
    pytest.importorskip("tensorboardX")
    from deepcrl.runs import TensorBoardSink

    sink = TensorBoardSink(tmp_path)
    sink.start(tiny(), lanes_of(3, 4))
    sink.write(ROWS)
    zero, one = (read_when(next(tmp_path.glob(f"lane_{lane}-*/events*")), b"diverged") for lane in (0, 1))
    assert b"point_u_maze" in zero and b"critic/loss" in zero
    assert b"critic/loss" not in one  # it was not finite


def test_the_real_wandb_logs_offline(monkeypatch, tmp_path):
    wandb = pytest.importorskip("wandb")
    from deepcrl.runs import WandbSink

    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "theirs"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    sink = WandbSink(tmp_path / "logs")
    sink.start(tiny(), lanes_of(3, 4))
    try:
        sink.write(ROWS)
    finally:
        wandb.finish()
    (file,) = (tmp_path / "logs").glob("wandb/offline-run-*/run-*.wandb")
    seen = read_when(file, b"diverged/lane_1")
    assert all(name in seen for name in (b"critic/loss/lane_0", b"diverged/lane_1"))
