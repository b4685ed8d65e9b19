"""Parts of pictures of mazes: panels, walls, trajectories."""

import functools as ft
from typing import Any, TYPE_CHECKING

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from .._typing import Key
from ..envs import Maze
from ..eval import Episodes, rollout_episodes
from ..eval._cells import maze_arena, MazeTask, MazeTaskParams
from ..train import Trainer, TrainState
from ._style import COLOURS, new_figure


if TYPE_CHECKING:
    from matplotlib.figure import Figure


Cell = tuple[int, int]


def farthest_goal(maze: Maze) -> Cell:
    """The goal cell with the longest shortest path from the first start cell."""
    lengths = maze.path_lengths(maze.cells("R")[0])
    return max(maze.cells("G"), key=lambda cell: lengths[cell])


def maze_of(trainer: Trainer) -> Maze:
    """The maze that a trainer evaluates in. **Raises** `TypeError` for a task that is in none."""
    return maze_arena(trainer.eval_env).maze


def cells_of(env: MazeTask, goals: Any) -> Any:
    """Where goals lie, in rows and columns of the maze: whole numbers at the centres of cells."""
    goals = jnp.asarray(goals)
    places = np.asarray(jax.vmap(env.goal_place)(goals.reshape(-1, goals.shape[-1])))
    return maze_arena(env).cells_of(places).reshape(*goals.shape[:-1], 2)


@ft.partial(jax.jit, static_argnums=(0, 1))
def _episodes(trainer: Trainer, episodes: int, state: TrainState, params: MazeTaskParams, key: Key) -> Episodes:
    return rollout_episodes(trainer.eval_env, params, trainer.policy(state), episodes, key=key)


def maze_panels(maze: Maze, rows: int, columns: int, *, bar: bool = False) -> tuple["Figure", Any]:
    """A figure with so many pictures of a maze, with room for a colour bar if there is to be a `bar`, and its axes,
    `[row, column]`."""
    if not columns:
        raise ValueError("There is nothing to draw: no states were given.")
    height, width = maze.shape
    size = min(0.36, 9.6 / (columns * width))  # inches of a cell
    return new_figure(
        rows, columns, width=columns * (size * width + 0.1) + 0.9 * bar, height=rows * (size * height + 0.5)
    )


def draw_walls(axis: Any, maze: Maze) -> None:
    """Walls, above what is drawn already, and a ring around every start."""
    rows, columns = maze.shape
    shade = np.zeros((rows, columns, 4))
    shade[maze.walls] = (0.25, 0.27, 0.30, 1.0)
    axis.imshow(shade, extent=(-0.5, columns - 0.5, rows - 0.5, -0.5), interpolation="nearest", zorder=2)
    starts = np.array(maze.cells("R"))
    for edge, width in (("white", 3.2), ("black", 1.4)):  # seen on any ground
        ring = {"markersize": 9, "color": "none", "markeredgecolor": edge, "markeredgewidth": width}
        axis.plot(starts[:, 1], starts[:, 0], "o", zorder=6, **ring)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)


def draw_trajectories(
    axis: Any,
    trainer: Trainer,
    state: TrainState,
    params: MazeTaskParams,
    episodes: int,
    seed: int,
    colour: str | None = None,
) -> int:
    """Trajectories of the deterministic policy in `colour` with a dark edge, which shows on any ground, or else those that
    reach their goal in colours and the others in grey; returns how many reach it."""
    from matplotlib.patheffects import Normal, Stroke

    result = _episodes(trainer, episodes, state, params, jr.key(seed))
    assert result.obs is not None
    lengths = np.asarray(result.alive).sum(axis=0)
    places = cells_of(trainer.eval_env, result.obs.achieved_goal)  # pyright: ignore[reportArgumentType]
    goals = cells_of(trainer.eval_env, result.obs.desired_goal[0])  # pyright: ignore[reportArgumentType]
    reached: Any = np.asarray(result.success & result.alive).any(axis=0)
    edge = [Stroke(linewidth=2.4, foreground="#222222"), Normal()] if colour else []
    star = {"markersize": 7, "markeredgecolor": "black", "markeredgewidth": 0.4}
    for index in range(episodes):
        shade = colour or (COLOURS[index % 5] if reached[index] else "#9a9a9a")
        path, (row, column) = places[: lengths[index], index], goals[index]
        axis.plot(path[:, 1], path[:, 0], color=shade, linewidth=1.1, alpha=0.85, zorder=4, path_effects=edge)
        axis.plot(column, row, "*", color=shade, zorder=5, **star)
    return int(reached.sum())
