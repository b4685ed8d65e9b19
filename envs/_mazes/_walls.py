"""Walls of a maze as few large boxes."""

from typing import TYPE_CHECKING

import numpy as np

from ._maze import Maze


if TYPE_CHECKING:
    import mujoco


Rectangle = tuple[int, int, int, int]


def wall_rectangles(maze: Maze) -> list[Rectangle]:
    """Disjoint rectangles `(first row, first column, last row, last column)` that cover the walls and nothing else.

    The largest one that is left is taken first: a straight run of walls becomes one box, so that a simulator tests one
    contact where it would test one per cell.
    """
    left = maze.walls.copy()
    rectangles = []
    while left.any():
        best = max(_rectangles_from(left), key=lambda r: ((r[2] - r[0] + 1) * (r[3] - r[1] + 1), -r[0], -r[1]))
        left[best[0] : best[2] + 1, best[1] : best[3] + 1] = False
        rectangles.append(best)
    return rectangles


def _rectangles_from(cells: np.ndarray) -> list[Rectangle]:
    """The rectangles of true cells that start in each cell: for each height, the widest."""
    rows, columns = cells.shape
    # `runs[i, j]`: how many true cells follow each other in row i from column j on
    runs = np.zeros((rows, columns + 1), int)
    for j in range(columns - 1, -1, -1):
        runs[:, j] = np.where(cells[:, j], runs[:, j + 1] + 1, 0)
    found = []
    for i, j in zip(*np.nonzero(cells), strict=True):
        width = runs[i, j]
        for last in range(i, rows):
            width = min(width, runs[last, j])
            if not width:
                break
            found.append((int(i), int(j), int(last), int(j + width - 1)))
    return found


def add_walls(
    spec: "mujoco.MjSpec", maze: Maze, cell_size: float, colliding: list[str], friction: tuple[float, ...]
) -> None:
    """Adds a maze to a model, cell (row, column) at `x = row * cell_size, y = column * cell_size` (m), walls half a cell
    high; each wall may touch the `colliding` geoms, by explicit pairs, and nothing else."""
    import mujoco

    for index, (row, column, last_row, last_column) in enumerate(wall_rectangles(maze)):
        name = f"wall_{index}"
        spec.worldbody.add_geom(
            name=name,
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=[0.5 * (row + last_row) * cell_size, 0.5 * (column + last_column) * cell_size, 0.25 * cell_size],
            size=[
                0.5 * (last_row - row + 1) * cell_size,
                0.5 * (last_column - column + 1) * cell_size,
                0.25 * cell_size,
            ],
            material="wall",
            contype=0,
            conaffinity=0,
        )
        for geom in colliding:
            pair = spec.add_pair(geomname1=name, geomname2=geom)
            pair.friction = friction
