"""How a scene is looked at: a camera that fits, light where there is none, a marker where the goal is."""

from typing import Any, TYPE_CHECKING

import numpy as np
from jaxtyping import Float


if TYPE_CHECKING:
    import mujoco


Boxes = tuple[Float[np.ndarray, "time 3"], Float[np.ndarray, "time 3"]]
_GREEN, _PAPER = (0.25, 0.65, 0.35, 0.55), (0.9, 0.92, 0.95, 1.0)
_MARKER = 0.08  # of the robot's radius
_WITHIN = 2.0  # a film stands still where all that moves stays within so many robot's radii


def add_light(model: "mujoco.MjModel") -> None:
    """Lets the camera shine where the model has no light."""
    if model.nlight == 0:
        model.vis.headlight.ambient[:], model.vis.headlight.diffuse[:] = 0.35, 0.6


def moving_box(model: "mujoco.MjModel", data: "mujoco.MjData") -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """Lowest and highest corner (m) of all that moves, or of the whole model where nothing with a shape does."""
    moves = (model.body_weldid[model.geom_bodyid] != 0) & (model.body_mocapid[model.geom_bodyid] < 0)
    moves &= model.geom_rbound > 0
    if not moves.any():
        return model.stat.center - 0.5 * model.stat.extent, model.stat.center + 0.5 * model.stat.extent
    turn = np.abs(data.geom_xmat[moves].reshape(-1, 3, 3))
    middle = data.geom_xpos[moves] + np.einsum(
        "gij,gj->gi", data.geom_xmat[moves].reshape(-1, 3, 3), model.geom_aabb[moves, :3]
    )
    half = np.einsum("gij,gj->gi", turn, model.geom_aabb[moves, 3:])
    return np.min(middle - half, axis=0), np.max(middle + half, axis=0)


def camera_that_fits(
    model: "mujoco.MjModel", boxes: Boxes, goals: Float[np.ndarray, "goal 3"]
) -> tuple[Any, Float[np.ndarray, "time 3"]]:
    """A camera and what it looks at in each frame, for a robot in some boxes: it stands still and sees everything where the
    robot and its goals stay near, and follows the robot elsewhere."""
    import mujoco

    radius, looked_at = robot_radius(boxes), 0.5 * (boxes[0] + boxes[1])
    low, high = _around(boxes, goals)
    whole = 0.5 * float(np.linalg.norm(high - low))
    if whole <= _WITHIN * radius:
        looked_at, radius = np.broadcast_to(0.5 * (low + high), looked_at.shape), whole
    camera = mujoco.MjvCamera()
    camera.azimuth, camera.elevation = 110.0, -35.0
    camera.distance = 1.05 * radius / np.sin(0.5 * np.deg2rad(model.vis.global_.fovy))
    return camera, looked_at


def camera_from_above(
    model: "mujoco.MjModel", boxes: Boxes, goals: Float[np.ndarray, "goal 3"]
) -> tuple[Any, Float[np.ndarray, "time 3"]]:
    """The same high above the middle of the walls, or of everything that a film shows where there are none."""
    import mujoco

    walls = [i for i in range(model.ngeom) if model.geom(i).name.startswith("wall")]
    low, high = _around(boxes, goals)
    if walls:
        low = np.append(np.min(model.geom_pos[walls, :2] - model.geom_size[walls, :2], axis=0), 0.0)
        high = np.append(np.max(model.geom_pos[walls, :2] + model.geom_size[walls, :2], axis=0), 0.0)
    camera = mujoco.MjvCamera()
    camera.distance = 1.35 * float(np.max(high - low))
    camera.azimuth, camera.elevation = 90.0, -65.0
    return camera, np.broadcast_to(0.5 * (low + high), boxes[0].shape)


def robot_radius(boxes: Boxes) -> float:
    """Half the longest diagonal, in m."""
    return 0.5 * float(np.max(np.linalg.norm(boxes[1] - boxes[0], axis=1)))


def _around(boxes: Boxes, goals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.min(np.concatenate([boxes[0], goals]), axis=0), np.max(np.concatenate([boxes[1], goals]), axis=0)


def draw_marker(scene: "mujoco.MjvScene", place: Float[np.ndarray, "3"], radius: float) -> None:
    """Puts a ball where the goal is into a scene of a model without a marker of its own."""
    _add_ball(scene, place, _MARKER * radius, _GREEN)


def draw_paper(scene: "mujoco.MjvScene", model: "mujoco.MjModel") -> None:
    """Puts a bright ball around a scene of a model without a sky, which is black otherwise."""
    import mujoco

    if not np.any(model.tex_type == mujoco.mjtTexture.mjTEXTURE_SKYBOX):
        scene.flags[mujoco.mjtRndFlag.mjRND_CULL_FACE] = 0  # seen from within
        _add_ball(scene, np.zeros(3), 0.3 * model.vis.map.zfar * model.stat.extent, _PAPER, emission=1.0)


def _add_ball(
    scene: "mujoco.MjvScene", place: np.ndarray, radius: float, colour: tuple[float, ...], emission: float = 0.0
) -> None:
    import mujoco

    geom, size = scene.geoms[scene.ngeom], np.full(3, radius)
    rgba = np.array(colour, np.float32)
    mujoco.mjv_initGeom(geom, mujoco.mjtGeom.mjGEOM_SPHERE, size, place, np.eye(3).ravel(), rgba)
    geom.category, geom.emission = mujoco.mjtCatBit.mjCAT_DECOR, emission  # casts no shadow
    scene.ngeom += 1
