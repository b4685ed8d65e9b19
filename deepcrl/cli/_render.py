"""`deepcrl render`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import jax.random as jr
import tyro
from rich.console import Console

from .._errors import check_integer
from ..envs import AbstractMujocoEnv, PointMaze
from ..report import draw_frames, draw_maze_frames, find_renderer, save_contact_sheet, save_film, simulate
from ..runs import load_policies, task_of
from ..train import Config, EnvOptions


def render(
    run: Annotated[Path | None, tyro.conf.Positional] = None,
    *,
    out: Path = Path("render.mp4"),
    env: str | None = None,
    env_options: EnvOptions | Mapping[str, Any] | None = None,
    lane: int = 0,
    steps: int = 300,
    width: int = 480,
    height: int = 360,
    overview: bool = False,
    seed: int = 0,
) -> None:
    """Film a policy in a point maze or a task on MuJoCo, and put a contact sheet beside the film.

    Args:
        run: A run's folder, or an exported policy's. Without, actions are drawn uniformly, and `--env` names the task.
        out: The film, `.mp4` or `.gif`; the contact sheet gets the same name with `.png`. A `.png` alone: no film.
        env: The task; by default the one that the run evaluates on.
        env_options: Its options; by default those of the run.
        lane: Which lane of the run.
        steps: Control steps, from episode to episode.
        width: Of a frame, in pixels.
        height: Of a frame, in pixels.
        overview: Look at the whole scene of a robot from above instead of following it.
        seed: Of start, goals and chance.
    """
    if out.suffix not in (".mp4", ".gif", ".png"):
        raise ValueError(f"`out` must end in `.mp4`, `.gif` or `.png`, got {out.name!r}.")
    for name, value in (("steps", steps), ("width", width), ("height", height)):
        check_integer(name, value)
    if run is None:
        if env is None:
            raise ValueError("Name a run, or, for random actions, a task: `--env`, for example `--env ant_u_maze`.")
        task, params = Config(env=env, env_options=env_options or ()).make_eval_env()
        size = task.action_space(params).size
        policy = lambda observation, goal, *, key: jr.uniform(key, (size,), minval=-1.0, maxval=1.0)
    else:
        policies = load_policies(run)
        if not 0 <= lane < len(policies):
            raise ValueError(f"`lane` must be one of the run's {len(policies)}, from 0; got {lane}.")
        task, params = task_of(policies[lane], env, env_options)
        policy = policies[lane].acting()

    if isinstance(task, PointMaze):
        frames = draw_maze_frames(task, params, policy, steps, seed=seed, width=width, height=height)
        seconds = 0.05
    elif isinstance(task, AbstractMujocoEnv):
        find_renderer()  # before anything long
        qpos, goals = simulate(task, params, policy, steps, seed=seed)
        frames = draw_frames(task, qpos, goals, width=width, height=height, camera=None if overview else "track")
        seconds = task.substeps * float(task.build_model().opt.timestep)
    else:
        raise ValueError(f"Point mazes and tasks on MuJoCo can be filmed, got a `{type(task).__name__}`.")
    console = Console()
    if out.suffix != ".png":
        save_film(frames, out, seconds_per_frame=seconds)
        console.print(f"Written to {out}", markup=False, soft_wrap=True)
    sheet = save_contact_sheet(frames, out.with_suffix(".png"))
    console.print(f"Written to {sheet}", markup=False, soft_wrap=True)
