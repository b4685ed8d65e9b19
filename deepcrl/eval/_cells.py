"""Success goal by goal: which cells of a maze a policy reaches."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import check_integer, check_number
from .._typing import Key, Policy, Scalar
from ..envs import Maze, MazeArena, MazeArenaParams, PointMaze, PointMazeParams, RobotParams, RobotTask
from ._rollout import rollout_episodes


MazeTask = PointMaze | RobotTask  # whose arena is a `MazeArena`
MazeTaskParams = PointMazeParams | RobotParams


def far_cells(maze: Maze, share: float = 0.6) -> list[tuple[int, int]]:
    """The (row, column) of the free cells whose shortest path from the first start is at least `share` of the longest.

    **Raises:** `ValueError` for a share outside [0, 1].
    """
    check_number("share", share, 0.0, 1.0)
    lengths = maze.path_lengths(maze.cells("R")[0])
    return [cell for cell in maze.free if lengths[cell] >= share * lengths.max()]


def task_in_maze(env: Any) -> MazeTask:
    """The task, if it is one in a maze. **Raises** `TypeError` for another."""
    if not isinstance(getattr(env, "arena", None), MazeArena):
        raise TypeError(f"Only tasks in mazes have cells and maps, and this `{type(env).__name__}` is not in one.")
    return env


def maze_arena(env: Any) -> MazeArena:
    """The maze of a task, its starts and goals. **Raises** `TypeError` for a task that is in no maze."""
    return task_in_maze(env).arena  # pyright: ignore[reportReturnType]


def with_goals(env: MazeTask, params: MazeTaskParams, cells: Sequence[tuple[int, int]]) -> MazeTaskParams:
    """The parameters of a task in a maze, with starts as they are and each of some (row, column) as likely a goal as
    another."""
    return dataclasses.replace(params, arena=maze_arena(env).with_goals(params.arena, cells))


def success_by_cell(
    env: MazeTask, params: MazeTaskParams, policy: Policy, episodes: int, *, key: Key
) -> Float[Array, "row col"]:
    """The share of episodes with success at any step, for every free cell of a maze as the goal; not a number in walls.

    The mean over cells is the `success_any` of goals drawn from all free cells, with less noise: every goal has equally
    many episodes.

    **Arguments:**

    - `env`, `params`: a task in a maze, with starts as `params` have them.
    - `policy`: `policy(observation, goal, *, key) -> action in [-1, 1]`, per sample.
    - `episodes`: for each cell, side by side.

    **Raises:** `TypeError` for a task that is in no maze.
    """
    check_integer("episodes", episodes)
    maze = maze_arena(env).maze

    def success(pair_weights: Float[Array, "cell cell"]) -> Scalar:
        to_cell = dataclasses.replace(params, arena=MazeArenaParams(pair_weights=pair_weights))
        return rollout_episodes(env, to_cell, policy, episodes, key=key, keep_obs=False).metrics().success_any

    weights = jnp.stack([with_goals(env, params, [cell]).arena.pair_weights for cell in maze.free])
    rows, columns = np.array(maze.free).T
    return jnp.full(maze.shape, jnp.nan).at[rows, columns].set(jax.vmap(success)(weights))
