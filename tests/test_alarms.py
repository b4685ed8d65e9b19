"""Alarms sound once for every lane and kind, where a metric leaves its interval, and never in an ordinary run."""

import json
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from strategies import tiny


SEEDS = (0, 5)
HEALTHY = {
    "alpha/alpha": 0.3,
    "critic/logits_pos": -2.0,
    "critic/logits_neg": -40.0,
    "critic/logsumexp": 0.1,
    "action_std": 0.5,
    "failed_steps": 0,
}


def row(epoch=1, lane=0, **metrics):
    return {"epoch": epoch, "lane": lane, "seed": 7 + lane, **HEALTHY, **metrics}


@pytest.mark.parametrize(
    "kind, metric, inside, outside",
    [
        ("alpha", "alpha/alpha", (1e-8, 1.0, 1e3), (9e-9, 0.0, 1001.0)),
        ("logits", "critic/logits_pos", (-1e4, 1e4), (-10001.0, 10001.0)),
        ("logits", "critic/logits_neg", (-1e4, 1e4), (-10001.0, 10001.0)),
        ("logits", "critic/logsumexp", (-1e4, 1e4), (-10001.0, 10001.0)),
        ("policy", "action_std", (math.exp(-5), 1.0), (0.0067, 0.0)),
        ("physics", "failed_steps", (0,), (1, 99)),
    ],
)
def test_each_rule_is_an_interval_of_a_metric(kind, metric, inside, outside):
    from deepcrl.runs import alarms

    for value in (*inside, None, math.nan, math.inf, -math.inf):  # not finite: the lane has diverged, another matter
        assert alarms([row(**{metric: value})]) == []
    for value in outside:
        (alarm,) = alarms([row(epoch=3, lane=1, **{metric: value})])
        assert (alarm.epoch, alarm.lane, alarm.seed, alarm.kind) == (3, 1, 8, kind)
        assert (alarm.metric, alarm.value) == (metric, value)
        assert str(alarm).startswith("lane 1 (seed 8), epoch 3: ") and str(alarm).endswith(f"{metric} = {value:.4g}")


def test_a_metric_that_an_agent_lacks_raises_none():
    from deepcrl.runs import alarms

    assert alarms([{"epoch": 1, "lane": 0, "seed": 0, "critic/loss": 1e9}]) == []


def test_every_lane_and_kind_sounds_once():
    from deepcrl.runs import alarms

    rows = [
        row(1, 0, **{"alpha/alpha": 1e9}),
        row(1, 1),
        row(2, 0, **{"alpha/alpha": 1e10, "action_std": 0.0}),
        row(2, 1, **{"alpha/alpha": 0.0}),
        row(3, 0),
        row(3, 1, **{"alpha/alpha": 0.0}),
    ]
    all_of_them = alarms(rows)
    assert [(a.epoch, a.lane, a.kind) for a in all_of_them] == [(1, 0, "alpha"), (2, 0, "policy"), (2, 1, "alpha")]
    first = alarms(rows[:2])
    assert first + alarms(rows[2:], first) == all_of_them  # as a run tells them, epoch by epoch


# In a run


@pytest.fixture(scope="module")
def loud(tmp_path_factory):
    """A run whose second lane has an alpha that one update multiplies by e^3, with what it said."""
    import io

    from rich.console import Console

    from deepcrl import lanes
    from deepcrl.runs import run

    out, said = tmp_path_factory.mktemp("loud"), io.StringIO()
    two = lanes(tiny(), seeds=SEEDS, alpha_lr=[3e-4, 3.0], target_entropy=[-0.5, 9.0], zipped=True)
    result = run(tiny(), lanes=two, out=out, console=Console(file=said, width=200))
    return result, out, said.getvalue()


def test_an_alpha_that_runs_away_is_told_once_and_the_lane_goes_on(loud):
    result, out, said = loud
    (alarm,) = [alarm for alarm in result.alarms if alarm.kind == "alpha"]
    assert (alarm.lane, alarm.seed) == (1, 5) and alarm.value > 1e3
    assert said.count("Alarm") == len(result.alarms) and str(alarm) in said
    lines = (out / "alarms.jsonl").read_text().splitlines()
    assert [json.loads(line)["message"] for line in lines] == [alarm.message for alarm in result.alarms]
    assert not result.interrupted and result.diverged == []
    assert [row["grad_steps"] for row in result.rows] == [4, 4, 8, 8]


def test_a_resumed_run_has_the_alarms_of_the_epochs_that_it_keeps(loud, tmp_path):
    import shutil

    from deepcrl.runs import resume

    copy = shutil.copytree(loud[1], tmp_path / "run")
    shutil.rmtree(copy / "checkpoints" / "epoch_000002")
    with open(copy / "alarms.jsonl", "a") as file:
        file.write('{"epoch": 2, "la')  # a kill
    assert resume(copy).alarms == loud[0].alarms
    assert (copy / "alarms.jsonl").read_text() == (loud[1] / "alarms.jsonl").read_text()


def test_a_run_without_alarms_has_no_file_of_them(tmp_path):
    """Ordinary runs of all agents: see test_agents.py."""
    from deepcrl.runs import run

    result = run(tiny(), seeds=SEEDS, out=tmp_path)
    assert result.alarms == [] and not (tmp_path / "alarms.jsonl").exists()
    assert all(0.05 < row["action_std"] < 1.0 and row["failed_steps"] == 0 for row in result.rows)


def test_a_policy_that_does_one_thing_only_is_dead():
    """By hand: weights of the last layer at zero, biases such that means are 20 and deviations e^-5."""
    from deepcrl import lanes, make_train
    from deepcrl.runs import alarms, metric_rows

    train = make_train(tiny(agent={"actor_lr": 0.0}))
    state = train.init(0)
    head = lambda s: (s.agent.policy.encoder.output.weight, s.agent.policy.encoder.output.bias)
    dead = eqx.tree_at(head, state, (jnp.zeros((4, 8)), jnp.float32([20.0, 20.0, -20.0, -20.0])))
    _, metrics = train.epoch(dead)
    assert float(metrics.action_std) < 1e-3
    rows = metric_rows(jax.tree.map(lambda leaf: leaf[None], metrics), lanes(tiny()), 1, {})
    assert "policy" in [alarm.kind for alarm in alarms(rows)]


@pytest.mark.parametrize("num_rollouts", [1, 3])
def test_the_spread_of_roll_outs_is_that_of_all_their_actions(num_rollouts):
    from deepcrl.train._collected import Spread

    rng = np.random.default_rng(0)
    actions = 0.9 + 1e-3 * rng.normal(size=(num_rollouts, 5, 4, 2)).astype(np.float32)  # little, far from zero
    actions += np.arange(num_rollouts, dtype=np.float32)[:, None, None, None] * 1e-3
    spread = jax.vmap(Spread.of)(jnp.asarray(actions)).std()
    np.testing.assert_allclose(spread, actions.astype(np.float64).std(axis=(0, 1, 2)).mean(), rtol=1e-4)
