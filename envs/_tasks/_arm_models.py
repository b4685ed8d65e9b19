"""The arm's models: what the tasks add to the robot's file, or take away from it."""

from typing import TYPE_CHECKING

from .._robots import robot_spec


if TYPE_CHECKING:
    import mujoco


WALL_HEIGHT = 0.066  # m
_THICK = 0.01  # m
_MEET_WALLS = ("cube", "hand", "left_finger", "right_finger")


def reach_spec() -> "mujoco.MjSpec":
    """The arm alone: fingers fixed and closed, no cube; only the hand meets the table."""
    spec = robot_spec("panda")
    pairs = [pair for pair in spec.pairs if pair.name != "hand_table"]
    for unwanted in (*spec.equalities, *spec.actuators[7:], *pairs):
        spec.delete(unwanted)
    for joint in ("finger_1", "finger_2"):
        spec.delete(spec.joint(joint))
    spec.delete(spec.body("cube"))
    spec.geom("goal").type = _geom_type("sphere")
    return spec


def grasp_spec() -> "mujoco.MjSpec":
    """The arm with a cube and a tip at the end of each finger; the marker shows where the tips should be."""
    spec = robot_spec("panda")
    for side in ("left", "right"):
        tip = spec.body(f"{side}_finger").add_body(name=f"{side}_tip", pos=[0.0, 0.005, 0.07])
        _add_box(tip, f"{side}_tip", (0.0, 0.0, 0.0), (0.005, 0.005, 0.005), "joint", mass=0.001)
    marker, half = spec.geom("goal"), (0.01, 0.01, 0.01)
    marker.size, marker.pos = half, [0.0375, 0.0, 0.0]
    _add_box(spec.body("goal"), "goal_right", (-0.0375, 0.0, 0.0), half, "goal")
    return spec


def add_plates(
    spec: "mujoco.MjSpec", start: tuple[float, float], goal: tuple[float, float], reach: tuple[float, float]
) -> None:
    """Colours the squares of the table where cubes start and where goals lie; nothing touches them."""
    for name, centre, half in (("start", start, reach[0]), ("goal", goal, reach[1])):
        _add_box(spec.worldbody, f"plate_{name}", (*centre, 0.0), (half, half, 0.001), f"plate_{name}")


def add_bins(spec: "mujoco.MjSpec", offset: float, half: float) -> None:
    """Two square bins without floors, centred at (-offset, 0.6) and (offset, 0.6); their walls' middles lie at `half`
    from the centre, in m. Walls meet the cube, the hand and the fingers. Friction cones become ten times stiffer."""
    spec.option.impratio = 10.0
    thin, height = _THICK / 2, WALL_HEIGHT / 2
    for side, x in (("left", -offset), ("right", offset)):
        walls = {
            "near": ((x, 0.6 - half), (half + thin, thin)),
            "far": ((x, 0.6 + half), (half + thin, thin)),
            "low": ((x - half, 0.6), (thin, half - thin)),
            "high": ((x + half, 0.6), (thin, half - thin)),
        }
        for wall, (centre, size) in walls.items():
            name = f"bin_{side}_{wall}"
            _add_box(spec.worldbody, name, (*centre, height), (*size, height), "wall")
            for geom in _MEET_WALLS:
                spec.add_pair(name=f"{geom}_{name}", geomname1=geom, geomname2=name)


def _add_box(
    body: "mujoco.MjsBody",
    name: str,
    place: tuple[float, ...],
    half: tuple[float, ...],
    material: str,
    mass: float = 0.0,
) -> None:
    body.add_geom(
        name=name, type=_geom_type("box"), pos=place, size=half, material=material, mass=mass, contype=0, conaffinity=0
    )


def _geom_type(name: str) -> "mujoco.mjtGeom":
    import mujoco

    return getattr(mujoco.mjtGeom, f"mjGEOM_{name.upper()}")
