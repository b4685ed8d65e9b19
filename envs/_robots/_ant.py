"""The ant: a torso on four legs."""

from typing import Literal, TYPE_CHECKING

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from deepcrl._errors import check_choice
from deepcrl._typing import BoolScalar, Scalar

from .._physics import PhysicsState
from ._api import AbstractRobot
from ._models import as_in_the_paper, robot_spec


if TYPE_CHECKING:
    import mujoco


_BODIES = ("paper", "gymnasium", "dense")
_LINKS = slice(2, 11)  # of the model's bodies: behind the world and the goal's marker, torso, upper and lower legs
_START_HEIGHT = 0.75  # m: without noise the feet are 7 cm above the floor
_FOOT = 0.08  # m, radius
_SIDES = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]], np.float32)  # of legs 1 to 4, along x and y
_START_JOINTS = np.array([0, 1, 0, -1, 0, -1, 0, 1], np.float32)  # rad: hip and ankle of legs 1 to 4


class Ant(AbstractRobot):
    r"""The ant. Goals are places (x, y) of its torso, in m.

    Eight torques $150\,a$ (N m), $a \in [-1, 1]$, in the order hip 4, ankle 4, hip 1, ankle 1, hip 2, ankle 2, hip 3,
    ankle 3; a control step is 0.05 s (5 of 0.01 s). The observation (29) is `qpos` (torso x, y, z in m, quaternion
    w x y z, hip and ankle of legs 1 to 4 in rad) and `qvel`. It starts with its torso 0.75 m high and its legs down; every
    coordinate is moved by up to 0.1, every velocity drawn with a standard deviation of 0.1, and an ant whose lowest foot
    would be in the floor is raised onto it. An episode ends when the torso's centre leaves 0.2 to 1.0 m of height. The
    `"dense"` reward is $1 - d - \frac12 \lVert a \rVert^2$, with the distance $d$ to the goal in m.

    Walls stop torso, upper legs and feet; the lower legs pass through them, as in the published model.
    """

    body: Literal["paper", "gymnasium", "dense"] = eqx.field(default="paper", static=True)
    """`"paper"`: nine links of 1 kg and 1 kg m², joints without armature that damp by 10 N m s, as in the published runs.
    `"gymnasium"`: 0.91 kg in all, joints with an armature of 1 kg m² that damp by 1 N m s. `"dense"`: as that, but 7.3 kg,
    as published for the pushing task."""

    def __check_init__(self):
        check_choice("body", self.body, _BODIES)

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """15 positions, 14 velocities, both of them observed, 8 actions."""
        return 15, 14, 29, 8

    @property
    def substeps(self) -> int:
        """5 of 0.01 s."""
        return 5

    @property
    def touching(self) -> tuple[str, ...]:
        """Torso, upper legs and feet."""
        return "torso", *(f"{part}_{leg}" for part in ("upper", "foot") for leg in (1, 2, 3, 4))

    @property
    def pushing(self) -> tuple[str, ...]:
        """Torso and feet."""
        return "torso", *(f"foot_{leg}" for leg in (1, 2, 3, 4))

    @property
    def friction(self) -> tuple[float, ...]:
        """As on the floor."""
        return 1.0, 1.0, 0.5, 0.5, 0.5

    @property
    def reach(self) -> float:
        """2 m: it has fallen when its torso is 1 m high."""
        return 2.0

    @property
    def noise(self) -> tuple[float, float]:
        """As published."""
        return 0.1, 0.1

    def spec(self) -> "mujoco.MjSpec":
        """Of `ant.xml`."""
        spec = robot_spec("ant")
        if self.body == "dense":
            for geom in spec.geoms:
                geom.density = 40.0
        return spec

    def finish(self, model: "mujoco.MjModel") -> "mujoco.MjModel":
        """With the paper's body if that is asked for."""
        return as_in_the_paper(model, _LINKS, damping=10.0, mass=1.0) if self.body == "paper" else model

    def rest(self, place: Float[Array, " xy"]) -> Float[Array, " nq"]:
        """On its four feet."""
        return jnp.concatenate([place, jnp.array([_START_HEIGHT, 1.0, 0.0, 0.0, 0.0]), jnp.asarray(_START_JOINTS)])

    def settle(self, qpos: Float[Array, " nq"]) -> Float[Array, " nq"]:
        """Raised until its lowest foot stands on the floor, if it is in there."""
        lowest = qpos[2] + jnp.min(_feet(qpos)) - _FOOT
        return qpos.at[2].add(jnp.maximum(0.0, -lowest))

    def observe(self, physics: PhysicsState, goal: Float[Array, " goal"]) -> Float[Array, " obs"]:
        """Positions and velocities."""
        return jnp.concatenate([physics.qpos[:15], physics.qvel[:14]])

    def place(self, physics: PhysicsState) -> Float[Array, " goal"]:
        """The torso's x and y."""
        return physics.qpos[:2]

    def goal_at(self, place: Float[Array, " xy"]) -> Float[Array, " goal"]:
        """The place itself."""
        return place

    def fell(self, physics: PhysicsState) -> BoolScalar:
        """The torso's centre is not between 0.2 and 1.0 m high."""
        height = physics.qpos[2]
        return (height < 0.2) | (height > 1.0)

    def dense_reward(self, distance: Scalar, action: Float[Array, " action"]) -> Scalar:
        """As the class's docstring."""
        return 1.0 - distance - 0.5 * jnp.sum(jnp.square(action))


def _feet(qpos: Float[Array, " nq"]) -> Float[Array, " leg"]:
    """How high the feet are above the torso's centre, in m."""
    w, x, y, z = qpos[3:7] / jnp.linalg.norm(qpos[3:7])
    hip, ankle = qpos[7::2], jnp.abs(qpos[8::2])
    # In the torso's frame: to the hip, 0.2 m along both axes; from there as far again to the ankle, then 0.4 m on and down.
    side_x, side_y = _SIDES.T
    out = 0.2 + 0.4 * jnp.cos(ankle)
    along_x = 0.2 * side_x + out * (side_x * jnp.cos(hip) - side_y * jnp.sin(hip))
    along_y = 0.2 * side_y + out * (side_x * jnp.sin(hip) + side_y * jnp.cos(hip))
    up = -0.4 * np.sqrt(2.0) * jnp.sin(ankle)
    return 2 * (x * z - w * y) * along_x + 2 * (y * z + w * x) * along_y + (1 - 2 * (x * x + y * y)) * up
