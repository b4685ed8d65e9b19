"""Tasks: what moves, what is seen, what counts as success."""

from ._point_maze import (
    PointMaze as PointMaze,
    PointMazeParams as PointMazeParams,
    PointMazeState as PointMazeState,
)
