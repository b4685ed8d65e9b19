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
    assert float(page.maze_params.goal_weights[1, 3]) == 1.0
    assert page.maze_config.make_env()[0] == PointMaze(page.maze.maze, episode_length=50)
