"""The humanoid: eleven links, seventeen joints."""

from typing import TYPE_CHECKING

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from deepcrl._errors import check_choice, check_flag
from deepcrl._typing import BoolScalar, Scalar

from .._physics import PhysicsState
from ._api import AbstractRobot
from ._models import as_in_the_paper, BODIES, Body, robot_spec


if TYPE_CHECKING:
    import mujoco


_LINKS = slice(2, 13)  # of the model's bodies: before the torso come the world and the goal's marker
TIMESTEP = 0.003  # s
MAX_CTRL = 0.4
_SIDED = ("thigh", "shin", "foot", "upper_arm", "lower_arm", "hand")
_START_HEIGHT = 1.4
_GOAL_HEIGHT = 1.25
# The published marker of the goal is a body of this mass and these moments of inertia; here it is a picture.
_MARKER_MASS = 1.0  # kg
_MARKER_INERTIA = 1.0  # kg m²


class Humanoid(AbstractRobot):
    r"""The humanoid. Goals are places (x, y, z) of its torso in m, commanded ones 1.25 m high.

    Seventeen torques $0.4\,g\,a$ (N m), $a \in [-1, 1]$, with gears $g$ of 350 (trunk and legs) and 100 (arms), in the
    order abdomen y, z, x; right hip x, z, y, knee; left hip x, z, y, knee; right shoulder 1, 2, elbow; left shoulder 1, 2,
    elbow. It starts upright and at rest, always alike. An episode ends when the torso's centre leaves 1.0 to 2.0 m of
    height. The `"dense"` reward is $5 - d - 0.1 \lVert 0.4\,a \rVert^2$, with the distance $d$ to the goal in m.

    The observation (268) has the layout of the published one, which took the goal's marker for a twelfth link:

    | entries | what |
    |---|---|
    | 0 to 23 | `qpos`: torso x, y, z (m), quaternion w x y z, 17 joints (rad) in the order abdomen z, y, x, then as above |
    | 24, 25 | zeros (the published one: the commanded goal's x, y) |
    | 26 to 50 | `qvel` (m/s, rad/s), two zeros |
    | 51 to 170 | per link: moments of inertia about the whole body's centre of mass (3 x 3, kg m²), mass (kg); ten zeros |
    | 171 to 242 | per link: velocity of its centre of mass (m/s) by its share of the mass, angular velocity (rad/s) in the world's frame; six zeros |
    | 243 to 267 | torques of the last step (N m) in the order of `qvel`, zero for the torso and after a reset; two zeros |

    Links are torso, lower waist, pelvis, right thigh, right shin, left thigh, left shin, right upper arm, right lower
    arm, left upper arm, left lower arm.

    Walls stop every part of the body.
    """  # noqa: E501

    control_step: float = eqx.field(default=0.015, static=True)
    """In s, a multiple of 0.003 s. The published mazes have 0.015 s, the published open field 0.03 s."""
    body: Body = eqx.field(default="paper", static=True)
    """`"paper"`: links with moments of inertia of 1 kg m², joints without armature and springs that damp by 30 N m s, as in
    the published runs. `"gymnasium"`: inertias of the links' shapes, joints with armature, springs and damping of their
    own, gears of 100 (abdomen, hips), 300 (hips about y), 200 (knees) and 25 (arms)."""
    paper_observation: bool = eqx.field(default=False, static=True)
    """Whether the observation is the published one: the commanded goal and the marker's mass are part of it."""

    def __check_init__(self):
        check_choice("body", self.body, BODIES)
        check_flag("paper_observation", self.paper_observation)
        if self.substeps < 1 or abs(self.control_step - self.substeps * TIMESTEP) > 1e-9:
            raise ValueError(f"`control_step` must be a positive multiple of {TIMESTEP} s, got {self.control_step}.")

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """24 positions, 23 velocities, 268 observed numbers, 17 actions."""
        return 24, 23, 268, 17

    @property
    def substeps(self) -> int:
        """Of 0.003 s each."""
        return round(self.control_step / TIMESTEP)

    @property
    def touching(self) -> tuple[str, ...]:
        """Every part."""
        sided = (f"{side}_{part}" for side in ("right", "left") for part in _SIDED)
        return "chest", "head", "upper_waist", "lower_waist", "pelvis", *sided

    @property
    def friction(self) -> tuple[float, ...]:
        """Of walls."""
        return 1.0, 1.0, 0.005, 0.0001, 0.0001

    @property
    def derived(self) -> tuple[str, ...]:
        """Inertias and velocities about the centre of mass, torques."""
        marker = ("subtree_com",) if self.paper_observation else ()
        return ("cinert", "cvel", "qfrc_actuator", *marker)

    def spec(self) -> "mujoco.MjSpec":
        """Of `humanoid.xml`."""
        return robot_spec("humanoid")

    def finish(self, model: "mujoco.MjModel") -> "mujoco.MjModel":
        """With the paper's body if that is asked for."""
        if self.body == "gymnasium":
            return model
        arms = [any(part in model.actuator(i).name for part in ("shoulder", "elbow")) for i in range(model.nu)]
        model.actuator_gear[:, 0] = np.where(arms, 100.0, 350.0)
        return as_in_the_paper(model, _LINKS, damping=30.0)

    def rest(self, place: Float[Array, " xy"]) -> Float[Array, " nq"]:
        """Upright."""
        return jnp.concatenate([place, jnp.array([_START_HEIGHT, 1.0]), jnp.zeros(20)])

    def control(self, action: Float[Array, " action"]) -> Float[Array, " nu"]:
        """The actuators take up to 0.4."""
        return MAX_CTRL * action

    def observe(self, physics: PhysicsState, goal: Float[Array, " goal"]) -> Float[Array, " obs"]:
        """As the class's docstring."""
        none = jnp.zeros(2)
        inertias, velocities = self._links(physics, goal)
        place = goal[:2] if self.paper_observation else none
        torques = physics.derived["qfrc_actuator"][:23]
        parts = [physics.qpos[:24], place, physics.qvel[:23], none, inertias.ravel(), velocities.ravel(), torques, none]
        return jnp.concatenate(parts)

    def _links(
        self, physics: PhysicsState, goal: Float[Array, " goal"]
    ) -> tuple[Float[Array, "12 10"], Float[Array, "12 6"]]:
        """Inertia and mass, momentum per mass of the whole and angular velocity, of each link and of the marker."""
        derived = physics.derived
        # MuJoCo's `cinert`: moments of inertia xx, yy, zz, xy, xz, yz about the centre of mass of the whole body, then
        # mass times offset from there, then mass; its `cvel`: angular velocity, velocity of the point at that centre.
        inertia, velocity = derived["cinert"][_LINKS], derived["cvel"][_LINKS]
        moments, moment, mass = inertia[:, :6], inertia[:, 6:9], inertia[:, 9:]
        total = jnp.sum(mass)
        momentum = mass * velocity[:, 3:] + jnp.cross(velocity[:, :3], moment)
        marker = jnp.zeros((1, 10))
        if self.paper_observation:
            total = total + _MARKER_MASS
            offset = goal - derived["subtree_com"][_LINKS.start]
            shift = offset * (_MARKER_MASS / total)  # of the centre of mass, by the marker
            offsets = moment / mass
            moments = moments + mass * (_about(offsets - shift[None]) - _about(offsets))
            ball = _MARKER_INERTIA * jnp.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0]) + _MARKER_MASS * _about(offset - shift)
            marker = jnp.append(_matrices(ball), _MARKER_MASS)[None]
        links = jnp.concatenate([_matrices(moments), mass], axis=1)
        velocities = jnp.concatenate([momentum / total, velocity[:, :3]], axis=1)
        return jnp.concatenate([links, marker]), jnp.concatenate([velocities, jnp.zeros((1, 6))])

    def place(self, physics: PhysicsState) -> Float[Array, " goal"]:
        """The torso's x, y and z."""
        return physics.qpos[:3]

    def goal_at(self, place: Float[Array, " xy"]) -> Float[Array, " goal"]:
        """1.25 m above it."""
        return jnp.append(place, _GOAL_HEIGHT)

    def fell(self, physics: PhysicsState) -> BoolScalar:
        """The torso's centre is not between 1.0 and 2.0 m high."""
        height = physics.qpos[2]
        return (height < 1.0) | (height > 2.0)

    def dense_reward(self, distance: Scalar, action: Float[Array, " action"]) -> Scalar:
        """As the class's docstring."""
        return 5.0 - distance - 0.1 * jnp.sum(jnp.square(MAX_CTRL * action))


def _about(offset: Float[Array, "*links 3"]) -> Float[Array, "*links 6"]:
    """Moments of inertia (xx, yy, zz, xy, xz, yz) of a unit mass at an offset."""
    x, y, z = offset[..., 0], offset[..., 1], offset[..., 2]
    return jnp.stack([y * y + z * z, x * x + z * z, x * x + y * y, -x * y, -x * z, -y * z], axis=-1)


def _matrices(moments: Float[Array, "*links 6"]) -> Float[Array, "*links 9"]:
    """The symmetric matrices, row by row."""
    return moments[..., np.array([0, 3, 4, 3, 1, 5, 4, 5, 2])]
