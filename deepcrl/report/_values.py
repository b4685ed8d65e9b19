"""What the critic thinks of places in a maze, and whether it counts their distance along the walls or through."""

import dataclasses
import functools as ft
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Array, Float

from .._typing import Scalar
from ..eval._cells import maze_arena, task_in_maze
from ..train import Trainer, TrainState
from ._panels import Cell, draw_walls, maze_of, maze_panels
from ._style import save


@dataclasses.dataclass(frozen=True)
class DistanceRanks:
    """Rank correlations, over all free cells of a maze as goals, of how far they are from one start."""

    path: float
    """Of minus the critic's value with the length of the shortest path: 1 for a critic that ranks goals by it."""
    straight: float
    """Of minus the critic's value with the straight-line distance."""
    between: float
    """Of path length with straight-line distance: what a critic that knows only the one gets for the other."""


def value_map(
    trainer: Trainer, state: TrainState, goal: Cell, *, per_cell: int = 8
) -> Float[np.ndarray, "rows columns"]:
    """The critic's value of being at rest all over a maze, for one goal; not a number inside walls.

    A robot stands at each place as it does at the start of an episode, without noise.

    **Arguments:**

    - `trainer`, `state`: of one lane, trained on a task in a maze.
    - `goal`: the (row, column) of the goal's cell.
    - `per_cell`: points per cell and axis.
    """
    return _mapped(trainer, state, goal, per_cell, from_cell=False)


def goal_map(
    trainer: Trainer, state: TrainState, start: Cell, *, per_cell: int = 8
) -> Float[np.ndarray, "rows columns"]:
    """The critic's value of every place of a maze as the goal, at rest in one cell; not a number inside walls.

    **Arguments:**

    - `trainer`, `state`: of one lane, trained on a task in a maze.
    - `start`: the (row, column) of the cell.
    - `per_cell`: points per cell and axis.
    """
    return _mapped(trainer, state, start, per_cell, from_cell=True)


def _mapped(
    trainer: Trainer, state: TrainState, cell: Cell, per_cell: int, *, from_cell: bool
) -> Float[np.ndarray, "rows columns"]:
    """Values all over the maze, seen from one cell, or of one cell as the goal."""
    maze = maze_of(trainer)
    rows, columns = maze.shape
    offsets = (np.arange(per_cell) + 0.5) / per_cell - 0.5
    row_points = (np.arange(rows)[:, None] + offsets[None, :]).ravel()
    column_points = (np.arange(columns)[:, None] + offsets[None, :]).ravel()
    places = np.stack(np.meshgrid(row_points, column_points, indexing="ij"), axis=-1).astype(np.float32)
    there = np.broadcast_to(np.array(cell, np.float32), places.shape)
    positions, goals = (there, places) if from_cell else (places, there)
    values = np.array(_values(trainer, state, positions.reshape(-1, 2), goals.reshape(-1, 2)))
    values = values.reshape(places.shape[:2])
    values[np.kron(maze.walls, np.ones((per_cell, per_cell), bool))] = np.nan
    return values


@ft.partial(jax.jit, static_argnums=0)
def _values(
    trainer: Trainer, state: TrainState, positions: Float[Array, "place xy"], goals: Float[Array, "place xy"]
) -> Float[Array, " place"]:
    """What the critic thinks of being at rest there."""
    env, params = task_in_maze(trainer.eval_env), trainer.eval_env_params
    size = maze_arena(env).cell_size

    def value(position: Float[Array, " xy"], goal: Float[Array, " xy"]) -> Scalar:
        obs = env.observe(env.at_rest(size * position, size * goal, params), params)  # pyright: ignore[reportArgumentType]
        return trainer.value(state, obs.observation, obs.desired_goal)

    return jax.vmap(value)(positions, goals)


def distance_ranks(trainer: Trainer, state: TrainState, start: Cell | None = None) -> DistanceRanks:
    """Spearman's rank correlation of how far the critic thinks the free cells are with how far they are.

    A critic that ranks goals by the straight line is blind to walls; one that ranks them by the path has learnt the
    maze. The start itself does not count. Contrastive critics estimate how much likelier a goal is from here than at all,
    so goals that are achieved often look farther than they are.

    **Arguments:**

    - `trainer`, `state`: of one lane, trained on a task in a maze.
    - `start`: the (row, column) of the cell, by default the maze's first start.

    ??? cite "Reference"
        ```bibtex
        @article{spearman1904association,
          title={The Proof and Measurement of Association between Two Things},
          author={Spearman, Charles},
          journal={The American Journal of Psychology},
          year={1904}
        }
        ```
    """
    maze = maze_of(trainer)
    start = maze.cells("R")[0] if start is None else start
    goals = tuple(np.array([cell for cell in maze.free if cell != start]).T)
    path = maze.path_lengths(start)[goals]
    straight = np.hypot(goals[0] - start[0], goals[1] - start[1])
    far = -goal_map(trainer, state, start, per_cell=1)[goals]
    return DistanceRanks(
        path=rank_correlation(far, path),
        straight=rank_correlation(far, straight),
        between=rank_correlation(path, straight),
    )


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's: the correlation of ranks, equals sharing their mean rank."""

    def ranks(values: np.ndarray) -> np.ndarray:
        _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
        return (np.cumsum(counts) - 0.5 * (counts - 1))[places]

    return float(np.corrcoef(ranks(first), ranks(second))[0, 1])


def plot_goal_values(
    trainer: Trainer, states: Mapping[str, TrainState], path: str | Path, *, start: Cell | None = None
) -> Path:
    """Draws what critics think of every place as the goal, seen from one cell, side by side, each with its
    [`deepcrl.report.distance_ranks`][]. Colours go from a critic's lowest value to its highest.

    **Arguments:**

    - `trainer`: of all lanes, trained on a task in a maze.
    - `states`: of one lane each, by the title of its panel.
    - `path`: the picture to write.
    - `start`: the (row, column) of the cell, by default the maze's first start.

    **Raises:** `TypeError` if the task is in no maze, `ValueError` for no states.
    """
    maze = maze_of(trainer)
    start = maze.cells("R")[0] if start is None else start
    figure, axes = maze_panels(maze, 1, len(states))
    for axis, (title, state) in zip(axes[0], states.items(), strict=True):
        values, ranks = goal_map(trainer, state, start), distance_ranks(trainer, state, start)
        rows, columns = maze.shape
        axis.imshow(values, extent=(-0.5, columns - 0.5, rows - 0.5, -0.5), cmap="viridis", interpolation="bilinear")
        draw_walls(axis, maze)
        axis.set_title(f"{title}\nrank correlation: path {ranks.path:.2f}, line {ranks.straight:.2f}", fontsize=8)
    return save(figure, path)
