"""Runs in folders: what is written is what `make_train` computes; nothing is lost, nothing is overwritten."""

import csv
import errno
import io
import json
import math
import os
import shutil
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from rich.console import Console
from strategies import tiny


SEEDS = (0, 5)
EPOCHS = 2
COUNTERS = ("env_steps", "grad_steps", "diverged", "failed_steps", "action_std")


@pytest.fixture(scope="module")
def recorder():
    return make_recorder()


def make_recorder(at_write=lambda: None):
    from deepcrl.runs import AbstractSink

    class Recorder(AbstractSink):
        def __init__(self):
            self.starts, self.writes = [], []

        def start(self, config, lanes):
            self.starts.append((config, [lane.seed for lane in lanes]))

        def write(self, rows):
            self.writes.append(list(rows))
            at_write()

    return Recorder()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs") / "parents" / "are made"


@pytest.fixture(scope="module")
def done(recorder, folder):
    from deepcrl.runs import run

    return run(tiny(), seeds=SEEDS, out=folder, sinks=[recorder], measures=[depth_and_noise])


def depth_and_noise(trainer, state):
    """A measure: what the trainer knows, what the state holds, and an array with a hole."""
    steps = state.env_steps.astype(jnp.float32)
    return {"half_steps": 0.5 * steps, "pair": jnp.stack([jnp.float32(trainer.spec.goal_size), jnp.float32(jnp.nan)])}


def flat(metrics, epoch):
    """The metrics of one epoch as the columns of rows are named: paths with slashes, evaluation and agent at the top."""
    columns = {name: getattr(metrics, name)[epoch] for name in COUNTERS}
    for tree in (metrics.evaluation, metrics.agent):
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            columns["/".join(str(part).lstrip(".") for part in path)] = leaf[epoch]
    return columns


# What is written


def test_the_config_file_gives_back_the_run(done, folder):
    from deepcrl import Config

    about = json.loads((folder / "config.json").read_text())
    assert Config.from_dict(about["config"]) == tiny()
    assert [lane["seed"] for lane in about["lanes"]] == list(SEEDS)
    assert about["engine"] is None  # nothing is simulated
    assert about["versions"]["jax"] == jax.__version__
    assert set(about) >= {"config", "lanes", "saving", "versions", "python", "device"}


def test_there_is_one_row_per_epoch_and_lane(done, folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [(row["epoch"], row["lane"], row["seed"]) for row in rows] == [(1, 0, 0), (1, 1, 5), (2, 0, 0), (2, 1, 5)]
    assert rows == [{n: value for n, value in row.items() if n not in ("half_steps", "pair")} for row in done.rows]
    measured = [json.loads(line) for line in (folder / "measures.jsonl").read_text().splitlines()]
    assert measured == [
        {"epoch": e, "lane": lane, "half_steps": steps / 2, "pair": [2.0, None]}
        for e, steps in ((1, 240), (2, 400))
        for lane in (0, 1)
    ]
    assert not done.interrupted
    config = tiny()
    assert (
        [row["env_steps"] for row in rows[::2]] == [240, 400] == [config.env_steps_per_epoch * e + 80 for e in (1, 2)]
    )
    assert [row["grad_steps"] for row in rows[::2]] == [4, 8]
    assert 0 < rows[0]["seconds"] == rows[1]["seconds"] <= rows[2]["seconds"]


def test_the_numbers_are_those_of_make_train(done):
    from deepcrl import make_train
    from deepcrl.runs import WALL_CLOCK

    train = make_train(tiny())
    for index, seed in enumerate(SEEDS):
        result = train(seed)
        for epoch in range(EPOCHS):
            row = done.rows[epoch * len(SEEDS) + index]
            columns = flat(result.metrics, epoch)
            assert set(row) == {"epoch", "lane", "seed", *WALL_CLOCK, *columns, "half_steps", "pair"}
            for name, value in columns.items():
                atol = 0.13 if name.endswith("accuracy") else 1e-5  # rounding decides ties, which accuracy counts
                np.testing.assert_allclose(row[name], value, rtol=1e-5, atol=atol, err_msg=name)
        np.testing.assert_allclose(done.state(index).agent.log_alpha, result.state.agent.log_alpha, atol=1e-5)
    assert {"success_any", "critic/loss", "actor/entropy", "alpha/alpha"} < set(done.rows[0])


def test_an_opened_run_gives_all_of_it_back(done, folder):
    from deepcrl import open_run

    opened = open_run(str(folder))
    assert (opened.config, opened.lanes, opened.rows, opened.epochs) == (tiny(), done.sweep.lanes, done.rows, [1, 2])
    assert opened.trainer.spec == done.trainer.spec
    for lane in range(len(SEEDS)):
        for own, kept in zip(jax.tree.leaves(done.state(lane)), jax.tree.leaves(opened.state(lane)), strict=True):
            own, kept = (jr.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x for x in (own, kept))
            np.testing.assert_array_equal(own, kept)
    assert int(opened.state(1, epoch=1).env_steps) == 240 < int(opened.state(1, epoch="last").env_steps)
    assert (opened.policy(1, epoch=1).lane, opened.policy(1, epoch=1).epoch) == (1, 1)
    with pytest.raises(ValueError, match=r"no checkpoint of epoch 3; it has those of \[1, 2\]"):
        opened.state(epoch=3)
    with pytest.raises(ValueError, match="one of the run's 2, from 0; got 2"):
        opened.state(2)


def test_the_table_holds_the_same(done, folder):
    with open(folder / "metrics.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["seed"] for row in table] == ["0", "5"] * EPOCHS
    for line, row in zip(table, done.rows, strict=True):
        assert {name: str(value) for name, value in row.items() if name not in ("half_steps", "pair")} == line


def test_a_sink_of_ones_own_sees_everything_once(done, recorder):
    assert recorder.starts == [(tiny(), list(SEEDS))]
    assert [len(rows) for rows in recorder.writes] == [len(SEEDS)] * EPOCHS
    assert [row for rows in recorder.writes for row in rows] == done.rows


def test_numbers_that_are_not_finite_are_null_in_valid_json():
    from deepcrl import lanes, Metrics
    from deepcrl.eval import EvalMetrics
    from deepcrl.runs import metric_rows

    def of(value):
        steps = jnp.int32(7)
        counts = {"env_steps": steps, "grad_steps": steps, "failed_steps": steps, "diverged": jnp.bool_(False)}
        return Metrics(**counts, action_std=value, agent={"loss": value}, evaluation=EvalMetrics(*[value] * 6))

    values = [math.nan, math.inf, -math.inf, 0.5]
    four = lanes(tiny(), seeds=[1, 2, 3, 4])
    rows = metric_rows(jax.vmap(of)(jnp.asarray(values)), four, epoch=3, measured={"seconds": 0.123})
    assert [row["success_any"] for row in rows] == [None, None, None, 0.5]
    assert [row["seed"] for row in rows] == [1, 2, 3, 4]
    assert {row["epoch"] for row in rows} == {3} and {row["env_steps"] for row in rows} == {7}
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows


# What is refused, before anything is compiled


@pytest.fixture
def no_training(monkeypatch):
    """The loop of training must not even be traced."""
    from deepcrl import Trainer

    def traced(*_):
        raise AssertionError("training began")

    monkeypatch.setattr(Trainer, "prefill", traced)
    monkeypatch.setattr(Trainer, "one_epoch", traced)


@pytest.fixture
def run_in(no_training):
    from deepcrl.runs import run

    return lambda out, **settings: run(tiny(), out=out, **settings)


def test_the_guard_of_these_tests_notices_training(run_in, tmp_path):
    with pytest.raises(AssertionError, match="training began"):
        run_in(tmp_path)


def test_a_folder_in_use_is_refused_and_free_again_afterwards(run_in, tmp_path):
    from deepcrl.runs import RunFolder

    with RunFolder(tmp_path).locked(), pytest.raises(ValueError, match=f"in use by process {os.getpid()} on .*Wait"):
        run_in(tmp_path)
    with pytest.raises(AssertionError, match="training began"):
        run_in(tmp_path)


def test_a_disk_too_small_is_refused_with_the_remedies(run_in, tmp_path, monkeypatch):
    from deepcrl.runs import Saving

    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(ValueError, match=r"0\.0 GB free.*`--no-save-buffer`.*`--save-every 0`"):
        run_in(tmp_path / "a")
    with pytest.raises(AssertionError, match="training began"):
        run_in(tmp_path / "b", saving=Saving(save_every=0))


def test_a_disk_that_fills_up_ends_the_run_with_the_remedy(tmp_path, monkeypatch):
    from deepcrl import lanes
    from deepcrl.runs import RunFolder

    folder = RunFolder(tmp_path)
    folder.start(tiny(), lanes(tiny()))
    folder.write([{"epoch": 1}])

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        OSError, match=r"metrics.jsonl could not be written: No space left.*make room and `deepcrl resume`"
    ):
        folder.write([{"epoch": 2}])


@pytest.mark.parametrize("name", ["config.json", "metrics.jsonl", "metrics.csv", "checkpoints"])
def test_the_folder_of_another_run_is_refused_and_left_alone(run_in, tmp_path, name):
    (tmp_path / name).write_text("precious")
    with pytest.raises(ValueError, match=rf"holds another run \({name}\).*--overwrite"):
        run_in(tmp_path)
    assert (tmp_path / name).read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_is_refused(run_in, tmp_path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(ValueError, match="is a file"):
        run_in(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "precious"


def test_a_folder_that_cannot_be_made_or_written_to_is_refused(run_in, tmp_path):
    (tmp_path / "file").write_text("precious")
    for path in (tmp_path / "file" / "run", "/proc/deepcrl", "/proc/self"):
        with pytest.raises(ValueError, match="cannot be written to"):
            run_in(path)


def test_no_seeds_are_refused(run_in, tmp_path):
    with pytest.raises(ValueError, match="`seeds` must list at least one value"):
        run_in(tmp_path / "run", seeds=())
    assert not (tmp_path / "run").exists()


def test_lanes_that_do_not_fit_are_refused_before_the_folder_is_touched(run_in, tmp_path, monkeypatch):
    from deepcrl.train import _trainer

    monkeypatch.setattr(_trainer, "available_memory", lambda: 10)
    with pytest.raises(MemoryError, match=r"lane"):
        run_in(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_overwriting_replaces_the_runs_files_and_no_others(tmp_path):
    from deepcrl import lanes
    from deepcrl.runs import RunFolder
    from deepcrl.runs._rows import read_lines

    (tmp_path / "notes.txt").write_text("mine")
    for number in (1, 2):
        folder = RunFolder(tmp_path, overwrite=True)
        folder.start(tiny(epochs=number), lanes(tiny(), seeds=[number]))
        folder.write([{"epoch": number}])
    assert read_lines(tmp_path / "metrics.jsonl") == [{"epoch": 2}]
    assert json.loads((tmp_path / "config.json").read_text())["lanes"] == [{"seed": 2, "settings": {}}]
    assert (tmp_path / "notes.txt").read_text() == "mine"


# Reading what a kill left


def test_rows_of_other_files_join_and_a_last_line_cut_short_is_left_out(tmp_path):
    from deepcrl.runs._rows import read_rows

    assert read_rows(tmp_path) == []
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 2, "lane": 0, "a": 1}\n{"epoch": 1, "lane": 0, "a": 2}\n{"epo')
    more = ({"epoch": 1, "lane": 0, "b": [3]}, {"epoch": 9, "lane": 0, "b": 4}, {"c": 5})
    (tmp_path / "measures.jsonl").write_text("".join(json.dumps(row) + "\n" for row in more))
    assert read_rows(tmp_path) == [{"epoch": 1, "lane": 0, "a": 2, "b": [3]}, {"epoch": 2, "lane": 0, "a": 1}]


def test_a_broken_line_before_the_last_is_an_error(tmp_path):
    from deepcrl.runs._rows import read_rows

    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1}\n{"epo\n{"epoch": 3}\n')
    with pytest.raises(ValueError, match=r"Line 2 of .*metrics.jsonl is not a row of JSON"):
        read_rows(tmp_path)


# Ctrl-C


def test_ctrl_c_ends_the_run_after_the_epoch_and_keeps_what_was_logged(tmp_path):
    from deepcrl import open_run
    from deepcrl.runs import run

    handler = signal.getsignal(signal.SIGINT)
    sink = make_recorder(at_write=lambda: signal.raise_signal(signal.SIGINT))
    result = run(tiny(), seeds=SEEDS, out=tmp_path, sinks=[sink])
    assert result.interrupted
    assert [row["epoch"] for row in result.rows] == [1, 1]
    assert open_run(tmp_path).rows == result.rows
    assert int(result.state(1).env_steps) == 240
    assert signal.getsignal(signal.SIGINT) is handler


def test_in_a_notebook_a_second_ctrl_c_interrupts_and_gives_the_signal_back(monkeypatch):
    from deepcrl.runs import _signals, run

    monkeypatch.setattr(_signals, "is_interactive", lambda: True)

    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    sink = make_recorder(at_write=twice)
    with pytest.raises(KeyboardInterrupt):
        run(tiny(), seeds=SEEDS, sinks=[sink])
    assert len(sink.writes) == 1
    assert signal.getsignal(signal.SIGINT) is handler


HASHING = """
import hashlib
from deepcrl.runs._signals import stop_at_signals

with stop_at_signals(lambda text: print(text, flush=True), lambda: print("in order")):
    print("begun", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # minutes in C, as XLA's compiler
"""


def test_ctrl_c_is_heard_at_once_and_the_second_ends_the_process_while_the_main_thread_is_in_c():
    with subprocess.Popen([sys.executable, "-c", HASHING], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline().startswith("Stopping after this epoch; Ctrl-C again stops at once.")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
        assert process.stdout.read() == "in order\n"


def test_lanes_that_diverged_are_told_with_what_was_not_finite():
    from deepcrl.runs._runner import _diverged_text

    shown = {"goal": jnp.ones(3), "observation": jnp.zeros((2, 4))}
    assert "1 of 2 lane(s) diverged and stopped learning: a loss" in _diverged_text(1, 2, shown)
    shown["observation"] = jnp.full((2, 4), jnp.nan)
    assert "the environment shows observations that are not finite" in _diverged_text(1, 2, shown)


# What is shown


@pytest.mark.parametrize(
    "seconds, text",
    [(8.21, "8.2 s"), (210.0, "3.5 min"), (19_200.0, "5 h 20 min"), (280_842.0, "3 d 6 h"), (86_399.0, "1 d 0 h")],
)
def test_durations_are_told_in_the_unit_that_reads_best(seconds, text):
    from deepcrl.runs._progress import duration

    assert duration(seconds) == text


@pytest.mark.parametrize("terminal", [False, True])
def test_a_log_that_is_no_terminal_gets_a_line_per_epoch(terminal):
    from deepcrl.runs._progress import EpochProgress

    said = io.StringIO()
    with EpochProgress(Console(file=said, force_terminal=terminal, width=80), epochs=3, done=1) as progress:
        progress.advance(1234.5, 30.0, 0.25, 0)
        progress.advance(1234.5, 30.0, 0.5, 2)
    lines = [line for line in said.getvalue().splitlines() if line.startswith("epoch ")]
    expected = ["epoch 2/3  1,234 env steps/s  30 updates/s  success 0.25", "epoch 3/3  1,234 env steps/s"]
    assert [line[: len(start)] for line, start in zip(lines, expected, strict=False)] == ([] if terminal else expected)
    assert terminal or "2 lane(s) diverged" in lines[1]


def test_the_table_says_how_many_evaluations_it_is_the_mean_of():
    from deepcrl.runs._progress import print_table

    said = io.StringIO()
    names = ("success_any", "success_end", "time_at_goal", "distance")
    row = {"lane": 0, "seed": 7, "env_steps": 10, **dict.fromkeys(names, 0.5)}
    print_table(Console(file=said, width=100), [{**row, "epoch": epoch} for epoch in (1, 2)])
    assert "mean of the last 2 evaluations" in said.getvalue()
