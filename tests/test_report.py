"""Pictures: right arrays behind them, files that are pictures, errors with a remedy."""

import sys

import jax
import numpy as np
import pytest
from strategies import shared_programs, tiny


PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def train():
    from deepcrl import make_train

    return make_train(tiny())


@pytest.fixture(scope="module")
def state(train, tmp_path_factory):
    """An untrained lane."""
    with shared_programs(tmp_path_factory.getbasetemp() / "programs"):
        return train.init(0)


def rows(lanes=2, epochs=3):
    return [
        {
            "epoch": epoch,
            "lane": lane,
            "seed": lane,
            "env_steps": 1000 * epoch,
            "success_any": 0.1 * epoch,
            "loss": value,
        }
        for epoch in range(1, epochs + 1)
        for lane, value in zip(range(lanes), [None, 2.0], strict=False)
    ]


def assert_png(path, at_least=5_000):
    data = path.read_bytes()
    assert data.startswith(PNG)
    assert len(data) > at_least


@pytest.mark.parametrize("lanes", [1, 2])
def test_learning_curves_are_drawn(tmp_path, lanes):
    from deepcrl.report import plot_learning_curve

    path = tmp_path / "curve.png"
    assert plot_learning_curve(rows(lanes), path, metrics=["success_any", "loss"], title="a title") == path
    assert_png(path)


def test_a_picture_depends_on_its_numbers(tmp_path):
    from deepcrl.report import plot_learning_curve

    one, same, other = tmp_path / "one.png", tmp_path / "same.png", tmp_path / "other.png"
    changed = [{**row, "success_any": 0.9} for row in rows()]
    for path, data in ((one, rows()), (same, rows()), (other, changed)):
        plot_learning_curve(data, path, metrics=["success_any"])
    assert one.read_bytes() == same.read_bytes() != other.read_bytes()


def test_an_unknown_metric_is_refused_by_name(tmp_path):
    from deepcrl.report import plot_learning_curve

    with pytest.raises(ValueError, match=r"No metric is named 'sucess'; the rows hold .*success_any"):
        plot_learning_curve(rows(), tmp_path / "curve.png", metrics=["sucess"])
    assert not (tmp_path / "curve.png").exists()


def test_no_rows_are_refused(tmp_path):
    from deepcrl.report import plot_learning_curve

    with pytest.raises(ValueError, match="no rows were logged"):
        plot_learning_curve([], tmp_path / "curve.png")


@pytest.mark.parametrize("per_cell", [1, 3])
def test_value_maps_are_empty_in_walls_and_finite_elsewhere(train, state, per_cell):
    from deepcrl.report import value_map

    maze = train.eval_env.maze
    values = value_map(train, state, maze.cells("G")[0], per_cell=per_cell)
    assert values.shape == (maze.shape[0] * per_cell, maze.shape[1] * per_cell)
    walls = maze.walls.repeat(per_cell, axis=0).repeat(per_cell, axis=1)
    np.testing.assert_array_equal(np.isnan(values), walls)
    assert (values[~walls] <= 0.0).all()  # energies are negative distances
    assert len(np.unique(values[~walls])) > 0.9 * (~walls).sum()


def test_value_maps_hold_the_agents_values_and_depend_on_the_goal(train, state):
    from deepcrl.report import value_map

    env, goal = train.eval_env, train.eval_env.maze.cells("G")[-1]
    values, others = (value_map(train, state, cell, per_cell=1) for cell in (goal, env.maze.cells("R")[0]))
    for row, column in env.maze.free:
        position = env.to_goal(np.array([row, column], np.float32))
        observation = np.concatenate([position, np.zeros(2, np.float32)])
        desired = env.to_goal(np.array(goal, np.float32))
        value = train.agent.value(state.agent, *map(jax.numpy.asarray, (observation, desired)), state.hypers)
        np.testing.assert_allclose(values[row, column], value, rtol=1e-4)
        assert values[row, column] != others[row, column]


def test_mazes_are_drawn(train, state, tmp_path):
    from deepcrl.report import plot_maze

    path = tmp_path / "maze.png"
    assert plot_maze(train, state, path, episodes=3, title="a title") == path
    assert_png(path, at_least=10_000)


def test_other_environments_are_not_drawn_as_mazes(train, state, tmp_path, monkeypatch):
    from deepcrl.report import plot_maze, value_map

    monkeypatch.setattr(train, "eval_env", object())
    with pytest.raises(TypeError, match="Only point mazes"):
        value_map(train, state, (1, 1))
    with pytest.raises(TypeError, match="Only point mazes"):
        plot_maze(train, state, tmp_path / "maze.png")


@pytest.mark.parametrize("missing", ["matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"])
def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch, missing):
    from deepcrl.report import plot_learning_curve

    for name in [name for name in sys.modules if name == missing or name.startswith(f"{missing}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=r"pip install 'deepcrl\[plots\]'"):
        plot_learning_curve(rows(), tmp_path / "curve.png", metrics=["success_any"])
