"""Films and contact sheets of tasks on MuJoCo, on machines without a screen too. Needs `deepcrl[render]`."""

import functools as ft
import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PyTree, UInt8

from .._errors import check_integer
from .._typing import Key, Policy
from ..envs import AbstractGoalEnv, AbstractMujocoEnv, EnvState
from ._view import (
    add_light,
    camera_from_above,
    camera_that_fits,
    draw_marker,
    draw_paper,
    moving_box,
    robot_radius,
)


Frames = UInt8[np.ndarray, "frame height width rgb"]
_PROBE = "import mujoco; context = mujoco.GLContext(16, 16); context.make_current(); context.free()"


def find_renderer() -> str:
    """Which of MuJoCo's ways to draw works here: what `MUJOCO_GL` says, else the first of `egl` and `osmesa` that does.

    The choice is put into `MUJOCO_GL`.

    **Raises:** `ImportError`, with the remedy, where none works.
    """
    return _find_renderer()


@ft.cache  # each try starts a process
def _find_renderer() -> str:
    given = os.environ.get("MUJOCO_GL")
    # On macOS and Windows the system's own way is the default and needs no library.
    choices = [given] if given else ["egl", "osmesa"] if sys.platform == "linux" else [""]
    errors = []
    for choice in choices:
        probe = subprocess.run(
            [sys.executable, "-c", _PROBE], env={**os.environ, "MUJOCO_GL": choice}, capture_output=True, text=True
        )
        if probe.returncode == 0:
            os.environ["MUJOCO_GL"] = choice
            chosen = sys.modules.get("mujoco.rendering.classic.gl_context")
            if chosen is not None:  # MuJoCo was imported already, and chose then
                importlib.reload(chosen)
            return choice
        errors.append(f"{choice or 'default'}: {(probe.stderr.strip().splitlines() or ['no message'])[-1]}")
    raise ImportError(
        "MuJoCo cannot draw here: " + "; ".join(errors) + ". Install EGL or OSMesa, for example Debian's `libegl1` or "
        "`libosmesa6`, or set MUJOCO_GL to what this machine has."
    )


def simulate(
    env: AbstractGoalEnv,
    params: PyTree,
    policy: Policy,
    num_steps: int,
    *,
    seed: int = 0,
) -> tuple[Float[np.ndarray, "time nq"], Float[np.ndarray, "time goal"]]:
    """Positions and commanded goals before each step of one environment, from episode to episode.

    **Arguments:**

    - `env`, `params`: a task on MuJoCo.
    - `policy`: `policy(observation, goal, *, key) -> action in [-1, 1]`, per sample.
    - `num_steps`: control steps.
    - `seed`: of start, goals and chance.

    **Raises:** `TypeError` for another task.
    """
    if not isinstance(env, AbstractMujocoEnv):
        raise TypeError(
            f"Only tasks on MuJoCo can be rendered, got a `{type(env).__name__}`. `deepcrl train` draws point mazes."
        )
    check_integer("num_steps", num_steps)
    reset_key, steps_key = jr.split(jr.key(seed))
    action_space = env.action_space(params)

    def step(state: EnvState, key: Key) -> tuple[EnvState, tuple[Array, Array]]:
        act_key, step_key = jr.split(key)
        obs = env.observe(state.inner, params)
        action = action_space.from_unit(policy(obs.observation, obs.desired_goal, key=act_key))
        return env.step(step_key, state, action, params)[1], (state.inner.physics.qpos, obs.desired_goal)

    @jax.jit
    def run() -> tuple[Array, Array]:
        state = env.reset(reset_key, params)[1]
        return jax.lax.scan(step, state, jr.split(steps_key, num_steps))[1]

    qpos, goals = run()
    return np.asarray(qpos), np.asarray(goals)


def draw_frames(
    env: AbstractMujocoEnv,
    qpos: Float[np.ndarray, "time nq"],
    goals: Float[np.ndarray, "time goal"],
    *,
    width: int = 480,
    height: int = 360,
    camera: str | None = "track",
) -> Frames:
    """A picture for each of some positions, with the goal's marker where the commanded goal is.

    **Arguments:**

    - `env`: the task.
    - `qpos`, `goals`: as from `simulate`.
    - `width`, `height`: of a picture, in pixels.
    - `camera`: a camera of the model, or `None` for a view of the whole scene from above. A model without the camera
        `track` gets one that fits.

    **Raises:** `ImportError` as `find_renderer`; `ValueError` for a camera that the model does not have.
    """
    find_renderer()
    import mujoco

    model = env.build_model()
    data = mujoco.MjData(model)
    names = [model.camera(i).name for i in range(model.ncam)]
    if camera not in (None, "track", *names):
        raise ValueError(f"The model has no camera {camera!r}. Its cameras: {', '.join(names) or 'none'}.")
    # The model's own marker, if it has one: a mocap body `goal`.
    body = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, "goal")
    marker = model.body_mocapid[body] if body >= 0 else -1
    places = np.stack([np.asarray(env.goal_place(jnp.asarray(goal))) for goal in goals])
    add_light(model)
    model.vis.global_.offwidth, model.vis.global_.offheight = max(width, 640), max(height, 480)

    def put(time: int) -> None:
        data.qpos[:] = qpos[time]
        if marker >= 0:
            data.mocap_pos[marker][: places.shape[1]] = places[time]
        mujoco.mj_forward(model, data)

    corners = []
    for time in range(len(qpos)):
        put(time)
        corners.append(moving_box(model, data))
    low, high = (np.stack(side) for side in zip(*corners, strict=True))
    known = places.shape[1] > 0
    marks = np.pad(places, ((0, 0), (0, 3 - places.shape[1]))) if known else np.zeros((0, 3))
    place_camera = camera_from_above if camera is None else camera_that_fits
    free, looked_at = place_camera(model, (low, high), marks)
    frames = []
    with mujoco.Renderer(model, height, width) as renderer:
        for time in range(len(qpos)):
            put(time)
            free.lookat[:] = looked_at[time]
            renderer.update_scene(data, camera=camera if camera in names else free)
            draw_paper(renderer.scene, model)
            if marker < 0 and known:
                draw_marker(renderer.scene, marks[time], robot_radius((low, high)))
            frames.append(renderer.render().copy())
    return np.stack(frames)


def save_film(frames: Frames, path: str | Path, *, seconds_per_frame: float) -> Path:
    """Writes a film (`.mp4`, `.gif`), played as fast as it happened.

    **Raises:** `ImportError`, with the remedy, if imageio is not installed; `ValueError` for another suffix.
    """
    path = Path(path)
    if path.suffix not in (".mp4", ".gif"):
        raise ValueError(f"A film is written as `.mp4` or `.gif`, got {path.name!r}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gif":
        _imageio().mimwrite(path, list(frames), duration=1000 * seconds_per_frame, loop=0)
    else:
        _encode(frames, path, 1.0 / seconds_per_frame)
    return path


def _encode(frames: Frames, path: Path, rate: float) -> None:
    # imageio would start ffmpeg by a fork that runs Python in the child, which may lock up beside JAX's threads.
    _imageio()
    from imageio_ffmpeg import get_ffmpeg_exe

    height, width = frames.shape[1:3]
    given = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{rate:.6g}", "-i", "-"]
    even = ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p"]  # what players ask for
    command = [get_ffmpeg_exe(), "-y", "-loglevel", "error", *given, *even, str(path)]
    done = subprocess.run(command, input=np.ascontiguousarray(frames).tobytes(), capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(f"ffmpeg could not write {path}: {done.stderr.decode(errors='replace').strip()}")


def save_contact_sheet(frames: Frames, path: str | Path, *, columns: int = 4, rows: int = 3) -> Path:
    """Writes one picture of `rows` x `columns` frames, evenly spaced in time, first to last.

    **Raises:** `ImportError`, with the remedy, if imageio is not installed.
    """
    picks = frames[np.linspace(0, len(frames) - 1, rows * columns).round().astype(int)]
    height, width = picks.shape[1:3]
    sheet = picks.reshape(rows, columns, height, width, 3).swapaxes(1, 2).reshape(rows * height, columns * width, 3)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _imageio().imwrite(path, sheet)
    return path


def _imageio() -> Any:
    try:
        import imageio.v2 as imageio
    except ImportError as error:
        raise ImportError("Films need imageio: pip install 'imageio[ffmpeg]'") from error
    return imageio
