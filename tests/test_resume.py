"""A run that is stopped, killed or extended ends where an undisturbed one ends: same rows, same state, bit for bit."""

import csv
import hashlib
import json
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
from run_killed import chain
from strategies import tiny


EPOCHS = 4
LANES = 4


def config(epochs=EPOCHS):
    return tiny(epochs=epochs, total_env_steps=80 + 40 * epochs)


@pytest.fixture(scope="module")
def four():
    """Lanes of different seeds and numbers."""
    return four_of(config())


def four_of(config):
    from deepcrl import lanes

    return lanes(config, seeds=[0, 5], critic_lr=[3e-4, 1e-3])


@pytest.fixture(scope="module")
def straight(four, tmp_path_factory):
    """The undisturbed run, with its folder."""
    from deepcrl.runs import run

    out = tmp_path_factory.mktemp("straight")
    return run(config(), lanes=four, out=out), out


@pytest.fixture(scope="module")
def stopped(four, tmp_path_factory):
    """The folder of the same run, stopped after two epochs."""
    from deepcrl.runs import AbstractSink, run

    class Stop(AbstractSink):
        def start(self, config, lanes):
            pass

        def write(self, rows):
            if rows[0]["epoch"] == 2:
                signal.raise_signal(signal.SIGTERM)

    out = tmp_path_factory.mktemp("stopped")
    result = run(config(), lanes=four, out=out, sinks=[Stop()])
    assert result.interrupted and len(result.rows) == 2 * LANES
    return out


@pytest.fixture
def copy(stopped, tmp_path):
    return shutil.copytree(stopped, tmp_path / "run")


def timeless(rows):
    from deepcrl.runs import WALL_CLOCK

    return [{name: value for name, value in row.items() if name not in WALL_CLOCK} for row in rows]


def table(folder):
    with open(folder / "metrics.csv", newline="") as file:
        return timeless(csv.DictReader(file))


def same_states(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jr.key_data(x), jr.key_data(y)
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def same_runs(folder, straight):
    from deepcrl.runs._rows import read_rows

    result, out = straight
    assert timeless(read_rows(folder)) == timeless(read_rows(out)) == timeless(result.rows)
    assert table(folder) == table(out)


# Going on


def test_lanes_of_different_numbers_go_on_bit_for_bit(copy, straight):
    from deepcrl.runs import resume

    result = resume(copy)
    assert not result.interrupted and result.diverged == []
    same_runs(copy, straight)
    same_states(result.states, straight[0].states)
    assert result.rows[-1]["seconds"] > result.rows[0]["seconds"] > 0


@pytest.mark.slow
def test_lanes_of_different_depth_go_on_bit_for_bit(tmp_path):
    """A program of several depths takes minutes to compile."""
    from deepcrl import lanes
    from deepcrl.runs import resume, run

    jax.config.update("jax_disable_most_optimizations", True)  # it compiles more than it runs
    long, short = (tiny(agent={"depth": 16}, epochs=n, total_env_steps=80 + 40 * n) for n in (4, 2))
    several = [lanes(config, depth=[4, 8, 12, 16]) for config in (long, short)]
    straight = run(long, lanes=several[0], out=tmp_path / "straight")
    run(short, lanes=several[1], out=tmp_path / "stopped")
    same_states(resume(tmp_path / "stopped", total_env_steps=long.total_env_steps).states, straight.states)
    same_runs(tmp_path / "stopped", (straight, tmp_path / "straight"))


def test_rows_behind_the_checkpoint_are_dropped_and_computed_again(copy, straight):
    """A kill between an epoch's metrics and its checkpoint leaves both files ahead, and perhaps half a line."""
    from deepcrl.runs import resume

    shutil.rmtree(copy / "checkpoints" / "epoch_000002")
    with open(copy / "metrics.jsonl", "a") as file:
        file.write('{"epoch": 3, "la')
    (copy / "metrics.csv").write_text("half a")
    (copy / "checkpoints" / "epoch_000002.unfinished").mkdir()
    same_states(resume(copy).states, straight[0].states)
    same_runs(copy, straight)


def test_before_the_first_checkpoint_it_begins_again(copy, straight):
    from deepcrl.runs import resume

    shutil.rmtree(copy / "checkpoints")
    same_states(resume(copy).states, straight[0].states)
    same_runs(copy, straight)


def test_a_finished_run_stays_as_it_is(straight):
    from deepcrl.runs import resume

    result, out = straight
    before = (out / "metrics.jsonl").read_bytes()
    again = resume(out)
    assert again.rows == result.rows
    same_states(again.states, result.states)
    assert (out / "metrics.jsonl").read_bytes() == before


def test_a_longer_run_begins_as_the_shorter_one_and_ends_as_if_planned(four, straight, tmp_path):
    from deepcrl import Config
    from deepcrl.runs import resume, run

    run(config(epochs=2), lanes=four_of(config(epochs=2)), out=tmp_path)
    result = resume(tmp_path, total_env_steps=config().total_env_steps + 39)  # 39: not a whole epoch, left out
    same_states(result.states, straight[0].states)
    same_runs(tmp_path, straight)
    assert Config.from_dict(json.loads((tmp_path / "config.json").read_text())["config"]) == config()
    assert {lane.config.epochs for lane in result.sweep.lanes} == {EPOCHS}


def test_the_policy_of_a_lane_tells_the_numbers_that_it_was_trained_with(straight):
    from deepcrl import open_run

    told = [policy.config["agent"]["critic_lr"] for policy in open_run(straight[1]).policies()]
    assert told == [3e-4, 3e-4, 1e-3, 1e-3]


def test_without_any_checkpoint_saved_nothing_is_written_but_metrics(four, tmp_path):
    from deepcrl.runs import run, Saving

    run(config(), lanes=four, out=tmp_path, saving=Saving(save_every=0))
    assert not (tmp_path / "checkpoints").exists()


def test_a_rarer_save_still_saves_the_last_epoch(four, straight, tmp_path):
    from deepcrl.runs import run, RunFolder, Saving

    run(config(), lanes=four, out=tmp_path, saving=Saving(save_every=3, keep_last=9))
    assert RunFolder.of_run(tmp_path).store().epochs() == [3, 4]


def test_a_run_of_a_version_that_had_fewer_fields_goes_on(copy, straight):
    """Its config and its checkpoint lack a field; both mean the default."""
    from deepcrl.runs import resume

    about = json.loads((copy / "config.json").read_text())
    del about["config"]["agent"]["random_goals"], about["config"]["collect_actions"]
    (copy / "config.json").write_text(json.dumps(about))
    file = copy / "checkpoints" / "epoch_000002" / "checkpoint.json"
    document = json.loads(file.read_text())
    document["about"]["config"] = about["config"]
    del document["digest"]
    document["digest"] = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    file.write_text(json.dumps(document))
    same_states(resume(copy).states, straight[0].states)


def test_another_engine_is_told(straight, tmp_path):
    from deepcrl.runs import resume

    copy = shutil.copytree(straight[1], tmp_path / "run")
    about = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**about, "engine": "mjx"}))
    with pytest.warns(RuntimeWarning, match="began on the physics engine mjx and goes on with None"):
        resume(copy)


@pytest.mark.parametrize("options, engine", [({}, "native"), ({"engine": "mjx"}, "mjx")])
def test_the_engine_of_a_machine_is_known_before_anything_is_built(options, engine):
    from deepcrl import Config
    from deepcrl.runs._plan import engine_of

    assert engine_of(Config(env="reacher", env_options=options)) == engine  # on a CPU
    assert engine_of(config()) is None


# What is refused


@pytest.fixture
def edit(copy):
    """Edits `config.json` of the stopped run."""

    def edit(change):
        about = json.loads((copy / "config.json").read_text())
        change(about)
        (copy / "config.json").write_text(json.dumps(about))
        return copy

    return edit


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda about: about["config"].update(batch_size=9), r"`batch_size` was 8 when .* is 9 in `config\.json`"),
        (lambda about: about["config"]["agent"].update(gamma=0.5), r"`agent\.gamma` was 0\.99 .* is 0\.5"),
        (lambda about: about["config"].update(eval_env="point_u4_maze"), "`eval_env` was None"),
        (
            lambda about: about["lanes"][3].update(seed=6),
            r"`lanes` of the run were .*'seed': 5.*now they are .*'seed': 6",
        ),
        (lambda about: about["config"].update(total_env_steps=800), "epochs of 1 roll-outs"),
        (lambda about: about["config"].update(epochs=1, total_env_steps=120), "at least 2 of them"),
        (lambda about: about.pop("config"), "is not a run's: KeyError"),
        (lambda about: about["config"].update(nonsense=1), "has no field 'nonsense'"),
    ],
)
def test_a_changed_config_is_refused_by_the_fields_name(edit, change, message):
    from deepcrl.runs import resume

    folder = edit(change)
    before = (folder / "metrics.jsonl").read_bytes()
    with pytest.raises(ValueError, match=message):
        resume(folder)
    assert (folder / "metrics.jsonl").read_bytes() == before


def test_a_budget_that_adds_no_epoch_is_refused(copy):
    from deepcrl.runs import resume

    with pytest.raises(
        ValueError, match=r"`total_env_steps` = 279 does not hold one more epoch of 40 steps.*at least 280"
    ):
        resume(copy, total_env_steps=279)


def test_a_damaged_checkpoint_is_refused_and_the_one_before_it_serves(copy, straight):
    from deepcrl.runs import resume

    (copy / "checkpoints" / "epoch_000002" / "arrays" / "0" / "_METADATA").write_text("{}")
    with pytest.raises(ValueError, match=r"epoch_000002 is damaged.*Remove the folder to go on from the one before"):
        resume(copy)
    shutil.rmtree(copy / "checkpoints" / "epoch_000002")
    same_states(resume(copy).states, straight[0].states)


def test_a_run_saved_without_its_buffer_is_refused(four, tmp_path):
    from deepcrl.runs import resume, run, Saving

    run(config(epochs=2), lanes=four_of(config(epochs=2)), out=tmp_path, saving=Saving(save_buffer=False))
    with pytest.raises(ValueError, match="saved without the replay buffer"):
        resume(tmp_path, total_env_steps=1000)


def test_a_folder_without_a_run_and_one_in_use_are_refused(copy, tmp_path):
    from deepcrl.runs import resume, RunFolder

    with pytest.raises(ValueError, match="not the folder of a run"):
        resume(tmp_path)
    with RunFolder.of_run(copy).locked(), pytest.raises(ValueError, match="in use by process"):
        resume(copy)


# Lanes that diverge


def test_a_run_whose_lanes_all_diverged_ends_and_says_so(tmp_path):
    from deepcrl import lanes
    from deepcrl.runs import run
    from deepcrl.runs._rows import read_rows

    poison = lanes(config(), seeds=[0, 5], critic_lr=[1e38, 3e38])
    with pytest.warns(RuntimeWarning, match=r"4 of 4 lane\(s\) diverged .* a loss or a parameter"):
        result = run(config(), lanes=poison, out=tmp_path)
    assert result.diverged == [0, 1, 2, 3]
    assert max(row["epoch"] for row in read_rows(tmp_path)) < EPOCHS


# Devices


RESTORE = """
import sys
import jax, jax.numpy as jnp, jax.random as jr, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from deepcrl import open_run
from deepcrl.runs import load_checkpoint

assert len(jax.devices()) == 4
opened = open_run(sys.argv[1])
(one,), trainer = opened.sweep.shapes(), opened.trainer
lane = NamedSharding(Mesh(np.asarray(jax.devices()), ("lane",)), PartitionSpec("lane"))
four = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=lane), one)
path = opened.checkpoint()
(here,), (spread,) = load_checkpoint(path, (one,)), load_checkpoint(path, (four,))
for a, b in zip(jax.tree.leaves(here), jax.tree.leaves(spread), strict=True):
    assert len(b.sharding.device_set) == 4 and len(a.sharding.device_set) == 1, b.sharding
    if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
        a, b = jr.key_data(a), jr.key_data(b)
    assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
if sys.argv[2:]:
    epoch = jax.jit(jax.vmap(trainer.epoch))
    for a, b in zip(jax.tree.leaves(epoch(here)[0].agent), jax.tree.leaves(epoch(spread)[0].agent), strict=True):
        assert len(b.sharding.device_set) == 4
        np.testing.assert_allclose(a, b, atol=1e-5)
print("restored")
"""


def restore_on_four_devices(folder, *args):
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    command = [sys.executable, "-c", RESTORE, str(folder), *args]
    done = subprocess.run(command, env=os.environ | flags, capture_output=True, text=True)
    assert done.stdout.strip() == "restored", done.stderr


def test_four_lanes_of_one_device_are_restored_onto_four(stopped):
    restore_on_four_devices(stopped)


@pytest.mark.slow
def test_four_lanes_of_one_device_go_on_on_four(stopped):
    restore_on_four_devices(stopped, "and an epoch")


# Kills


def killed_run(tmp_path, epochs, kills, seed):
    """A run of one lane, killed and resumed, and the same run undisturbed, whose programs the others load."""
    from deepcrl.cli import main
    from deepcrl.runs import RunFolder
    from deepcrl.runs._rows import read_rows

    sizes = (
        "--width 8 --depth 8 --repr-dim 8 --num-envs 4 --rollout-length 10 --episode-length 20 --buffer-length 40 "
        "--prefill-length 20 --batch-size 8 --eval-envs 4"
    ).split()
    length = ["--epochs", epochs, "--total-env-steps", 80 + 40 * epochs, "--no-plots"]
    args = ["train", "point_u_maze", *sizes, *length, "--out"]
    log = tmp_path / "said"
    with pytest.raises(SystemExit, match=r"^0$"):
        main(list(map(str, [*args, tmp_path / "straight"])))
    status, seen = chain(tmp_path / "killed", [*args, tmp_path / "killed"], log, kills, seed)
    assert status == 0, log.read_text()

    assert timeless(read_rows(tmp_path / "killed")) == timeless(read_rows(tmp_path / "straight"))
    assert table(tmp_path / "killed") == table(tmp_path / "straight")
    digests = []
    for name in ("killed", "straight"):
        store = RunFolder.of_run(tmp_path / name).store()
        assert store.last() == store.at(epochs)
        digests.append(leaf_bytes(tmp_path / name, store.at(epochs)))
        left = {path.name for path in store.path.iterdir()} - {store.at(epoch).name for epoch in store.epochs()}
        assert left == set()
    assert digests[0] == digests[1]
    return seen


def leaf_bytes(folder, path):
    from deepcrl import open_run
    from deepcrl.runs import load_checkpoint

    state = load_checkpoint(path, open_run(folder).sweep.shapes())
    data = jax.tree.map(lambda x: jr.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x, state)
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(data)]


@pytest.mark.slow
def test_a_run_killed_at_twenty_random_moments_ends_as_if_undisturbed(tmp_path):
    seen = killed_run(tmp_path, epochs=200, kills=20, seed=7)
    assert len(set(seen)) > 10  # the kills hit different epochs of a run that went on
