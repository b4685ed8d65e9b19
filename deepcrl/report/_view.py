"""How a scene is looked at: a camera that fits, light where there is none, a marker where the goal is."""

from typing import Any, TYPE_CHECKING

import numpy as np
from jaxtyping import Float


if TYPE_CHECKING:
    import mujoco


_GREEN = np.array([0.25, 0.65, 0.35, 0.55], np.float32)
_MARKER = 0.06  # of the robot's size
_WITHIN = 2.5  # a film stands still where all that moves stays within so many robot's sizes


def add_light(model: "mujoco.MjModel") -> None:
    """Lets the camera shine where the model has no light."""
    if model.nlight == 0:
        model.vis.headlight.ambient[:], model.vis.headlight.diffuse[:] = 0.35, 0.6


def moving_ball(model: "mujoco.MjModel", data: "mujoco.MjData") -> tuple[Float[np.ndarray, "3"], float]:
    """Centre and radius (m) of a ball around all that moves, or around the whole model where nothing with a shape does."""
    moves = (model.body_weldid[model.geom_bodyid] != 0) & (model.body_mocapid[model.geom_bodyid] < 0)
    moves &= model.geom_rbound > 0
    if not moves.any():
        return model.stat.center.copy(), float(model.stat.extent)
    places, reaches = data.geom_xpos[moves], model.geom_rbound[moves, None]
    centre = 0.5 * (np.min(places - reaches, axis=0) + np.max(places + reaches, axis=0))
    return centre, float(np.max(np.linalg.norm(places - centre, axis=1) + reaches[:, 0]))


def camera_that_fits(
    model: "mujoco.MjModel", centres: Float[np.ndarray, "time 3"], radius: float, goals: Float[np.ndarray, "time 3"]
) -> tuple[Any, Float[np.ndarray, "time 3"]]:
    """A camera and what it looks at in each frame, for a robot of a radius at some places: it stands still and sees everything
    where the robot and its goals stay near, and follows the robot elsewhere."""
    import mujoco

    low, high = _box(centres, radius, goals)
    whole = 0.5 * float(np.linalg.norm(high - low))
    if whole <= _WITHIN * radius:
        centres, radius = np.broadcast_to(0.5 * (low + high), centres.shape), whole
    camera = mujoco.MjvCamera()
    camera.azimuth, camera.elevation = 110.0, -25.0
    camera.distance = 1.1 * radius / np.sin(0.5 * np.deg2rad(model.vis.global_.fovy))
    return camera, centres


def camera_from_above(
    model: "mujoco.MjModel", centres: Float[np.ndarray, "time 3"], radius: float, goals: Float[np.ndarray, "time 3"]
) -> tuple[Any, Float[np.ndarray, "time 3"]]:
    """The same high above the middle of the walls, or of everything that a film shows where there are none."""
    import mujoco

    walls = [i for i in range(model.ngeom) if model.geom(i).name.startswith("wall")]
    low, high = (corner[:2] for corner in _box(centres, radius, goals))
    if walls:
        low = np.min(model.geom_pos[walls, :2] - model.geom_size[walls, :2], axis=0)
        high = np.max(model.geom_pos[walls, :2] + model.geom_size[walls, :2], axis=0)
    camera = mujoco.MjvCamera()
    camera.distance = 1.35 * float(np.max(high - low))
    camera.azimuth, camera.elevation = 90.0, -65.0
    return camera, np.broadcast_to(np.append(0.5 * (low + high), 0.0), centres.shape)


def _box(centres: np.ndarray, radius: float, goals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    places = np.concatenate([centres - radius, centres + radius, goals])
    return np.min(places, axis=0), np.max(places, axis=0)


def draw_marker(scene: "mujoco.MjvScene", place: Float[np.ndarray, "3"], size: float) -> None:
    """Puts a ball where the goal is into a scene of a model without a marker of its own."""
    import mujoco

    geom = scene.geoms[scene.ngeom]
    radius = np.full(3, _MARKER * size)
    mujoco.mjv_initGeom(geom, mujoco.mjtGeom.mjGEOM_SPHERE, radius, place, np.eye(3).ravel(), _GREEN)
    scene.ngeom += 1
