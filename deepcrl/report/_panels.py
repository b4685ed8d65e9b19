"""Parts of pictures of point mazes: panels, walls, trajectories."""

import functools as ft
from typing import Any, TYPE_CHECKING

import jax
import jax.random as jr
import numpy as np

from .._typing import Key
from ..envs import PointMaze, PointMazeParams
from ..eval import Episodes, rollout_episodes
from ..train import Trainer, TrainState
from ._style import COLOURS, new_figure


if TYPE_CHECKING:
    from matplotlib.figure import Figure


Cell = tuple[int, int]


def farthest_goal(env: PointMaze) -> Cell:
    """The goal cell with the longest shortest path from the first start cell."""
    lengths = env.maze.path_lengths(env.maze.cells("R")[0])
    return max(env.maze.cells("G"), key=lambda cell: lengths[cell])


def maze_of(trainer: Trainer) -> PointMaze:
    """The maze that a trainer evaluates in. **Raises** `TypeError` for another environment."""
    if not isinstance(trainer.eval_env, PointMaze):
        raise TypeError(f"Only point mazes can be drawn so, got a `{type(trainer.eval_env).__name__}`.")
    return trainer.eval_env


@ft.partial(jax.jit, static_argnums=(0, 1))
def _episodes(trainer: Trainer, episodes: int, state: TrainState, params: PointMazeParams, key: Key) -> Episodes:
    return rollout_episodes(maze_of(trainer), params, trainer.policy(state), episodes, key=key)


def maze_panels(env: PointMaze, rows: int, columns: int, *, bar: bool = False) -> tuple["Figure", Any]:
    """A figure with so many pictures of a maze, with room for a colour bar if there is to be a `bar`, and its axes,
    `[row, column]`."""
    if not columns:
        raise ValueError("There is nothing to draw: no states were given.")
    height, width = env.maze.shape
    size = min(0.36, 9.6 / (columns * width))  # inches of a cell
    return new_figure(
        rows, columns, width=columns * (size * width + 0.1) + 0.9 * bar, height=rows * (size * height + 0.5)
    )


def draw_walls(axis: Any, env: PointMaze) -> None:
    """Walls and starts, above what is drawn already."""
    rows, columns = env.maze.shape
    shade = np.zeros((rows, columns, 4))
    shade[env.maze.walls] = (0.25, 0.27, 0.30, 1.0)
    axis.imshow(shade, extent=(-0.5, columns - 0.5, rows - 0.5, -0.5), interpolation="nearest", zorder=2)
    for row, column in env.maze.cells("R"):
        axis.text(column, row, "R", ha="center", va="center", fontsize=8, color="#555555", zorder=3)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)


def draw_trajectories(
    axis: Any,
    trainer: Trainer,
    state: TrainState,
    params: PointMazeParams,
    episodes: int,
    seed: int,
    colour: str | None = None,
) -> int:
    """Trajectories of the deterministic policy in `colour`, or else those that reach their goal in colours and the others
    in grey; returns how many reach it."""
    env, result = maze_of(trainer), _episodes(trainer, episodes, state, params, jr.key(seed))
    assert result.obs is not None
    positions: Any = env.to_position(np.asarray(result.obs.achieved_goal))
    goals: Any = env.to_position(np.asarray(result.obs.desired_goal[0]))
    reached: Any = np.asarray(result.success & result.alive).any(axis=0)
    for index in range(episodes):
        shade = colour or (COLOURS[index % 5] if reached[index] else "#9a9a9a")
        axis.plot(positions[:, index, 1], positions[:, index, 0], color=shade, linewidth=1.1, alpha=0.85, zorder=4)
        axis.plot(
            goals[index, 1],
            goals[index, 0],
            "*",
            color=shade,
            markersize=7,
            zorder=5,
            markeredgecolor="black",
            markeredgewidth=0.4,
        )
    return int(reached.sum())
