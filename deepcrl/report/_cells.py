"""Which cells of a maze are reached, and which are ever visited."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int

from ..envs import Maze
from ..eval import far_cells, success_by_cell
from ..eval._cells import maze_arena, task_in_maze
from ..train import Trainer, TrainState
from ._panels import cells_of, draw_walls, maze_of, maze_panels
from ._style import save


def visits_by_cell(trainer: Trainer, state: TrainState) -> Int[np.ndarray, "row col"]:
    """How many of the steps in a replay buffer were taken in each cell of the maze trained in, by what the goal is about:
    the robot, or the ball that it pushes.

    **Arguments:**

    - `trainer`, `state`: of one lane, trained on a task in a maze.

    **Raises:** `TypeError` if the task trained on is in no maze.
    """
    queue = state.queue
    stored = min(int(queue.num_added), trainer.config.buffer_length)
    cells = cells_of(task_in_maze(trainer.env), queue.data.achieved_goal[:, :stored]).reshape(-1, 2)
    visits = np.zeros(maze_arena(trainer.env).maze.shape, int)
    inside = np.clip(np.floor(cells + 0.5).astype(int), 0, np.array(visits.shape) - 1)  # robots may fly over walls
    np.add.at(visits, tuple(inside.T), 1)
    return visits


def plot_cells(
    trainer: Trainer, states: Mapping[str, TrainState], path: str | Path, *, episodes: int = 16, seed: int = 0
) -> Path:
    """Draws mazes cell by cell, a column per state: above, the share of episodes that reach the cell as their goal; below,
    the share of the replay buffer's steps that were taken in it, in the maze trained in, white where there is none. Dots
    mark the far goals.

    **Arguments:**

    - `trainer`: of all lanes, trained on a task in a maze.
    - `states`: of one lane each, by the title of its column.
    - `path`: the picture to write.
    - `episodes`: per goal.
    - `seed`: of the starts.

    **Raises:** `TypeError` if a task is in no maze, `ValueError` for no states.
    """
    maze, trained_in = maze_of(trainer), maze_arena(trainer.env).maze
    figure, axes = maze_panels(maze, 2, len(states), bar=True)

    @jax.jit
    def measure(state: TrainState) -> Float[Array, "row col"]:
        policy = trainer.policy(state)
        return success_by_cell(
            task_in_maze(trainer.eval_env), trainer.eval_env_params, policy, episodes, key=jr.key(seed)
        )

    images: tuple[Any, ...] = ()
    for (above, below), (title, state) in zip(axes.T, states.items(), strict=True):
        success, visits = np.asarray(measure(state)), visits_by_cell(trainer, state)
        visited = np.where(visits > 0, 100.0 * visits / visits.sum(), np.nan)
        images = (
            _draw_cells(above, maze, success, vmin=0.0, vmax=1.0),
            _draw_cells(below, trained_in, visited, norm="log", vmin=0.01, vmax=20.0),
        )
        above.set_title(f"{title}: success {np.nanmean(success):.2f}", fontsize=8)
        missing = int(np.sum(visits[~trained_in.walls] == 0))
        below.set_title(f"{missing} of {len(trained_in.free)} cells are not in the buffer", fontsize=8)
    for row, image, label in zip(axes, images, ("success", "% of steps in the buffer"), strict=True):
        bar = figure.colorbar(image, ax=list(row), fraction=0.03)
        bar.set_label(label, fontsize=8)
        bar.ax.tick_params(labelsize=7)
    return save(figure, path)


def _draw_cells(axis: Any, maze: Maze, cells: Float[np.ndarray, "row col"], **scale: Any) -> Any:
    image = axis.imshow(cells, cmap="viridis", interpolation="nearest", **scale)
    draw_walls(axis, maze)
    far = np.array(far_cells(maze))
    axis.plot(far[:, 1], far[:, 0], ".", color="white", markersize=4, markeredgecolor="black", markeredgewidth=0.5)
    return image
