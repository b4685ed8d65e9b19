"""`deepcrl render`."""

from pathlib import Path

import jax.random as jr
from jaxtyping import Array
from rich.console import Console

from .. import envs
from .._errors import check_integer
from .._typing import Key
from ..report import draw_frames, find_renderer, save_contact_sheet, save_film, simulate
from ..runs import load_policies


def render(
    *,
    out: Path = Path("render.mp4"),
    env: str | None = None,
    policy: str = "random",
    steps: int = 300,
    width: int = 480,
    height: int = 360,
    overview: bool = False,
    seed: int = 0,
) -> None:
    """Film a policy in a task on MuJoCo, and put a contact sheet beside the film.

    Args:
        out: The film, `.mp4` or `.gif`; the contact sheet gets the same name with `.png`. A `.png` alone: no film.
        env: The task; by default the one that the policy was trained on.
        policy: The folder of a run or of an exported policy, or `random` for uniformly drawn actions.
        steps: Control steps, from episode to episode.
        width: Of a frame, in pixels.
        height: Of a frame, in pixels.
        overview: Look at the whole scene from above instead of following the robot.
        seed: Of start, goals and chance.
    """
    if out.suffix not in (".mp4", ".gif", ".png"):
        raise ValueError(f"`out` must end in `.mp4`, `.gif` or `.png`, got {out.name!r}.")
    for name, value in (("steps", steps), ("width", width), ("height", height)):
        check_integer(name, value)
    find_renderer()  # before anything long
    trained = None if policy == "random" else load_policies(policy)[0]
    if trained is None and env is None:
        raise ValueError("Random actions need a task: give `--env`, for example `--env ant_u_maze`.")
    task, params = envs.make(env or trained.env)  # pyright: ignore[reportOptionalMemberAccess]
    size = task.action_space(params).size

    def act(observation: Array, goal: Array, key: Key) -> Array:
        return jr.uniform(key, (size,), minval=-1.0, maxval=1.0) if trained is None else trained(observation, goal)

    qpos, goals = simulate(task, params, act, steps, seed=seed)
    assert isinstance(task, envs.AbstractMujocoEnv)  # `simulate` has seen to it
    frames = draw_frames(task, qpos, goals, width=width, height=height, camera=None if overview else "track")
    console = Console()
    if out.suffix != ".png":
        save_film(frames, out, seconds_per_frame=task.substeps * float(task.build_model().opt.timestep))
        console.print(f"Written to {out}", markup=False, soft_wrap=True)
    sheet = save_contact_sheet(frames, out.with_suffix(".png"))
    console.print(f"Written to {sheet}", markup=False, soft_wrap=True)
