"""Goal-reaching environments: stateless, pure, jit- and vmap-able, with the contract of Gymnax 1.0."""

if __name__ != "deepcrl.envs":
    raise ImportError(
        f"This folder is the package `deepcrl.envs` and has no other name; it was imported as `{__name__}`. "
        "Write `import deepcrl.envs`."
    )

from . import _catalogue as _catalogue
from ._api import (
    AbstractGoalEnv as AbstractGoalEnv,
    EnvState as EnvState,
    GOAL_RESETS as GOAL_RESETS,
    GoalObservation as GoalObservation,
)
from ._check import check as check, CheckReport as CheckReport, InvalidEnvironmentError as InvalidEnvironmentError
from ._mazes import Maze as Maze, MAZES as MAZES
from ._physics import PhysicsState as PhysicsState
from ._registry import (
    make as make,
    names as names,
    templates as templates,
    UnknownEnvironmentError as UnknownEnvironmentError,
)
from ._robots import AbstractRobot as AbstractRobot, Ant as Ant, Humanoid as Humanoid
from ._spaces import Box as Box
from ._tasks import (
    AbstractArena as AbstractArena,
    AbstractArm as AbstractArm,
    AbstractMujocoEnv as AbstractMujocoEnv,
    AbstractObject as AbstractObject,
    ArmCube as ArmCube,
    ArmGrasp as ArmGrasp,
    ArmReach as ArmReach,
    Ball as Ball,
    Block as Block,
    Cheetah as Cheetah,
    CheetahParams as CheetahParams,
    CubeParams as CubeParams,
    GraspParams as GraspParams,
    HandCube as HandCube,
    MazeArena as MazeArena,
    MazeArenaParams as MazeArenaParams,
    MujocoState as MujocoState,
    OpenArena as OpenArena,
    OpenArenaParams as OpenArenaParams,
    PointMaze as PointMaze,
    PointMazeParams as PointMazeParams,
    PointMazeState as PointMazeState,
    PushArena as PushArena,
    Pusher as Pusher,
    PusherParams as PusherParams,
    Reacher as Reacher,
    ReacherParams as ReacherParams,
    ReachParams as ReachParams,
    RobotParams as RobotParams,
    RobotTask as RobotTask,
    UniformBox as UniformBox,
)
from ._vector import VectorEnv as VectorEnv
from ._wrappers import (
    register_in_gymnasium as register_in_gymnasium,
    to_gymnasium as to_gymnasium,
    to_gymnax as to_gymnax,
)
