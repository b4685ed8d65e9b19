"""A maze with what a policy does in it and what its critic thinks of it."""

from pathlib import Path

from ..eval._cells import with_goals
from ..train import Trainer, TrainState
from ._panels import draw_trajectories, draw_walls, farthest_goal, maze_of
from ._style import new_figure, save
from ._values import value_map


def plot_maze(
    trainer: Trainer, state: TrainState, path: str | Path, *, episodes: int = 24, seed: int = 0, title: str = ""
) -> Path:
    """Draws the maze of a task, whatever moves in it: on the left trajectories of the deterministic policy to drawn goals,
    on the right the critic's value of every place for the farthest goal, with trajectories to it.

    **Arguments:**

    - `trainer`, `state`: of one lane, trained on a task in a maze.
    - `path`: the picture to write.
    - `episodes`: trajectories on the left; a third as many on the right.
    - `seed`: of starts and goals.
    - `title`: of the picture.

    **Raises:** `TypeError` if the task is in no maze.
    """
    maze, params = maze_of(trainer), trainer.eval_env_params
    goal = farthest_goal(maze)
    to_farthest = with_goals(trainer.eval_env, params, [goal])  # pyright: ignore[reportArgumentType]
    rows, columns = maze.shape
    figure, axes = new_figure(1, 2, width=0.55 * 2 * columns + 1.6, height=0.55 * rows + 0.9)
    left, right = axes[0]

    draw_walls(left, maze)
    draw_trajectories(left, trainer, state, params, episodes, seed)
    left.set_title("trajectories (ring: start; stars: goals; grey: not reached)", fontsize=8)

    values = value_map(trainer, state, goal)
    image = right.imshow(
        values, extent=(-0.5, columns - 0.5, rows - 0.5, -0.5), cmap="viridis", interpolation="bilinear"
    )
    draw_walls(right, maze)
    draw_trajectories(right, trainer, state, to_farthest, max(1, episodes // 3), seed + 1, colour="white")
    right.set_title("critic's value for the farthest goal", fontsize=8)
    figure.colorbar(image, ax=right, fraction=0.04).ax.tick_params(labelsize=7)
    figure.suptitle(title, fontsize=10)
    return save(figure, path)
