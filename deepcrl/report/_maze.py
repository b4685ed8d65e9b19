"""A maze with what a policy does in it and what its critic thinks of it."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from ..envs import PointMaze, PointMazeState
from ..eval import rollout_episodes
from ..train import Trainer, TrainState
from ._style import COLOURS, new_figure, save


Cell = tuple[int, int]


def farthest_goal(env: PointMaze) -> Cell:
    """The goal cell with the longest shortest path from the first start cell."""
    lengths = env.maze.path_lengths(env.maze.cells("R")[0])
    return max(env.maze.cells("G"), key=lambda cell: lengths[cell])


def value_map(
    trainer: Trainer, state: TrainState, goal: Cell, *, per_cell: int = 8
) -> Float[np.ndarray, "rows columns"]:
    """The critic's value of being at rest all over a point maze, for one goal; not a number inside walls.

    **Arguments:**

    - `trainer`, `state`: of one lane, trained on a [`deepcrl.envs.PointMaze`][].
    - `goal`: the (row, column) of the goal's cell.
    - `per_cell`: points per cell and axis.
    """
    env = _point_maze(trainer)
    rows, columns = env.maze.shape
    offsets = (np.arange(per_cell) + 0.5) / per_cell - 0.5
    row_points = (np.arange(rows)[:, None] + offsets[None, :]).ravel()
    column_points = (np.arange(columns)[:, None] + offsets[None, :]).ravel()
    positions = np.stack(np.meshgrid(row_points, column_points, indexing="ij"), axis=-1).astype(np.float32)

    def value(position: Float[Array, " xy"]) -> Array:
        inner = PointMazeState(position=position, velocity=jnp.zeros(2), goal=jnp.asarray(goal, jnp.float32))
        obs = env.observe(inner, trainer.eval_env_params)
        return trainer.agent.value(state.agent, obs.observation, obs.desired_goal, state.hypers)

    values = np.array(jax.jit(jax.vmap(value))(positions.reshape(-1, 2))).reshape(positions.shape[:2])
    values[np.kron(env.maze.walls, np.ones((per_cell, per_cell), bool))] = np.nan
    return values


def plot_maze(
    trainer: Trainer, state: TrainState, path: str | Path, *, episodes: int = 24, seed: int = 0, title: str = ""
) -> Path:
    """Draws a point maze: on the left trajectories of the deterministic policy to drawn goals, on the right the critic's
    value of every place for the farthest goal, with trajectories to it.

    **Arguments:**

    - `trainer`, `state`: of one lane, trained on a [`deepcrl.envs.PointMaze`][].
    - `path`: the picture to write.
    - `episodes`: trajectories on the left; a third as many on the right.
    - `seed`: of starts and goals.
    - `title`: of the picture.

    **Raises:** `TypeError` if the environment is not a point maze.
    """
    env, params, goal = _point_maze(trainer), trainer.eval_env_params, farthest_goal(_point_maze(trainer))
    to_farthest = dataclasses.replace(params, goal_weights=env.cell_weights([goal]))
    rows, columns = env.maze.shape
    figure, axes = new_figure(1, 2, width=0.55 * 2 * columns + 1.6, height=0.55 * rows + 0.9)
    left, right = axes[0]

    _draw_walls(left, env)
    _draw_trajectories(left, trainer, state, params, episodes, seed)
    left.set_title("trajectories (stars: goals; grey: not reached)", fontsize=8)

    values = value_map(trainer, state, goal)
    image = right.imshow(
        values, extent=(-0.5, columns - 0.5, rows - 0.5, -0.5), cmap="viridis", interpolation="bilinear"
    )
    _draw_walls(right, env)
    _draw_trajectories(right, trainer, state, to_farthest, max(1, episodes // 3), seed + 1, colour="white")
    right.set_title("critic's value for the farthest goal", fontsize=8)
    figure.colorbar(image, ax=right, fraction=0.04).ax.tick_params(labelsize=7)
    figure.suptitle(title, fontsize=10)
    return save(figure, path)


def _point_maze(trainer: Trainer) -> PointMaze:
    if not isinstance(trainer.eval_env, PointMaze):
        raise TypeError(f"Only point mazes can be drawn so, got a `{type(trainer.eval_env).__name__}`.")
    return trainer.eval_env


def _draw_walls(axis: Any, env: PointMaze) -> None:
    rows, columns = env.maze.shape
    shade = np.zeros((rows, columns, 4))
    shade[env.maze.walls] = (0.25, 0.27, 0.30, 1.0)
    axis.imshow(shade, extent=(-0.5, columns - 0.5, rows - 0.5, -0.5), interpolation="nearest", zorder=2)
    for row, column in env.maze.cells("R"):
        axis.text(column, row, "R", ha="center", va="center", fontsize=8, color="#555555", zorder=3)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)


def _draw_trajectories(
    axis: Any, trainer: Trainer, state: TrainState, params: Any, episodes: int, seed: int, colour: str | None = None
) -> None:
    env = _point_maze(trainer)
    policy = trainer.policy(state)
    run = jax.jit(lambda key: rollout_episodes(env, params, policy, episodes, key=key))
    result = run(jr.key(seed))
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
