"""Models of robots: MJCF files, which hold Gymnasium's bodies, and what the paper's runs made of them."""

from pathlib import Path
from typing import Literal, TYPE_CHECKING


if TYPE_CHECKING:
    import mujoco


Body = Literal["paper", "gymnasium"]
BODIES = ("paper", "gymnasium")


def robot_spec(name: str) -> "mujoco.MjSpec":
    """The editable model of a robot, with a floor, a light, a camera and a goal marker (a mocap body `goal`)."""
    import mujoco

    return mujoco.MjSpec.from_file(str(Path(__file__).parent / f"{name}.xml"))


def as_in_the_paper(
    model: "mujoco.MjModel", links: slice, *, damping: float, mass: float | None = None
) -> "mujoco.MjModel":
    """Changes a model to what Brax's spring engine, which the paper's ants and humanoids ran on, made of it.

    Every one of the `links`, bodies by number, has moments of inertia of 1 kg m², and a `mass` (kg) if one is given. Hinges
    have no armature and no stiffness. Their `damping` (N m s) is that engine's of angles between links, which acts about
    the hinge's own axis too.
    """
    import mujoco

    model.body_inertia[links] = 1.0
    if mass is not None:
        model.body_mass[links] = mass
    hinges = model.jnt_type == mujoco.mjtJoint.mjJNT_HINGE
    dofs = model.jnt_dofadr[hinges]
    model.dof_armature[dofs], model.dof_damping[dofs], model.jnt_stiffness[hinges] = 0.0, damping, 0.0
    mujoco.mj_setConst(model, mujoco.MjData(model))  # what follows from masses
    return model
