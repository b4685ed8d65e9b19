"""How several policies go about one goal."""

from collections.abc import Mapping
from pathlib import Path

from ..eval._cells import with_goals
from ..train import Trainer, TrainState
from ._panels import Cell, draw_trajectories, draw_walls, farthest_goal, maze_of, maze_panels
from ._style import save


def plot_trajectories(
    trainer: Trainer,
    states: Mapping[str, TrainState],
    path: str | Path,
    *,
    goal: Cell | None = None,
    episodes: int = 12,
    seed: int = 0,
) -> Path:
    """Draws a strip of mazes, one per state, with trajectories of its deterministic policy to one goal: coloured if
    they reach it, else grey.

    **Arguments:**

    - `trainer`: of all lanes, trained on a task in a maze.
    - `states`: of one lane each, by the title of its panel.
    - `path`: the picture to write.
    - `goal`: the (row, column) of its cell, by default the one with the longest path.
    - `episodes`: trajectories in each maze.
    - `seed`: of the starts.

    **Raises:** `TypeError` if the task is in no maze, `ValueError` for no states.
    """
    maze = maze_of(trainer)
    goal = farthest_goal(maze) if goal is None else goal
    to_goal = with_goals(trainer.eval_env, trainer.eval_env_params, [goal])  # pyright: ignore[reportArgumentType]
    figure, axes = maze_panels(maze, 1, len(states))
    for axis, (title, state) in zip(axes[0], states.items(), strict=True):
        draw_walls(axis, maze)
        reached = draw_trajectories(axis, trainer, state, to_goal, episodes, seed)
        axis.set_title(f"{title}: {reached} of {episodes} episodes reach the goal", fontsize=8)
    return save(figure, path)
