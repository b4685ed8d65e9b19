"""A point in its maze, step by step, as frames of a film."""

import jax
import jax.random as jr
import numpy as np

from .._typing import Policy
from ..envs import PointMaze, PointMazeParams
from ..eval import rollout_episodes
from ._panels import cells_of, draw_walls, maze_panels
from ._render import Frames
from ._style import COLOURS


_TRAIL = 40  # steps behind the point


def draw_maze_frames(
    env: PointMaze,
    params: PointMazeParams,
    policy: Policy,
    num_steps: int,
    *,
    seed: int = 0,
    width: int = 480,
    height: int = 360,
) -> Frames:
    """A picture before each step of a point in its maze, from episode to episode: the point, where it was, and its goal.

    **Arguments:**

    - `env`, `params`: the maze.
    - `policy`: per sample, `policy(observation, goal, key=key)`, an action in [-1, 1].
    - `num_steps`: how many.
    - `seed`: of starts, goals and chance.
    - `width`, `height`: of a picture, in pixels.

    **Raises:** `ImportError` without matplotlib.
    """
    episodes = -(-num_steps // env.episode_length)
    played = jax.jit(lambda key: rollout_episodes(env, params, policy, episodes, key=key))(jr.key(seed))
    assert played.obs is not None
    alive = np.asarray(played.alive).T
    positions = [cells_of(env, played.obs.achieved_goal[:, i])[alive[i]] for i in range(episodes)]
    goals = [cells_of(env, played.obs.desired_goal[0, i]) for i in range(episodes)]

    figure, axes = maze_panels(env.maze, 1, 1)
    axis = axes[0][0]
    figure.set_dpi(100)
    figure.set_size_inches(width / 100, height / 100)
    draw_walls(axis, env.maze)
    (trail,) = axis.plot([], [], color=COLOURS[0], linewidth=1.2, alpha=0.6, zorder=4)
    (point,) = axis.plot([], [], "o", color=COLOURS[0], markersize=8, zorder=6)
    (star,) = axis.plot([], [], "*", color=COLOURS[1], markersize=14, markeredgecolor="black", zorder=5)
    frames = []
    for places, goal in zip(positions, goals, strict=True):
        star.set_data([goal[1]], [goal[0]])
        for step in range(min(len(places), num_steps - len(frames))):
            behind = places[max(0, step - _TRAIL) : step + 1]
            trail.set_data(behind[:, 1], behind[:, 0])
            point.set_data(places[step : step + 1, 1], places[step : step + 1, 0])
            figure.canvas.draw()
            figure.set_layout_engine("none")  # laid out once
            frames.append(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy())  # pyright: ignore
    return np.stack(frames)
