"""The page on users' own environments: its code runs as it stands."""

import pathlib
import re
import sys
import types

import jax
import numpy as np
import pytest
from strategies import registering


PAGE = pathlib.Path(__file__).parent.parent / "docs" / "usage" / "own_environment.md"


@pytest.fixture(scope="module")
def blocks():
    """The Python blocks of the page, in order."""
    return re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)


@pytest.fixture(scope="module")
def page(blocks):
    """The namespace after all blocks ran one after the other, as one module, with a registry of their own."""
    module = types.ModuleType("own_environment_page")
    with registering(), pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, module.__name__, module)
        for number, block in enumerate(blocks):
            exec(compile(block, f"{PAGE.name}, block {number}", "exec"), module.__dict__)
        yield module


def test_the_environment_has_at_most_forty_lines_of_code(blocks):
    block = next(block for block in blocks if "(AbstractGoalEnv)" in block)
    lines = [line for line in block.splitlines() if line.strip()]
    assert 10 < len(lines) <= 40
    assert all(len(line) <= 120 for line in lines)


def test_the_page_speaks_of_every_hook():
    from deepcrl.envs import AbstractGoalEnv

    section = PAGE.read_text(encoding="utf-8").partition("## The hooks")[2].partition("\n## ")[0]
    told = re.findall(r"^\*\*`(\w+)[(`]", section, re.M)
    assert sorted(told) == sorted(AbstractGoalEnv.__abstractmethods__)


def test_its_check_passes(page):
    assert page.report.env_steps == 16 * 210
    assert page.report.distinct_starts == page.report.distinct_goals == 16
    assert page.report.success_rate < 0.1  # "about 2 %": chance does not do


def test_it_trains_unchanged(page):
    result = page.result
    assert page.config.actual_updates > 50
    assert result.metrics.success_any.shape == (page.config.epochs,) == (2,)
    assert np.isfinite(result.metrics.success_any).all()
    assert ((0 <= result.metrics.success_any) & (result.metrics.success_any <= 1)).all()
    finite = jax.tree.map(lambda leaf: bool(np.isfinite(leaf).all()), result.metrics)
    assert all(jax.tree.leaves(finite)), finite
    assert int(result.state.env_steps) == page.config.actual_env_steps


def test_its_motor_cannot_hold_it_at_the_side_but_swinging_passes_there(page):
    env = page.Pendulum(episode_length=100)
    params = env.default_params
    _, state = env.reset(jax.random.key(0), params)

    def highest(push):
        def step(state, _):
            obs, state, *_ = env.step(jax.random.key(0), state, push(state.inner), params)
            return state, -obs.observation[0]  # 1 is upright

        return jax.jit(lambda state: jax.lax.scan(step, state, length=99)[1].max())(state)

    assert float(highest(lambda inner: jax.numpy.ones(1))) < 0.5
    assert float(highest(lambda inner: jax.numpy.sign(inner.speed)[None])) > 0.9


def test_its_name_stands_in_files(page):
    env, _ = page.named.make_env()
    assert env == page.Pendulum(episode_length=100)
    assert 'env = "pendulum"' in page.text


def test_its_maze_is_made_from_text(page):
    from deepcrl.envs import Maze, PointMaze

    assert isinstance(page.maze, PointMaze)
    assert page.maze.maze == Maze.from_text("11111/1R0G1/11111")
    assert page.maze_params.arena.pair_weights.tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]
    assert page.maze_config.make_env()[0] == PointMaze(page.maze.maze, episode_length=50)


@pytest.fixture(scope="module")
def robot(blocks):
    """The namespace of the page's robot alone."""
    module = types.ModuleType("own_robot_page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, module.__name__, module)
        exec(next(block for block in blocks if "(AbstractMujocoEnv)" in block), module.__dict__)
        yield module


def stepped(env, action):
    """One control step under jit, from a start drawn by key 0."""
    state = jax.jit(env.reset)(jax.random.key(0))[1]
    return jax.jit(env.step)(jax.random.key(1), state, jax.numpy.asarray(action, jax.numpy.float32))


def test_its_robot_keeps_the_contract_and_reaches_where_it_is_sent(robot):
    from deepcrl.envs import check

    env = robot.PointingArm(engine="native", episode_length=100)
    assert check(env).success_rate < 0.2
    _, state = jax.jit(env.reset)(jax.random.key(0))
    state = env.set_state(
        state, goal=0.3 * env.direction(1.2) + 0.25 * env.direction(3.0) + np.array([0, 0, 0.1], np.float32)
    )[1]
    step = jax.jit(env.step)
    for _ in range(60):  # beyond +-1: in rad, as the action space says
        *_, info = out = step(jax.random.key(1), state, jax.numpy.array([1.2, 1.8]))
        state = out[1]
    assert info["success"]


def test_actions_are_clipped_to_the_box_of_the_task(robot):
    env = robot.PointingArm(engine="native")
    act = lambda action: stepped(env, action)[1].inner.physics.act
    assert np.array_equal(act([1.5, -2.5]), act([9.0, -9.0]))
    np.testing.assert_allclose(act([1.0, -1.0]) * 2.0, act([1.5, -2.0]) * np.array([4 / 3, 1.0]), rtol=1e-5)


def test_a_step_depends_on_its_state_alone(robot):
    env = robot.PointingArm(engine="native")
    first = stepped(env, [1.0, 1.0])
    stepped(env, [-1.0, -1.0])
    again = stepped(env, [1.0, 1.0])
    assert np.abs(first[1].inner.physics.act).min() > 0.1
    jax.tree.map(np.testing.assert_array_equal, first[0], again[0])


def test_a_model_that_is_edited_is_simulated_as_edited(robot, monkeypatch):
    env = robot.PointingArm(engine="native")
    before = stepped(env, [1.0, 1.0])[0].observation
    assert env.simulator is robot.PointingArm(engine="native", episode_length=7).simulator
    monkeypatch.setattr(robot, "ARM", robot.ARM.replace('kp="10"', 'kp="40"'))
    jax.clear_caches()  # a program that was compiled stays what it is
    after = stepped(env, [1.0, 1.0])[0].observation
    assert np.abs(after - before).max() > 1e-3


@pytest.mark.parametrize(
    ("hook", "value", "message"),
    [
        (
            "control",
            np.zeros(3, np.float32),
            r"`Wrong` has 2 actuators: `control` must be float32 of shape \(2,\), got .* \(3,\)",
        ),
        ("control", np.zeros(2, np.int32), r"`control` must be float32 of shape \(2,\), got int32 of shape \(2,\)"),
        (
            "draw_episode",
            [np.zeros(n, np.float32) for n in (7, 2, 3)],
            r"2 coordinates: `qpos` of `draw_episode` .* \(7,\)",
        ),
        (
            "draw_episode",
            [np.zeros(n, np.float32) for n in (2, 1, 3)],
            r"2 degrees of freedom: `qvel` of `draw_episode`",
        ),
        ("derived", ("cfrc_ext",), "`derived` names 'cfrc_ext', which is not computed. .*Those that work: xpos"),
        ("build_model", "robot.xml", "`Wrong.build_model` must return a compiled `mujoco.MjModel`, got a `str`"),
    ],
)
def test_hooks_that_do_not_fit_the_model_are_told_so(robot, hook, value, message):
    body = property(lambda self: value) if hook == "derived" else lambda self, *args: value
    wrong = type("Wrong", (robot.PointingArm,), {hook: body})(engine="native")
    with pytest.raises((TypeError, ValueError), match=message):
        stepped(wrong, [0.0, 0.0])


def test_the_page_lists_what_is_derived():
    from deepcrl.envs._physics import _model

    section = PAGE.read_text(encoding="utf-8").partition("**`derived`**")[2].partition("Any other name")[0]
    told = re.findall(
        r"`(\w+)`", " ".join(line.split("|")[1] for line in section.splitlines() if line.startswith("| `"))
    )
    assert told == list(_model.DERIVED)
