"""Robots as MJCF files, written for this library from published tables of masses, lengths, ranges and gears."""

from pathlib import Path
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    import mujoco


def robot_spec(name: str) -> "mujoco.MjSpec":
    """The editable model of a robot, with a floor, a light, a camera and a goal marker (a mocap body `goal`)."""
    import mujoco

    return mujoco.MjSpec.from_file(str(Path(__file__).parent / f"{name}.xml"))
