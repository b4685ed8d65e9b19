"""Which cells of a point maze are reached, and which are ever visited."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int

from ..envs import PointMaze
from ..eval import far_cells, success_by_cell
from ..train import Trainer, TrainState
from ._panels import draw_walls, maze_of, maze_panels
from ._style import save


def visits_by_cell(trainer: Trainer, state: TrainState) -> Int[np.ndarray, "row col"]:
    """How many of the steps in a replay buffer were taken in each cell of a point maze.

    **Arguments:**

    - `trainer`, `state`: of one lane, trained on a [`deepcrl.envs.PointMaze`][].
    """
    env = maze_of(trainer)
    queue = state.queue
    stored = min(int(queue.num_added), trainer.config.buffer_length)
    positions = env.to_position(np.asarray(queue.data.achieved_goal[:, :stored])).reshape(-1, 2)
    visits = np.zeros(env.maze.shape, int)
    np.add.at(visits, tuple(np.floor(positions + 0.5).astype(int).T), 1)
    return visits


def plot_cells(
    trainer: Trainer, states: Mapping[str, TrainState], path: str | Path, *, episodes: int = 16, seed: int = 0
) -> Path:
    """Draws mazes cell by cell, a column per state: above, the share of episodes that reach the cell as their goal; below,
    the share of the replay buffer's steps that were taken in it, white where there is none. Dots mark the far goals.

    **Arguments:**

    - `trainer`: of all lanes, trained on a [`deepcrl.envs.PointMaze`][].
    - `states`: of one lane each, by the title of its column.
    - `path`: the picture to write.
    - `episodes`: per goal.
    - `seed`: of the starts.

    **Raises:** `TypeError` if the environment is not a point maze, `ValueError` for no states.
    """
    env = maze_of(trainer)
    figure, axes = maze_panels(env, 2, len(states), bar=True)

    @jax.jit
    def measure(state: TrainState) -> Float[Array, "row col"]:
        policy = trainer.policy(state)
        return success_by_cell(env, trainer.eval_env_params, policy, episodes, key=jr.key(seed))

    images: tuple[Any, ...] = ()
    for (above, below), (title, state) in zip(axes.T, states.items(), strict=True):
        success, visits = np.asarray(measure(state)), visits_by_cell(trainer, state)
        visited = np.where(visits > 0, 100.0 * visits / visits.sum(), np.nan)
        images = (
            _draw_cells(above, env, success, vmin=0.0, vmax=1.0),
            _draw_cells(below, env, visited, norm="log", vmin=0.01, vmax=20.0),
        )
        above.set_title(f"{title}: success {np.nanmean(success):.2f}", fontsize=8)
        missing = int(np.sum(visits[~env.maze.walls] == 0))
        below.set_title(f"{missing} of {len(env.maze.free)} cells are not in the buffer", fontsize=8)
    for row, image, label in zip(axes, images, ("success", "% of steps in the buffer"), strict=True):
        bar = figure.colorbar(image, ax=list(row), fraction=0.03)
        bar.set_label(label, fontsize=8)
        bar.ax.tick_params(labelsize=7)
    return save(figure, path)


def _draw_cells(axis: Any, env: PointMaze, cells: Float[np.ndarray, "row col"], **scale: Any) -> Any:
    image = axis.imshow(cells, cmap="viridis", interpolation="nearest", **scale)
    draw_walls(axis, env)
    far = np.array(far_cells(env.maze))
    axis.plot(far[:, 1], far[:, 0], ".", color="white", markersize=4, markeredgecolor="black", markeredgewidth=0.5)
    return image
