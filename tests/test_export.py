"""Policies to take away act as the run's own, whole checkpoints and environments left behind; `deepcrl eval` measures."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from strategies import fresh_state, tiny, unchecked


SEEDS = (0, 5)
DEPTH, WIDTH = 4, 5  # not those of the config


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two lanes, with its folder."""
    from deepcrl import lanes
    from deepcrl.runs import run

    config = tiny()
    few = lanes(config, seeds=SEEDS, depth=[DEPTH], width=[WIDTH])
    out = tmp_path_factory.mktemp("export") / "run"
    return run(config, lanes=few, out=out), out


@pytest.fixture
def policy_folder(run, tmp_path):
    from deepcrl.runs import export_policy

    export_policy(run[1], tmp_path / "policy", lane=0)
    return tmp_path / "policy"


@pytest.mark.parametrize("lane", [0, 1])
def test_an_exported_policy_acts_as_the_run_s_own(run, tmp_path, lane):
    import deepcrl
    from deepcrl.runs import export_policy

    result, out = run
    given = export_policy(out, tmp_path / "policy", lane=lane)
    policy = deepcrl.load_policy(tmp_path / "policy")
    assert (policy.env, policy.lane, policy.epoch) == ("point_u_maze", lane, 2)
    assert policy.success == result.rows[-2 + lane]["success_any"]
    assert (policy.agent.depth, policy.agent.width) == (DEPTH, WIDTH)
    assert len(repr(policy)) < 2000 and "Array" not in repr(policy.agent)
    own = result.trainer.policy(result.state(lane))
    space = result.trainer.env.action_space(result.trainer.env_params)
    for seed in range(5):
        observation = jr.normal(jr.key(seed), (policy.spec.observation_size,))
        goal = jr.normal(jr.key(seed + 9), (policy.spec.goal_size,))
        action = policy(observation, goal)
        np.testing.assert_allclose(action, space.from_unit(own(observation, goal, key=jr.key(0))), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(action, given(observation, goal))
        np.testing.assert_array_equal(action, policy(observation.tolist(), goal.tolist()))
        np.testing.assert_allclose(
            space.from_unit(policy.acting()(observation, goal, key=jr.key(1))), action, rtol=1e-5
        )


def test_it_holds_the_actor_alone(policy_folder):
    document = json.loads((policy_folder / "checkpoint.json").read_text())
    names = list(document["leaves"])
    assert names and all(name.startswith(("state.policy.", "hypers.")) for name in names)
    assert document["about"]["spec"] == {"observation_size": 4, "goal_size": 2, "action_size": 2}


def test_it_may_be_vmapped(policy_folder):
    import deepcrl

    policy = deepcrl.load_policy(policy_folder)
    observations, goals = jr.normal(jr.key(0), (7, 4)), jr.normal(jr.key(1), (7, 2))
    one_by_one = [policy(o, g) for o, g in zip(observations, goals, strict=True)]
    np.testing.assert_allclose(jax.vmap(policy)(observations, goals), one_by_one, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shapes", [((5,), (2,)), ((4,), (3,)), ((1, 4), (1, 2)), ((), (2,))])
def test_arrays_of_other_sizes_are_refused(policy_folder, shapes):
    import deepcrl

    with pytest.raises(ValueError, match=r"of shapes \(4,\) and \(2,\), got .*jax\.vmap"):
        deepcrl.load_policy(policy_folder)(*map(np.zeros, shapes))


def test_it_needs_no_environment_and_no_run(policy_folder, tmp_path):
    """In a process of its own, where the task's name means nothing."""
    shutil.move(policy_folder, tmp_path / "moved")
    code = (
        "import sys, deepcrl; from deepcrl import _registry; _registry._NAMED.pop('AbstractGoalEnv'); "
        "policy = deepcrl.load_policy(sys.argv[1]); print(policy([0.0] * 4, [1.0, 1.0]).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "moved")], capture_output=True, text=True)
    assert done.stdout.strip() == "(2,)", done.stderr


def test_the_best_lane_and_the_best_checkpoint_are_chosen(run, tmp_path):
    from deepcrl import open_run
    from deepcrl.runs import export_policy

    result, out = run
    best_epoch = int(open_run(out).checkpoint("best").name.removeprefix("epoch_"))
    by_epoch = {epoch: [row["success_any"] for row in result.rows if row["epoch"] == epoch] for epoch in (1, 2)}
    assert np.mean(by_epoch[best_epoch]) == max(np.mean(values) for values in by_epoch.values())
    policy = export_policy(out, tmp_path / "best", best=True)
    assert (policy.epoch, policy.lane) == (best_epoch, int(np.argmax(by_epoch[best_epoch])))


@pytest.mark.parametrize("lane", [-1, 2])
def test_a_lane_that_is_not_there_is_refused(run, tmp_path, lane):
    from deepcrl.runs import export_policy

    with pytest.raises(ValueError, match="one of the run's 2"):
        export_policy(run[1], tmp_path / "policy", lane=lane)


def test_what_is_no_policy_is_refused(run, tmp_path):
    import deepcrl
    from deepcrl.runs import export_policy, load_policies, RunFolder

    with pytest.raises(ValueError, match="neither a run nor a policy"):
        load_policies(tmp_path)
    with pytest.raises(ValueError, match=r"holds no policy\. Write one by `deepcrl export"):
        deepcrl.load_policy(deepcrl.open_run(run[1]).checkpoint())
    with pytest.raises(ValueError, match=r"is the folder of a run: `deepcrl\.open_run\(.*\)\.policy\(\)`"):
        deepcrl.load_policy(run[1])
    fresh = RunFolder(tmp_path / "fresh")
    fresh.start(tiny(), deepcrl.lanes(tiny()))
    with pytest.raises(ValueError, match="has no checkpoint"):
        export_policy(tmp_path / "fresh", tmp_path / "policy")


@pytest.mark.parametrize("name", ["SAC", "TD3", "GCBC", "GCSL"])
def test_every_agent_keeps_what_it_acts_by_in_a_field_of_that_name(name):
    """Without training: the acting part of a fresh state acts as the whole state does."""
    import equinox as eqx

    from deepcrl import agents
    from deepcrl.runs._policy import _acting_part

    agent = getattr(agents, name)(depth=4, width=8)
    full = fresh_state(agent, 3, 2, 2)
    part = eqx.combine(_acting_part(full), jax.eval_shape(lambda: full))
    actions = [
        agent.act(state, jnp.ones(3), jnp.ones(2), agent.hypers(), key=jr.key(1), deterministic=True)
        for state in (full, part)
    ]
    np.testing.assert_array_equal(*actions)
    assert len(jax.tree.leaves(_acting_part(full))) < len(jax.tree.leaves(full))


# Measuring


@pytest.fixture(scope="module")
def outcomes(run):
    from deepcrl.runs import evaluate_policies, load_policies

    return evaluate_policies(load_policies(run[1], best=False), episodes=64, seed=1)


def test_outcomes_are_those_of_the_library_s_evaluation(run, outcomes):
    from deepcrl.eval import evaluate

    result, _ = run
    trainer = result.trainer
    assert {name: values.shape for name, values in outcomes.items()} == dict.fromkeys(outcomes, (2, 64))
    measure = jax.jit(
        lambda state: evaluate(trainer.eval_env, trainer.eval_env_params, trainer.policy(state), 64, key=jr.key(1))
    )
    for lane in range(2):
        metrics = measure(result.state(lane))
        for name in ("success_any", "success_end"):
            np.testing.assert_allclose(outcomes[name][lane].mean(), getattr(metrics, name), atol=0.05)
        assert set(np.unique(outcomes["success_any"])) <= {0.0, 1.0}


def test_policies_act_as_in_the_evaluations_of_their_run(run, outcomes):
    """Unless told otherwise."""
    from deepcrl.runs import evaluate_policies, load_policies

    policies = load_policies(run[1], best=False)
    sampled = [
        dataclasses.replace(policy, config={**policy.config, "eval_actions": "stochastic"}) for policy in policies
    ]
    told = evaluate_policies(policies, episodes=64, seed=1, actions="stochastic")
    for name, values in evaluate_policies(sampled, episodes=64, seed=1).items():
        np.testing.assert_array_equal(values, told[name])
    assert not np.array_equal(told["time_at_goal"], outcomes["time_at_goal"])


def test_samples_to_choose_from_need_the_critic(run, tmp_path):
    from deepcrl.runs import evaluate_policies, export_policy, load_policies

    assert evaluate_policies(load_policies(run[1]), episodes=2, actions=2)["success_any"].shape == (2, 2)
    export_policy(run[1], tmp_path / "policy", lane=0)
    with pytest.raises(ValueError, match=r"BestOf\(count=2\) chooses by the critic, which an exported policy has"):
        evaluate_policies(load_policies(tmp_path / "policy"), episodes=2, actions=2)
    with unchecked(), pytest.raises(ValueError, match="`actions` must name a known acting"):
        evaluate_policies(load_policies(tmp_path / "policy"), episodes=2, actions="sampled")


def test_a_task_of_other_sizes_is_refused(run):
    from deepcrl.runs import evaluate_policies, load_policies

    policies = load_policies(run[1])
    other = dataclasses.replace(policies[0], spec=dataclasses.replace(policies[0].spec, goal_size=9))
    with pytest.raises(ValueError, match="cannot act in point_u_maze: it is for AgentSpec"):
        evaluate_policies([other], episodes=2)


def test_the_interval_holds_the_mean_of_a_normal_law_about_as_often_as_it_says():
    """n = 400 intervals of 40 values; a binomial of p = 0.93 (short by little data) is below 0.88 with p < 1e-3."""
    from deepcrl.eval import bootstrap_interval

    draws = np.random.default_rng(0).normal(3.0, 2.0, size=(400, 40))
    ends = [bootstrap_interval(values, draws=500) for values in draws]
    covered = np.mean([low <= 3.0 <= high for low, high in ends])
    assert 0.88 < covered < 0.98


def test_intervals_are_ordered_nested_and_repeatable():
    from deepcrl.eval import bootstrap_interval

    values = np.asarray([0.1, 0.5, 0.4, 0.9])
    low, high = bootstrap_interval(values)
    assert low < values.mean() < high and (low, high) == bootstrap_interval(values)
    inner = bootstrap_interval(values, level=0.5)
    assert low < inner[0] < inner[1] < high
    assert bootstrap_interval(np.asarray([0.25])) == (0.25, 0.25)


@pytest.mark.parametrize("values, level", [([], 0.95), ([1.0], 0.0), ([1.0], 1.0)])
def test_intervals_of_nothing_are_refused(values, level):
    from deepcrl.eval import bootstrap_interval

    with pytest.raises(ValueError, match="An interval needs"):
        bootstrap_interval(np.asarray(values), level=level)


# The command line


def deepcrl(*args):
    from deepcrl.cli import main

    with pytest.raises(SystemExit) as stop:
        main([str(arg) for arg in args])
    return stop.value.code


def test_export_and_eval_from_the_command_line(run, tmp_path, capsys):
    folder = tmp_path / "policy"
    assert deepcrl("export", run[1], folder, "--best") == 0
    assert deepcrl("export", run[1], folder, "--best") == 2
    assert "is there already" in capsys.readouterr().err
    assert deepcrl("eval", folder, "--episodes", 16) == 0
    assert "1 lane(s), 16 episodes each, on point_u_maze" in capsys.readouterr().out
    assert deepcrl("eval", run[1], "--episodes", 16, "--env", "point_u4_maze") == 0
    text = capsys.readouterr().out
    assert "2 lane(s), 16 episodes each, on point_u4_maze" in text
    (found,) = re.findall(r"success_any +([\d.]+) +\[([\d.]+), ([\d.]+)\] +\(([\d.]+), ([\d.]+)\)", text)
    mean, low, high, *of_lanes = map(float, found)
    assert low <= mean <= high
    assert mean == pytest.approx(sum(of_lanes) / 2, abs=2e-3)
    assert deepcrl("eval", tmp_path, "--episodes", 16) == 2
