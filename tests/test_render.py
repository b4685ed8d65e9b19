"""Films of robots. Drawing needs EGL or OSMesa; machines without either skip those tests."""

import functools as ft

import jax.random as jr
import numpy as np
import pytest


@ft.cache
def can_draw() -> bool:
    from deepcrl.report import find_renderer

    try:
        find_renderer()
    except ImportError:
        return False
    return True


@pytest.fixture
def drawing():
    if not can_draw():
        pytest.skip("drawing needs EGL or OSMesa (Debian: libegl1 or libosmesa6), and neither works here")


@pytest.fixture(scope="module")
def walk():
    from deepcrl import envs
    from deepcrl.report import simulate

    env, params = envs.make("ant_u_maze", engine="native")
    policy = lambda observation, goal, key: jr.uniform(key, (8,), minval=-1.0, maxval=1.0)
    return env, *simulate(env, params, policy, 13, seed=1)


def test_simulate_returns_what_happened(walk):
    _, qpos, goals = walk
    assert qpos.shape == (13, 15) and goals.shape == (13, 2)
    assert np.abs(np.diff(qpos, axis=0)).max(axis=1).min() > 0  # it moves in every step
    assert np.linalg.norm(qpos[0, :2] - 4.0) < 0.2


def test_frames_follow_the_robot_and_show_the_goal(walk, drawing):
    from deepcrl.report import draw_frames

    env, qpos, goals = walk
    picks = slice(0, None, 4)
    frames = draw_frames(env, qpos[picks], goals[picks], width=96, height=64)
    assert frames.shape == (4, 64, 96, 3) and frames.dtype == np.uint8
    assert (frames[0] != frames[-1]).mean() > 0.01
    above = [draw_frames(env, qpos[:1], goal[None], width=96, height=64, camera=None) for goal in np.eye(2) * 8 + 4]
    green = [(f[0, ..., 1] > f[0, ..., 0] + 40) & (f[0, ..., 1] > f[0, ..., 2] + 20) for f in above]
    assert all(g.any() for g in green) and (green[0] != green[1]).any()  # the marker stands where the goal is


def test_contact_sheet_and_film(tmp_path):
    import imageio.v2 as imageio

    from deepcrl.report import save_contact_sheet, save_film

    frames = np.zeros((30, 16, 20, 3), np.uint8)
    frames[:] = np.linspace(0, 255, 30).astype(np.uint8)[:, None, None, None]
    sheet = imageio.imread(save_contact_sheet(frames, tmp_path / "new" / "sheet.png", columns=3, rows=2))
    assert sheet.shape == (32, 60, 3)
    assert sheet[0, 0, 0] == 0 and sheet[-1, -1, 0] == 255
    assert save_film(frames, tmp_path / "film.gif", seconds_per_frame=0.05).stat().st_size > 100
    with pytest.raises(ValueError, match=r"`.mp4` or `.gif`, got 'film.avi'"):
        save_film(frames, tmp_path / "film.avi", seconds_per_frame=0.05)


def test_command_line(tmp_path, capsys, drawing):
    from deepcrl.cli import main

    out = tmp_path / "walk.png"
    with pytest.raises(SystemExit) as stop:
        main(["render", "--env", "ant_u_maze", "--steps", "12", "--width", "64", "--height", "48", "--out", str(out)])
    assert stop.value.code == 0
    assert out.exists() and f"Written to {out}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--env", "ant", "--out", "x.jpg"], "`out` must end in"),
        (["--env", "ant", "--steps", "0"], "`steps` must be at least 1"),
    ],
)
def test_wrong_input(arguments, message, capsys):
    from deepcrl.cli import main

    with pytest.raises(SystemExit) as stop:
        main(["render", *arguments])
    assert stop.value.code == 2 and message in capsys.readouterr().err


def test_point_mazes_are_not_rendered():
    from deepcrl import envs
    from deepcrl.report import simulate

    with pytest.raises(TypeError, match="Only tasks on MuJoCo can be rendered, got a `PointMaze`"):
        simulate(*envs.make("point_u_maze"), lambda o, g, k: g, 3)


def test_no_way_to_draw(monkeypatch):
    """Where no library works, the message says what was tried and what to install."""
    from deepcrl.report import _render

    monkeypatch.setenv("MUJOCO_GL", "glx-of-nowhere")
    with pytest.raises(ImportError, match=r"(?s)glx-of-nowhere.*`libegl1` or `libosmesa6`"):
        _render._find_renderer.__wrapped__()
