"""Experiments: what their files say, that they go on, and what their tables hold."""

import csv
import json
import tomllib
from pathlib import Path

import numpy as np
import pytest


RECIPES = sorted(Path("recipes").glob("*.toml"))
TINY = """
question = "Does depth matter?"
metrics = ["success_any", "success_far"]
last = 1
figures = ["success", "maze"]

[config]
env = "point_u_maze"
num_envs = 4
rollout_length = 10
episode_length = 20
buffer_length = 40
prefill_length = 20
batch_size = 8
eval_envs = 4
total_env_steps = 400

[config.agent]
name = "CRL"
width = 8
repr_dim = 8

[[measures]]
name = "success_by_cell"
episodes = 1

[scales.laptop]
epochs = 2
seeds = 2

[scales.laptop.sets]
depths = [{ name = "shallow" }, { depth = 8 }]
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("experiment") / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="module")
def trained(file, tmp_path_factory):
    """The experiment's folder, trained by the command of a recipe."""
    from deepcrl.experiments import main

    out = tmp_path_factory.mktemp("trained")
    main(file, "A test.", ["--out", str(out)])
    return out


def test_tables_hold_every_lane_intervals_and_differences(file, trained):
    rows = list(csv.DictReader((trained / "results.csv").read_text().splitlines()))
    told = {(row["name"], row["depth"], row["seed"], row["epoch"]) for row in rows}
    assert told == {
        (name, depth, seed, epoch)
        for name, depth in (("shallow", "4"), ("depth 8", "8"))
        for seed in "01"
        for epoch in "12"
    }
    results = json.loads((trained / "results.json").read_text())
    assert results["question"] == "Does depth matter?" and results["seconds"]["depths"] > 0
    assert {(row["name"], row["metric"]) for row in results["final"]} == {
        (name, metric) for name in ("shallow", "depth 8") for metric in ("success_any", "success_far")
    }
    for row in results["final"]:
        lanes = [float(r[row["metric"]]) for r in rows if r["name"] == row["name"] and r["epoch"] == "2"]
        np.testing.assert_allclose(row["lanes"], lanes, atol=1e-4)
        assert row["low"] <= row["interquartile_mean"] <= row["high"]
        assert ("difference" in row) == (row["name"] != "shallow")
    assert {path.name for path in trained.glob("*.png")} == {
        "depths.png",
        "cells.png",
        "values.png",
        "trajectories.png",
    }


def test_what_is_done_is_not_trained_again(file, trained, capsys):
    from deepcrl.experiments import Experiment, main, train

    before = (trained / "depths" / "metrics.jsonl").stat().st_mtime_ns
    assert train(Experiment.from_toml(file, "laptop"), trained) == ["depths"]
    assert (trained / "depths" / "metrics.jsonl").stat().st_mtime_ns == before
    with pytest.raises(SystemExit, match="holds a run with other settings"):
        main(file, None, ["--out", str(trained), "--set", "gamma=0.9"])


def test_changes_reach_all_lanes(file):
    from deepcrl.experiments import Experiment

    changes = {"gamma": 0.9, "env_options.starts": "free", "num_envs": 8}
    experiment = Experiment.from_toml(file, "laptop", seeds=3, changes=changes)
    (depths,) = experiment.sets.values()
    assert len(depths.lanes) == 6 and depths.names == ("shallow",) * 3 + ("depth 8",) * 3
    for lane in depths.lanes:
        assert (lane.config.agent.gamma, lane.config.num_envs) == (0.9, 8)
        assert dict(lane.config.env_options) == {"starts": "free"}


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("last = 1", "lats = 1", "no field 'lats'. Did you mean `last`"),
        ('figures = ["success", "maze"]', 'figures = ["sucess"]', "no figure 'sucess'. Did you mean `success`"),
        ("[config]", "[confg]", "no field 'confg'"),
        ("depth = 8", "dpeth = 8", "cannot differ in 'dpeth'. Did you mean `depth`"),
        ('name = "success_by_cell"', 'name = "success_by_cel"', "must name a known measure"),
        ("seeds = 2", "seeds = 0.5", "`seeds` must be an integer"),
        ("epochs = 2", "epochs = ", "cannot be read as TOML"),
    ],
)
def test_bad_files_are_refused_with_the_remedy(tmp_path, old, new, message):
    from deepcrl.experiments import Experiment

    file = tmp_path / "bad.toml"
    file.write_text(TINY.replace(old, new, 1))
    with pytest.raises((ValueError, TypeError), match=message):
        Experiment.from_toml(file, "laptop")


def test_an_unknown_scale_is_refused(file):
    from deepcrl.experiments import Experiment

    with pytest.raises(ValueError, match=r"no scale 'lap'\. Did you mean `laptop`"):
        Experiment.from_toml(file, "lap")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_scale_of_every_recipe_can_be_read_and_its_runs_be_opened(recipe, tmp_path):
    """Names, fields and lanes; nothing is built."""
    from deepcrl import open_run
    from deepcrl.experiments import Experiment
    from deepcrl.runs import Plan

    for scale in tomllib.loads(recipe.read_text())["scales"]:
        experiment = Experiment.from_toml(recipe, scale)
        assert all(len(named.lanes) == len(named.names) > 1 for named in experiment.sets.values())
        for named in experiment.sets.values():
            (tmp_path / "config.json").write_text(json.dumps(Plan(experiment.config, named.lanes).to_dict()))
            opened = open_run(tmp_path)
            assert (opened.config, opened.lanes) == (experiment.config, named.lanes)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_the_code_of_a_recipe_is_at_most_forty_lines(recipe):
    assert len(recipe.with_suffix(".py").read_text().splitlines()) <= 40
