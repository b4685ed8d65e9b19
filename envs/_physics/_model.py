"""What a model may have and what may be asked of its simulations, so that a state of ours is all that a step depends on."""

import difflib
from typing import TYPE_CHECKING

import numpy as np


if TYPE_CHECKING:
    import mujoco


KINEMATICS = (
    *(
        "xpos",
        "xquat",
        "xmat",
        "xipos",
        "ximat",
        "xanchor",
        "xaxis",
        "geom_xpos",
        "geom_xmat",
        "site_xpos",
        "site_xmat",
    ),
    *("subtree_com", "cinert", "cdof", "cvel", "cdof_dot"),
)
"""Derived quantities that follow from positions and velocities alone, by MuJoCo's names: those of the present state."""
FORCES = ("actuator_force", "qfrc_actuator", "qfrc_constraint", "qacc")
"""Derived quantities that belong to a substep, not to a state: those of the last one, zero after `refresh`."""
SENSORS = "sensordata"
"""All of a model's sensors. Those of forces and accelerations are of the last substep, zero after `refresh`; the others of
the present state."""
DERIVED = (*KINEMATICS, *FORCES, SENSORS)


def state_names(model: "mujoco.MjModel") -> tuple[str, ...]:
    """What of a simulation's state goes from step to step, besides the control: the names in `mujoco.MjData`.

    The rest of MuJoCo's integration state are inputs that nobody writes (applied forces, places of mocap bodies, which
    equalities are active, user data), and the time, which nothing reads.

    **Raises:** `ValueError`, naming it, for a model with a state that is not carried.
    """
    import mujoco

    bit = mujoco.mjtState
    carried = {
        "qpos": bit.mjSTATE_QPOS,
        "qvel": bit.mjSTATE_QVEL,
        "qacc_warmstart": bit.mjSTATE_WARMSTART,
        "act": bit.mjSTATE_ACT,
    }
    whole = int(bit.mjSTATE_INTEGRATION)
    rest = whole & ~int(bit.mjSTATE_USER) & ~int(bit.mjSTATE_TIME) & ~sum(int(b) for b in carried.values())
    lost = [
        f"{what} ({size} numbers)"
        for what, part in (
            ("delays of actuators or sensors", int(bit.mjSTATE_HISTORY)),
            ("states of plugins", rest & ~int(bit.mjSTATE_HISTORY) | int(bit.mjSTATE_PLUGIN)),
        )
        if (size := mujoco.mj_stateSize(model, part))
    ]
    if model.opt.enableflags & mujoco.mjtEnableBit.mjENBL_SLEEP:
        lost.append("which bodies sleep")
    if lost:
        raise ValueError(
            f"The model has a state that is not carried from step to step: {', '.join(lost)}. Take it out of the model: "
            "what a step leads to would depend on other simulations."
        )
    return tuple(name for name, part in carried.items() if mujoco.mj_stateSize(model, int(part)))


def derived_shapes(model: "mujoco.MjModel", derived: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """The shapes of derived quantities.

    **Raises:** `ValueError` for a name that is not in `DERIVED`, and for `sensordata` with a clock.
    """
    import mujoco

    for name in derived:
        if name not in DERIVED:
            close = difflib.get_close_matches(name, DERIVED, n=1)
            hint = f"Did you mean {close[0]!r}? " if close else ""
            raise ValueError(
                f"`derived` names {name!r}, which is not computed. {hint}Those that work: {', '.join(DERIVED)}. What "
                f"else a sensor can measure (contacts, subtrees, tendons) comes in {SENSORS!r} of a model with that sensor."
            )
    if SENSORS in derived and np.any(model.sensor_type == mujoco.mjtSensor.mjSENS_CLOCK):
        raise ValueError(
            "`derived` asks for the sensors, and one of them is a clock; a simulation's time is not carried."
        )
    example = mujoco.MjData(model)
    return {name: getattr(example, name).shape for name in derived}


def of_substep(model: "mujoco.MjModel") -> np.ndarray:
    """Which numbers of `sensordata` are of the last substep: those of forces and accelerations."""
    import mujoco

    late = model.sensor_needstage == mujoco.mjtStage.mjSTAGE_ACC
    return np.repeat(late, model.sensor_dim)
