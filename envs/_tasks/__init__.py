"""Tasks: what moves, what is seen, what counts as success."""

from ._ant import Ant as Ant
from ._ant_objects import AntBall as AntBall, AntPush as AntPush
from ._arena import (
    AbstractArena as AbstractArena,
    MazeArena as MazeArena,
    MazeArenaParams as MazeArenaParams,
    OpenArena as OpenArena,
    OpenArenaParams as OpenArenaParams,
)
from ._humanoid import Humanoid as Humanoid
from ._mujoco import (
    AbstractMujocoEnv as AbstractMujocoEnv,
    MujocoState as MujocoState,
    RobotParams as RobotParams,
)
from ._point_maze import (
    PointMaze as PointMaze,
    PointMazeParams as PointMazeParams,
    PointMazeState as PointMazeState,
)
