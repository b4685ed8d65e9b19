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
    policy = lambda observation, goal, *, key: jr.uniform(key, (8,), minval=-1.0, maxval=1.0)
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


BARE = """
<mujoco><worldbody><body name="base"><freejoint/><geom size="0.02" rgba="0.9 0.1 0.1 1"/></body></worldbody></mujoco>
"""


@pytest.fixture(scope="module")
def bare():
    """A task whose model has no camera, light or marker: a ball of 2 cm."""
    from deepcrl import envs

    class Bare(envs.Reacher):
        def build_model(self):
            import mujoco

            return mujoco.MjModel.from_xml_string(BARE)

        def goal_place(self, goal):
            return goal

    return Bare()


def coloured(frame, channel):
    others = [other for other in range(3) if other != channel]
    return (frame[..., channel : channel + 1].astype(int) > frame[..., others].astype(int) + 30).all(axis=-1)


def test_a_model_without_camera_light_and_marker_is_seen_as_well(bare, drawing):
    from deepcrl.report import draw_frames

    qpos = np.zeros((3, 7))
    qpos[:, 3] = 1.0
    near = np.array([[0.0, 0.0, 0.03]] * 3)
    still = draw_frames(bare, qpos, near, width=96, height=72)
    red, green = coloured(still[0], 0), coloured(still[0], 1)
    assert red.mean() > 0.05 and green.any()  # neither a speck nor without a goal
    assert np.median(still) > 150  # nor in the dark
    assert not coloured(draw_frames(bare, qpos, near[:, :0], width=96, height=72), 1).any()  # a goal that is no place
    qpos[:, 0] = [0.0, 40.0, 80.0]  # a robot that goes away is followed
    for frame in draw_frames(bare, qpos, near, width=96, height=72):
        np.testing.assert_allclose(np.argwhere(coloured(frame, 0)).mean(axis=0), [35.5, 47.5], atol=2)
    above = draw_frames(bare, qpos[:1], near[:1], width=96, height=72, camera=None)
    assert coloured(above[0], 0).mean() > 0.02
    with pytest.raises(ValueError, match=r"The model has no camera 'front'. Its cameras: none."):
        draw_frames(bare, qpos, near, camera="front")


@pytest.mark.parametrize("size", [(16, 20), (17, 21)])
def test_a_film_is_written_without_a_fork(tmp_path, size):
    """By a fork, JAX's threads may lock up: it warns of one, and warnings are errors here. Players want even sizes."""
    import imageio_ffmpeg
    import jax

    from deepcrl.report import save_film

    jax.numpy.zeros(1).block_until_ready()
    frames = np.zeros((30, *size, 3), np.uint8)
    frames[15:] = 255
    path = save_film(frames, tmp_path / "new" / "film.mp4", seconds_per_frame=0.04)
    assert imageio_ffmpeg.count_frames_and_secs(path) == (30, 1.2)
    with pytest.raises(RuntimeError, match="ffmpeg could not write"):
        (tmp_path / "taken.mp4").mkdir()
        save_film(frames, tmp_path / "taken.mp4", seconds_per_frame=0.04)


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
        simulate(*envs.make("point_u_maze"), lambda o, g, *, key: g, 3)


def test_no_way_to_draw(monkeypatch):
    """Where no library works, the message says what was tried and what to install."""
    from deepcrl.report import _render

    monkeypatch.setenv("MUJOCO_GL", "glx-of-nowhere")
    with pytest.raises(ImportError, match=r"(?s)glx-of-nowhere.*`libegl1` or `libosmesa6`"):
        _render._find_renderer.__wrapped__()
