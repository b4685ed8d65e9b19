"""Success goal by goal: scripted policies reach the cells that they must."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest


@pytest.fixture(scope="module")
def maze():
    from deepcrl.envs import Maze, PointMaze

    grid = """
        1111111
        10R0001
        1011101
        10000G1
        1111111
    """
    return PointMaze(Maze.from_text(grid), episode_length=40)


@pytest.fixture(scope="module")
def pushed(maze):
    """Success by cell of a policy that pushes in one direction, or, where that is zero, away from its cell's centre."""
    from deepcrl.eval import success_by_cell

    centre = maze.to_goal(jnp.array([1.0, 2.0]))

    def measure(action):
        away = lambda observation: jnp.stack([jnp.zeros(()), jnp.sign(observation[1] - centre[1])])
        policy = lambda observation, goal, *, key: jnp.where(jnp.any(action != 0.0), action, away(observation))
        return success_by_cell(maze, maze.default_params, policy, 16, key=jr.key(0))

    return jax.jit(measure)


@pytest.mark.parametrize(
    "action, reached",
    [
        ([0.0, 1.0], {(1, 2), (1, 3), (1, 4), (1, 5)}),
        ([0.0, -1.0], {(1, 1), (1, 2)}),
        ([1.0, 0.0], {(1, 2)}),  # there is a wall
    ],
)
def test_every_cell_is_a_goal_of_its_own(maze, pushed, action, reached):
    success = np.asarray(pushed(jnp.array(action)))
    np.testing.assert_array_equal(np.isnan(success), maze.maze.walls)
    assert {cell for cell in maze.maze.free if success[cell] == 1.0} == reached
    assert np.nansum(success) == len(reached)


def test_shares_of_episodes_are_counted(pushed):
    success = pushed(jnp.zeros(2))
    assert 0.0 < success[1, 1] < 1.0
    assert success[1, 1] + success[1, 5] == 1.0  # either to the left or to the right
    assert float(success[1, 1] * 16).is_integer()


def test_far_cells_are_told_by_their_paths(maze):
    from deepcrl.eval import far_cells

    lengths = {(1, 1): 1, (1, 2): 0, (1, 3): 1, (1, 4): 2, (1, 5): 3, (2, 1): 2, (2, 5): 4}
    lengths |= {(3, 1): 3, (3, 2): 4, (3, 3): 5, (3, 4): 6, (3, 5): 5}
    assert set(far_cells(maze.maze)) == {cell for cell, length in lengths.items() if length >= 0.6 * 6}
    assert far_cells(maze.maze, 1.0) == [(3, 4)]
    assert far_cells(maze.maze, 0.0) == maze.maze.free


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_shares_out_of_range_are_refused(maze, share):
    from deepcrl.eval import far_cells

    with pytest.raises(ValueError, match="`share` must be"):
        far_cells(maze.maze, share)


def test_no_episodes_are_refused(maze):
    from deepcrl.eval import success_by_cell

    with pytest.raises(ValueError, match="`episodes` must be at least 1"):
        success_by_cell(maze, maze.default_params, lambda *args, key: jnp.zeros(2), 0, key=jr.key(0))
