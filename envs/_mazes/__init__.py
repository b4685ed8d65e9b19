"""Mazes as text grids."""

from ._grids import MAZES as MAZES
from ._maze import Maze as Maze
