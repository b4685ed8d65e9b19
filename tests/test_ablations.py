"""The recipe `ablations.py`: from settings to tables and the picture, going on after a stop, refusals."""

import csv
import json

import pytest
from recipe_runs import call, load, RECIPES, write_settings
from rich.console import Console


TINY = """
agent = { name = "CRL", depth = 4, width = 8, repr_dim = 8 }

[variants]
base = {}
relu = { activation = "relu" }

[tiny]
total_env_steps = 240
epochs = 2
seeds = 2
"""


@pytest.fixture(scope="module")
def recipe():
    return load("ablations")


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return write_settings(tmp_path_factory.mktemp("settings"), TINY)


def read(recipe, file, name):
    scale = recipe["read_scale"](file, name)
    return recipe["read_variants"](file, scale), scale


@pytest.fixture(scope="module")
def out(recipe, settings, tmp_path_factory):
    """What the recipe writes."""
    folder = tmp_path_factory.mktemp("recipe") / "ablations"
    with pytest.MonkeyPatch.context() as patch:
        call(recipe, patch, settings, folder)
    return folder


def test_tables_and_the_picture_are_written(out):
    rows = list(csv.DictReader((out / "results.csv").read_text().splitlines()))
    expected = [(name, epoch, seed) for name in ("base", "relu") for epoch in "12" for seed in "01"]
    assert [(row["variant"], row["epoch"], row["seed"]) for row in rows] == expected
    results = json.loads((out / "results.json").read_text())
    figures = {(entry["variant"], entry["metric"]): entry for entry in results["final"]}
    assert len(figures) == len(results["final"]) == 2 * 3
    for (variant, metric), entry in figures.items():
        for seed, figure in enumerate(entry["lanes"]):
            mine = [float(row[metric]) for row in rows if (row["variant"], row["seed"]) == (variant, str(seed))]
            assert figure == pytest.approx(sum(mine) / 2, abs=1e-3)
        assert entry["low"] <= entry["interquartile_mean"] <= entry["high"]
    assert set(results["seconds"]) == {"base", "relu"}
    assert (out / "success.png").stat().st_size > 5_000


def test_variants_differ_in_the_switch_alone_and_learn_differently(out):
    configs = {name: json.loads((out / name / "config.json").read_text())["config"] for name in ("base", "relu")}
    assert configs["relu"]["agent"]["trunk"].pop("activation") == "relu"
    configs["base"]["agent"]["trunk"].pop("activation")
    assert configs["base"] == configs["relu"]
    metrics = [(out / name / "metrics.jsonl").read_text().splitlines()[0] for name in ("base", "relu")]
    assert json.loads(metrics[0])["critic/loss"] != json.loads(metrics[1])["critic/loss"]


def test_a_finished_run_is_not_made_again(recipe, settings, out):
    configs, scale = read(recipe, settings, "tiny")
    before = (out / "base" / "metrics.jsonl").read_text()
    assert not recipe["train_variant"](configs["base"], scale.seeds, out / "base", Console(quiet=True))
    assert (out / "base" / "metrics.jsonl").read_text() == before
    with pytest.raises(SystemExit, match=r"holds a run with other settings.*--out"):
        recipe["train_variant"](configs["relu"], scale.seeds, out / "base", Console(quiet=True))


def test_an_unknown_scale_is_refused(recipe, settings):
    with pytest.raises(SystemExit, match="no scale 'huge'; it has tiny"):
        recipe["read_scale"](settings, "huge")


def test_a_stop_ends_the_recipe_before_its_tables(recipe, settings, monkeypatch, tmp_path):
    monkeypatch.setitem(recipe["main"].__globals__, "train_variant", lambda *arguments: True)
    with pytest.raises(SystemExit) as ended:
        call(recipe, monkeypatch, settings, tmp_path)
    assert ended.value.code == 130
    assert not list(tmp_path.iterdir())


def test_the_variants_that_come_with_it(recipe):
    from deepcrl.nn import BlockSpec

    configs, scale = read(recipe, RECIPES / "ablations.toml", "laptop")
    assert {name: config.agent.trunk for name, config in configs.items()} == {
        "base": BlockSpec(),
        "no_norm": BlockSpec(norm="none"),
        "relu": BlockSpec(activation="relu"),
        "no_residual": BlockSpec(residual=False),
    }
    assert {config.agent.depth for config in configs.values()} == {32}
    assert scale.seeds == 3
    assert all(config.updates_per_step * 25 == config.env_steps_per_step for config in configs.values())
