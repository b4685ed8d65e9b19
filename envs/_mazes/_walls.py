"""Walls of a maze as few large boxes."""

from typing import TYPE_CHECKING

import numpy as np

from ._maze import Maze


if TYPE_CHECKING:
    import mujoco


Rectangle = tuple[int, int, int, int]
_INWARD = ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0))  # of the four boxes of the fence
_UNSEEN = 3  # a group of geoms that renderers leave out


def wall_rectangles(maze: Maze) -> list[Rectangle]:
    """Disjoint rectangles `(first row, first column, last row, last column)` that cover the walls and nothing else.

    The first four are the fence, the outermost cells: first row, last row, and between them first column, last column. Of
    the walls within, the largest one that is left is taken first: a straight run of walls becomes one box, so that a
    simulator tests one contact where it would test one per cell.
    """
    last_row, last_column = maze.shape[0] - 1, maze.shape[1] - 1
    rectangles = [
        (0, 0, 0, last_column),
        (last_row, 0, last_row, last_column),
        (1, 0, last_row - 1, 0),
        (1, last_column, last_row - 1, last_column),
    ]
    left = maze.walls.copy()
    left[[0, -1]] = False
    left[:, [0, -1]] = False
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
    spec: "mujoco.MjSpec",
    maze: Maze,
    cell_size: float,
    colliding: list[str],
    friction: tuple[float, ...],
    reach: float,
) -> None:
    """Adds a maze to a model, cell (row, column) at `x = row * cell_size, y = column * cell_size` (m), walls half a cell
    high; they touch the `colliding` geoms and nothing else, with a pair's `friction`.

    Long boxes are costly to test: MuJoCo compares spheres around them first. So the fence, where walls are at least
    `reach` (m) high and nothing gets over it, stops what is within by planes along its inner faces; lower, its boxes
    collide by type, for which MuJoCo compares boxes first. Walls within are short, and tested by explicit pairs.
    """
    import mujoco

    def touches(wall: str) -> None:
        for geom in colliding:
            spec.add_pair(geomname1=wall, geomname2=geom).friction = friction

    height = 0.5 * cell_size
    for index, (row, column, last_row, last_column) in enumerate(wall_rectangles(maze)):
        wall = spec.worldbody.add_geom(
            name=f"wall_{index}",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=[0.5 * (row + last_row) * cell_size, 0.5 * (column + last_column) * cell_size, 0.5 * height],
            size=[0.5 * (last_row - row + 1) * cell_size, 0.5 * (last_column - column + 1) * cell_size, 0.5 * height],
            material="wall",
            contype=0,
            conaffinity=0,
        )
        if index >= len(_INWARD):
            touches(wall.name)
        elif height < reach:
            wall.contype, wall.priority = 1, 1
            wall.friction = [friction[0], friction[2], friction[3]]
        else:
            inward = np.array(_INWARD[index], float)
            face = wall.pos + inward * wall.size
            spec.worldbody.add_geom(
                name=f"fence_{index}",
                type=mujoco.mjtGeom.mjGEOM_PLANE,
                pos=face,
                zaxis=inward,
                size=[1.0, 1.0, 1.0],
                group=_UNSEEN,
                contype=0,
                conaffinity=0,
            )
            touches(f"fence_{index}")
    if height < reach:
        for geom in colliding:
            spec.geom(geom).conaffinity = 1
