"""Which names stand for which tasks."""

import functools as ft
import re

from deepcrl._registry import register, register_class

from ._api import AbstractGoalEnv
from ._mazes import CellChoice, Maze, MAZES
from ._physics import EngineName
from ._registry import Factory, register_family
from ._robots import Ant, Body, Humanoid
from ._tasks import (
    AbstractArena,
    AbstractObject,
    ArmCube,
    ArmGrasp,
    ArmReach,
    Ball,
    Block,
    Cheetah,
    HandCube,
    MazeArena,
    OpenArena,
    PointMaze,
    PushArena,
    Pusher,
    Reacher,
    RobotTask,
)


ANT_CELL, HUMANOID_CELL = 4.0, 2.0  # m
_OUR_OWN = ("medium_maze", "giant_maze", "room")  # of the point mass alone


def _custom_point_maze(
    maze: str,
    *,
    starts: CellChoice = "R",
    goals: CellChoice = "G",
    episode_length: int = 300,
    goal_reset: str = "resample",
    reward: str = "sparse",
) -> AbstractGoalEnv:
    options = {"episode_length": episode_length, "goal_reset": goal_reset, "reward": reward}
    return PointMaze(Maze.from_text(maze), starts, goals, **options)


def _maze_arena(maze: Maze | str, cell_size: float, starts: CellChoice, goals: CellChoice) -> MazeArena:
    return MazeArena(Maze.from_text(maze) if isinstance(maze, str) else maze, cell_size, starts, goals)


def _ant(
    arena: AbstractArena,
    *objects: AbstractObject,
    body: Body = "paper",
    episode_length: int = 1000,
    goal_reset: str = "resample",
    engine: EngineName | None = None,
    reward: str = "sparse",
) -> AbstractGoalEnv:
    """With objects the first one's place is the achieved goal."""
    options = {"episode_length": episode_length, "goal_reset": goal_reset, "engine": engine, "reward": reward}
    return RobotTask(Ant(body), arena, objects, "object" if objects else "robot", **options)


def _ant_in_maze(
    maze: Maze | str,
    *,
    starts: CellChoice = "R",
    goals: CellChoice = "G",
    body: Body = "paper",
    episode_length: int = 1000,
    goal_reset: str = "resample",
    engine: EngineName | None = None,
    reward: str = "sparse",
) -> AbstractGoalEnv:
    options = {"episode_length": episode_length, "goal_reset": goal_reset, "engine": engine, "reward": reward}
    return _ant(_maze_arena(maze, ANT_CELL, starts, goals), body=body, **options)


def _ant_push(
    *,
    episode_length: int = 1000,
    goal_reset: str = "resample",
    engine: EngineName | None = None,
    reward: str = "sparse",
) -> AbstractGoalEnv:
    options = {"episode_length": episode_length, "goal_reset": goal_reset, "engine": engine, "reward": reward}
    return RobotTask(Ant("dense"), PushArena(), (Block(),), **options)


def _humanoid(
    arena: AbstractArena,
    *,
    control_step: float = 0.015,
    body: Body = "paper",
    paper_observation: bool = False,
    episode_length: int = 1000,
    goal_reset: str = "resample",
    engine: EngineName | None = None,
    reward: str = "sparse",
) -> AbstractGoalEnv:
    options = {"episode_length": episode_length, "goal_reset": goal_reset, "engine": engine, "reward": reward}
    return RobotTask(Humanoid(control_step, body, paper_observation), arena, **options)


def _humanoid_in_maze(
    maze: Maze | str,
    *,
    starts: CellChoice = "R",
    goals: CellChoice = "G",
    control_step: float = 0.015,
    body: Body = "paper",
    paper_observation: bool = False,
    episode_length: int = 1000,
    goal_reset: str = "resample",
    engine: EngineName | None = None,
    reward: str = "sparse",
) -> AbstractGoalEnv:
    options = {"episode_length": episode_length, "goal_reset": goal_reset, "engine": engine, "reward": reward}
    robot = {"control_step": control_step, "body": body, "paper_observation": paper_observation}
    return _humanoid(_maze_arena(maze, HUMANOID_CELL, starts, goals), **robot, **options)


def _stitching_ant(name: str) -> Factory | None:
    """`ant_<maze>_gen_<k>f<k>f...`: starts and goals k cells apart."""
    match = re.fullmatch(r"ant_(\w+)_gen_((?:[1-9]\d*f)+)", name)
    if match is None or match[1] not in MAZES:
        return None
    steps = tuple(int(step) for step in match[2].split("f")[:-1])
    return ft.partial(_ant, MazeArena(MAZES[match[1]], ANT_CELL, stitching=steps))


def _published_single(name: str) -> Factory | None:
    """`ant_<maze>_single_eval`: what the published code calls `ant_<maze>_single`."""
    match = re.fullmatch(r"ant_(\w+_single)_eval", name)
    return ft.partial(_ant_in_maze, MAZES[match[1]]) if match and match[1] in MAZES else None


for _name, _maze in MAZES.items():
    register(ft.partial(PointMaze, _maze, episode_length=600 if "giant" in _name else 300), f"point_{_name}")
    if not _name.startswith(_OUR_OWN):
        register(ft.partial(_ant_in_maze, _maze), f"ant_{_name}")
register(_custom_point_maze, "point_maze")

register(ft.partial(_ant, OpenArena(10.0, 10.0)), "ant")
register(_ant_in_maze, "ant_maze")
register_family(_stitching_ant)
register_family(_published_single)

register(ft.partial(_ant, OpenArena(5.0, 5.0), Ball()), "ant_ball")
register(_ant_push, "ant_push")
for _name, _grid, _balls in (
    ("ant_ball_u_maze", "11111/1RG01/111G1/1GGG1/11111", ((1, 3),)),
    (
        "ant_ball_big_maze",
        "11111111/1R011GG1/1001GGG1/110G0111/1GG1GGG1/1G1GG1G1/1GGG1GG1/11111111",
        ((3, 2), (3, 4)),
    ),
):
    register(ft.partial(_ant, MazeArena(Maze.from_text(_grid), ANT_CELL), Ball(_balls)), _name)
register(ft.partial(_humanoid, OpenArena(1.0, 5.0), control_step=0.03), "humanoid")
register(_humanoid_in_maze, "humanoid_maze")
for _name, _grid in {
    "u_maze": "u_maze",
    "u_maze_eval": "u_maze_eval",
    "big_maze": "big_maze",
    "big_maze_eval": "big_maze_eval_ten",
    "hardest_maze": "hardest_maze",
}.items():
    register(ft.partial(_humanoid_in_maze, MAZES[_grid]), f"humanoid_{_name}")


def _grasp(name: str) -> Factory | None:
    """`arm_grasp_<reach>`: cubes start within that many m of the middle, along each axis."""
    match = re.fullmatch(r"arm_grasp_(\d*\.\d+|\d+)", name)
    return None if match is None else ft.partial(ArmGrasp, float(match[1]))


# Middle of the square where cubes start and half its side, the same of goals, and the bins (see `ArmCube`), in m.
_EASY_BINS, _HARD_BINS = (0.17, 0.14), (0.3, 0.19)
register(ft.partial(ArmCube, (-0.1, 0.6), 0.1, (0.1, 0.6), 0.1, None), "arm_push_easy")
register(ft.partial(ArmCube, (-0.25, 0.65), 0.25, (0.25, 0.65), 0.25, None), "arm_push_hard")
register(ft.partial(ArmCube, (-0.15, 0.6), 0.09, (0.17, 0.6), 0.09, _EASY_BINS), "arm_binpick_easy")
register(ft.partial(ArmCube, (-0.3, 0.6), 0.15, (0.3, 0.6), 0.15, _HARD_BINS), "arm_binpick_hard")
register(ft.partial(HandCube, (-0.15, 0.6), 0.07, (0.17, 0.6), 0.005, _EASY_BINS), "arm_binpick_easy_EEF")
register(ArmReach, "arm_reach")
register(ft.partial(ArmGrasp, 0.3), "arm_grasp")
register_family(_grasp)

# Middle and half sides of the rectangle where goals lie, in m.
register(ft.partial(Pusher, (0.05, -0.05), (0.15, 0.2)), "pusher_easy")
register(ft.partial(Pusher, (0.3, -0.1), (0.5, 0.5)), "pusher_hard")
register(Reacher, "reacher")
register(Cheetah, "cheetah")

# Objects of these can be written to files too.
for _part in (
    *(ArmCube, ArmGrasp, HandCube, PointMaze, Pusher, RobotTask),
    *(Ant, Humanoid, Ball, Block, Maze, MazeArena, OpenArena, PushArena),
):
    register_class(_part)
