"""Tasks: what moves, what is seen, what counts as success."""

from ._arena import (
    AbstractArena as AbstractArena,
    MazeArena as MazeArena,
    MazeArenaParams as MazeArenaParams,
    OpenArena as OpenArena,
    OpenArenaParams as OpenArenaParams,
    PushArena as PushArena,
)
from ._arm import (
    AbstractArm as AbstractArm,
    ArmCube as ArmCube,
    ArmGrasp as ArmGrasp,
    ArmReach as ArmReach,
    CubeParams as CubeParams,
    GraspParams as GraspParams,
    ReachParams as ReachParams,
)
from ._boxes import UniformBox as UniformBox
from ._cheetah import Cheetah as Cheetah, CheetahParams as CheetahParams
from ._hand import HandCube as HandCube
from ._mujoco import (
    AbstractMujocoEnv as AbstractMujocoEnv,
    MujocoState as MujocoState,
    RobotParams as RobotParams,
)
from ._objects import AbstractObject as AbstractObject, Ball as Ball, Block as Block
from ._point_maze import (
    PointMaze as PointMaze,
    PointMazeParams as PointMazeParams,
    PointMazeState as PointMazeState,
)
from ._pusher import Pusher as Pusher, PusherParams as PusherParams
from ._reacher import Reacher as Reacher, ReacherParams as ReacherParams
from ._robot_task import RobotTask as RobotTask
