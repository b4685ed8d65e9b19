"""Mazes as text grids."""

from ._cells import (
    CellChoice as CellChoice,
    choose_cells as choose_cells,
    draw_index as draw_index,
    pair_weights as pair_weights,
    stitching_weights as stitching_weights,
)
from ._grids import MAZES as MAZES
from ._maze import Cell as Cell, Maze as Maze
from ._walls import add_walls as add_walls, wall_rectangles as wall_rectangles
