"""Choosing and drawing cells of a maze."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from deepcrl._typing import IntScalar, Key

from ._maze import Cell, Maze


CellChoice = str | tuple[int, int]


def choose_cells(maze: Maze, field: str, choice: CellChoice, letter: str) -> list[Cell]:
    """The cells that `choice` names: those marked by `letter`, all `"free"` ones, or a single one.

    **Raises:** `ValueError`, which names the `field`, for anything else.
    """
    if choice == letter:
        return maze.cells(letter)
    if choice == "free":
        return maze.free
    if choice not in maze.free:
        raise ValueError(
            f"`{field}` must be {letter!r} (the cells so marked), 'free' (all free cells) or the (row, column) of "
            f"one free cell, got {choice!r}. Free cells: {maze.free}."
        )
    return [choice]  # pyright: ignore[reportReturnType]


def draw_index(weights: Float[Array, " choice"], *, key: Key) -> IntScalar:
    """An index drawn with these unnormalised probabilities."""
    cumulative = jnp.cumsum(weights)
    # Strictly below the total, so that rounding never draws an index behind the last one of positive weight.
    threshold = jnp.minimum(jr.uniform(key) * cumulative[-1], jnp.nextafter(cumulative[-1], jnp.float32(0.0)))
    return jnp.sum(cumulative <= threshold)


def pair_weights(maze: Maze, starts: list[Cell], goals: list[Cell]) -> Float[np.ndarray, "cell cell"]:
    """Unnormalised probabilities of a start (row) and a goal (column), numbered as `maze.free`: all pairs alike."""
    return np.outer([cell in starts for cell in maze.free], [cell in goals for cell in maze.free]).astype(np.float32)


def stitching_weights(maze: Maze, steps: tuple[int, ...]) -> Float[np.ndarray, "cell cell"]:
    """Unnormalised probabilities of a start (row) and a goal (column) that lie `steps` cells apart on the one path from
    start to goal, forward only: each number of steps is as likely as another, and so is each place on the path.

    **Raises:** `ValueError` where the maze has no single path, or one too short for the largest number of steps.
    """
    path = _only_path(maze)
    if max(steps) >= len(path):
        raise ValueError(
            f"The path of this maze has {len(path) - 1} steps; pairs {max(steps)} steps apart do not exist."
        )
    weights = np.zeros((len(maze.free),) * 2, np.float32)
    for step in steps:
        for start, goal in zip(path, path[step:], strict=False):
            weights[maze.free.index(start), maze.free.index(goal)] += 1.0 / (len(path) - step)
    return weights


def _only_path(maze: Maze) -> list[Cell]:
    lengths = maze.path_lengths(maze.cells("R")[0])
    path = sorted(maze.free, key=lambda cell: int(lengths[cell]))
    if [int(lengths[cell]) for cell in path] != list(range(len(path))):
        raise ValueError(
            "Pairs of start and goal some steps apart need a maze that is one corridor from its start; this one has "
            f"branches:\n{maze}"
        )
    return path
