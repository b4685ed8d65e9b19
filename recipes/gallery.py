"""Draws one picture of every task on MuJoCo: `python recipes/gallery.py docs/images/tasks`. Needs `deepcrl[render]`.

What has walls is seen from above, everything else by the model's own camera, after a moment of random actions.
"""

import sys
from pathlib import Path

import imageio.v3 as imageio
import jax.random as jr

from deepcrl import envs
from deepcrl.report import draw_frames, simulate


MOMENT = 3  # control steps


def draw(name: str, folder: Path) -> Path:
    """Writes the picture of a task."""
    env, params = envs.make(name)
    size = env.action_space(params).size
    policy = lambda observation, goal, *, key: jr.uniform(key, (size,), minval=-1.0, maxval=1.0)
    qpos, goals = simulate(env, params, policy, MOMENT, seed=2)
    assert isinstance(env, envs.AbstractMujocoEnv)
    camera = None if "maze" in name or name == "ant_push" else "track"
    frames = draw_frames(env, qpos[-1:], goals[-1:], width=360, height=270, camera=camera)
    path = folder / f"{name}.jpg"
    imageio.imwrite(path, frames[0], quality=85)
    return path


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("Give the folder for the pictures: python recipes/gallery.py docs/images/tasks")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in sorted(set(envs.names()) - set(envs.templates())):
        if not name.startswith("point") and "_eval" not in name and not name.endswith("_single"):
            print(draw(name, folder))
