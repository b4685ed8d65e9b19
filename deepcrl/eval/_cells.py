"""Success goal by goal: which cells of a maze a policy reaches."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import check_integer, check_number
from .._typing import Key, Policy, Scalar
from ..envs import Maze, PointMaze, PointMazeParams
from ._rollout import rollout_episodes


def far_cells(maze: Maze, share: float = 0.6) -> list[tuple[int, int]]:
    """The (row, column) of the free cells whose shortest path from the first start is at least `share` of the longest.

    **Raises:** `ValueError` for a share outside [0, 1].
    """
    check_number("share", share, 0.0, 1.0)
    lengths = maze.path_lengths(maze.cells("R")[0])
    return [cell for cell in maze.free if lengths[cell] >= share * lengths.max()]


def success_by_cell(
    env: PointMaze, params: PointMazeParams, policy: Policy, episodes: int, *, key: Key
) -> Float[Array, "row col"]:
    """The share of episodes with success at any step, for every free cell as the goal; not a number in walls.

    The mean over cells is the `success_any` of goals drawn from all free cells, with less noise: every goal has equally
    many episodes.

    **Arguments:**

    - `env`, `params`: the maze, with starts as `params` have them.
    - `policy`: `policy(observation, goal, *, key) -> action in [-1, 1]`, per sample.
    - `episodes`: for each cell, side by side.
    """
    check_integer("episodes", episodes)
    cells = np.argwhere(~env.maze.walls)
    weights = jnp.stack([env.cell_weights([(int(row), int(column))]) for row, column in cells])

    def success(goal_weights: Float[Array, "row col"]) -> Scalar:
        to_cell = dataclasses.replace(params, goal_weights=goal_weights)
        return rollout_episodes(env, to_cell, policy, episodes, key=key, keep_obs=False).metrics().success_any

    empty = jnp.full(env.maze.shape, jnp.nan)
    return empty.at[cells[:, 0], cells[:, 1]].set(jax.vmap(success)(weights))
