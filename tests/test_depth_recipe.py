"""The recipe `depth_on_a_laptop.py`: from settings to tables and pictures, going on after a stop, refusals."""

import csv
import json
import tomllib

import numpy as np
import pytest
from recipe_runs import call, load, RECIPES, write_settings
from rich.console import Console


TINY = """
env_options = { starts = "free", goals = "free" }
eval_env_options = { goals = "free" }
agent = { name = "CRL", width = 8, repr_dim = 8 }

[tiny]
total_env_steps = 240
epochs = 2
seeds = 2
episodes_per_cell = 2

[tiny.sets] # compiling is all that takes time here; lanes of several depths have tests of their own
depths = [{ depth = 4 }]
widths = [{ depth = 4, width = 4 }]
"""


@pytest.fixture(scope="module")
def recipe():
    return load("depth_on_a_laptop")


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return write_settings(tmp_path_factory.mktemp("settings"), TINY)


DRAWN = ("plot_cells", "plot_goal_values", "plot_trajectories")


@pytest.fixture(scope="module")
def drawn():
    """The titles of the pictures of mazes, which have tests of their own and are not drawn here."""
    return {}


@pytest.fixture(scope="module")
def out(recipe, drawn, settings, tmp_path_factory):
    """What the recipe writes."""
    folder = tmp_path_factory.mktemp("recipe") / "depth"
    with pytest.MonkeyPatch.context() as patch:
        for name in DRAWN:
            note = lambda trainer, states, path: drawn.update({path.name: list(states)})
            patch.setitem(recipe["report"].__globals__, name, note)
        call(recipe, patch, settings, folder)
    return folder


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_tables_and_pictures_are_written(out, drawn):
    rows = list(csv.DictReader((out / "results.csv").read_text().splitlines()))
    assert [(row["epoch"], row["network"], row["seed"]) for row in rows] == [
        (epoch, network, seed) for network in ("4 x 8", "4 x 4") for epoch in "12" for seed in "01"
    ]
    results = json.loads((out / "results.json").read_text())
    assert [(entry["metric"], entry["network"]) for entry in results["final"]] == [
        (metric, network)
        for metric in ("success_any", "success_cells", "success_far")
        for network in ("4 x 4", "4 x 8")
    ]
    for entry in results["final"]:
        expected = np.mean([float(row[entry["metric"]]) for row in rows if row["network"] == entry["network"]])
        assert entry["interquartile_mean"] == pytest.approx(expected, abs=1e-4)
        assert entry["low"] <= entry["interquartile_mean"] <= entry["high"]
    of_critics = [(rank["actor_depth"], rank["critic_depth"], rank["seed"]) for rank in results["ranks"]]
    assert of_critics == [(4, 4, 0), (4, 4, 1)]
    assert results["seconds"].keys() == {"depths", "widths"} and results["config"]["agent"]["depth"] == 4
    assert min((out / f"{name}.png").stat().st_size for name in ("success", "controls")) > 10_000
    assert drawn == {f"{name}.png": ["depth 4"] for name in ("cells", "values", "trajectories")}


def test_every_epoch_is_measured_goal_by_goal(out):
    rows = lines(out / "depths" / "measures.jsonl")
    assert [(row["epoch"], row["lane"]) for row in rows] == [(1, 0), (1, 1), (2, 0), (2, 1)]
    for row in rows:
        cells = np.array(row["by_cell"], float)
        assert np.sum(~np.isnan(cells)) == 7
        assert row["success_cells"] == pytest.approx(np.nanmean(cells))
        assert row["success_far"] == pytest.approx(np.mean([cells[3, 1], cells[3, 2], cells[3, 3]]))


def test_a_finished_run_stays_as_it_is(recipe, settings, out):
    files = [out / "depths" / name for name in ("measures.jsonl", "metrics.jsonl")]
    before = [file.read_text() for file in files]
    config, scale = recipe["read_settings"](settings, "tiny")
    assert not recipe["train_set"](config, [{"depth": 4}], scale, out / "depths", Console(quiet=True))
    assert [file.read_text() for file in files] == before


@pytest.mark.parametrize("other", [["--env", "point_u2_maze"], ["--seeds", "1"], ["--starts", "R"]])
def test_a_folder_with_other_settings_is_refused(recipe, settings, out, monkeypatch, other):
    with pytest.raises(SystemExit, match=r"holds a run with other settings.*--out"):
        call(recipe, monkeypatch, settings, out, *other)


def test_an_unknown_scale_is_refused(recipe, settings, monkeypatch, tmp_path):
    with pytest.raises(SystemExit, match="no scale 'huge'; it has tiny"):
        call(recipe, monkeypatch, settings, tmp_path, "--scale", "huge")


def test_only_mazes_have_goals_by_cell(recipe, settings, monkeypatch, tmp_path):
    monkeypatch.setitem(recipe["main"].__globals__, "PointMaze", int)
    with pytest.raises(SystemExit, match="point_u_maze is no point maze"):
        call(recipe, monkeypatch, settings, tmp_path)


def test_a_stop_ends_the_recipe_before_its_tables(recipe, settings, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(recipe["main"].__globals__, "train_set", lambda *arguments: True)
    with pytest.raises(SystemExit) as ended:
        call(recipe, monkeypatch, settings, tmp_path)
    assert ended.value.code == 130
    assert "The same command goes on" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_the_scales_that_come_with_it(recipe):
    file = RECIPES / "depth_on_a_laptop.toml"
    assert list(tomllib.loads(file.read_text())) == ["config", "laptop", "brief", "parts", "widths", "full"]
    for name, depths in (("laptop", [4, 16]), ("brief", [4, 16]), ("full", [4, 32, 8, 16])):
        for env in (None, "point_big_maze", "point_u5_maze", "point_giant_maze"):
            config, scale = recipe["read_settings"](file, name, env)
            assert [size["depth"] for size in scale.sets["depths"]] == depths
            assert config.env == (env or "point_hardest_maze")
            assert config.updates_per_step * 40 == config.env_steps_per_step


def test_networks_are_named_by_both_depths_where_they_differ(recipe):
    row = {"actor_depth": 16, "critic_depth": 4}
    assert recipe["depth_name"](row) == "actor 16, critic 4"
    assert recipe["depth_name"]({**row, "critic_depth": 16}) == "16"


@pytest.mark.parametrize("given, starts", [(None, "free"), ("R", "R")])
def test_training_starts_anywhere_or_at_r_and_evaluations_at_r(recipe, given, starts):
    config, _ = recipe["read_settings"](RECIPES / "depth_on_a_laptop.toml", "laptop", starts=given)
    train, test = config.make_env()[0], config.make_eval_env()[0]
    assert (train.starts, train.goals, test.starts, test.goals) == (starts, "free", "R", "free")


@pytest.mark.parametrize("given, share", [(None, 0.0), (0.5, 0.5)])
def test_random_goals_are_the_agents(recipe, given, share):
    config, _ = recipe["read_settings"](RECIPES / "depth_on_a_laptop.toml", "laptop", random_goals=given)
    assert config.agent.random_goals == share
