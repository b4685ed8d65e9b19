"""The humanoid: eleven links, seventeen joints."""

from typing import TYPE_CHECKING

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from deepcrl._typing import BoolScalar, Key, Scalar

from .._api import GoalObservation
from .._physics import PhysicsState
from .._robots import robot_spec
from .._spaces import Box
from ._arena import AbstractArena
from ._mujoco import AbstractMujocoEnv, MujocoState, RobotParams


if TYPE_CHECKING:
    import mujoco


_SIDED = ("thigh", "shin", "foot", "upper_arm", "lower_arm", "hand")
TOUCHES_WALLS = [
    "chest", "head", "upper_waist", "lower_waist", "pelvis", *(f"{s}_{p}" for s in ("right", "left") for p in _SIDED)
]  # fmt: skip
WALL_FRICTION = (1.0, 1.0, 0.005, 0.0001, 0.0001)
FIRST_LINK = 2  # of MuJoCo's bodies: before the torso come the world and the goal's marker
TIMESTEP = 0.003  # s
MAX_CTRL = 0.4
_START_HEIGHT = 1.4
_GOAL_HEIGHT = 1.25
# The published marker of the goal is a ball of this mass and this moment of inertia; here it is a picture.
_MARKER_MASS = 1.0  # kg
_MARKER_INERTIA = 0.1  # kg m²: a ball of radius 0.5 m


class Humanoid(AbstractMujocoEnv):
    r"""The humanoid, with the torso's place as goal.

    Seventeen torques $0.4\,g\,a$ (N m), $a \in [-1, 1]$, with gears $g$ of 100 (abdomen, hips), 300 (hips about y), 200
    (knees) and 25 (arms), in the order abdomen y, z, x; right hip x, z, y, knee; left hip x, z, y, knee; right
    shoulder 1, 2, elbow; left shoulder 1, 2, elbow. The achieved goal is the torso's (x, y, z) in m, the commanded one a
    place 1.25 m high. It starts upright and at rest, always alike. An episode ends when the torso's centre leaves 1.0 to
    2.0 m of height. The goal counts as reached within 0.5 m. The `"dense"` reward is
    $5 - d - 0.1 \lVert 0.4\,a \rVert^2$, with the distance $d$ to the goal in m.

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

    In a maze, walls stop every part of the body.
    """  # noqa: E501

    arena: AbstractArena = eqx.field(static=True)
    """Where it moves."""
    control_step: float = eqx.field(default=0.015, static=True)
    """In s, a multiple of 0.003 s. The published mazes have 0.015 s, the published open field 0.03 s."""
    paper: bool = eqx.field(default=False, static=True)
    """Whether the observation is the published one: the commanded goal and the marker's mass are part of it."""

    def __check_init__(self):
        if self.substeps < 1 or abs(self.control_step - self.substeps * TIMESTEP) > 1e-9:
            raise ValueError(f"`control_step` must be a positive multiple of {TIMESTEP} s, got {self.control_step}.")

    def build_model(self) -> "mujoco.MjModel":
        """The humanoid in its arena."""
        spec = robot_spec("humanoid")
        self.arena.add_to(spec, TOUCHES_WALLS, WALL_FRICTION)
        return spec.compile()

    @property
    def substeps(self) -> int:
        """Of 0.003 s each."""
        return round(self.control_step / TIMESTEP)

    @property
    def derived(self) -> tuple[str, ...]:
        """Inertias and velocities about the centre of mass, torques."""
        return ("cinert", "cvel", "subtree_com", "qfrc_actuator") if self.paper else ("cinert", "cvel", "qfrc_actuator")

    @property
    def default_params(self) -> RobotParams:
        """No noise, radius as published; the arena's own."""
        return RobotParams(
            arena=self.arena.default_params,
            pose_noise=jnp.float32(0.0),
            velocity_noise=jnp.float32(0.0),
            success_radius=jnp.float32(0.5),
        )

    def observation_space(self, params: RobotParams | None = None) -> GoalObservation:
        """Generous: nothing is clipped to it."""
        low, high = self.arena.bounds()
        goal_low, goal_high = np.append(low, -2.0), np.append(high, 10.0)
        link, speed = np.append(np.full(9, 1e3), 20.0), np.full(6, 500.0)
        rest = np.concatenate([np.full(25, 500.0), np.tile(link, 12), np.tile(speed, 12), np.full(25, 200.0)])
        angles = np.full(21, 6.0)  # and the quaternion
        return GoalObservation(
            Box(np.concatenate([goal_low, -angles, low, -rest]), np.concatenate([goal_high, angles, high, rest])),
            Box(goal_low, goal_high),
            Box(goal_low, goal_high),
        )

    def action_space(self, params: RobotParams | None = None) -> Box:
        """Share of the greatest torque, for each joint."""
        return Box(-1.0, 1.0, (17,))

    def draw_episode(self, key: Key, params: RobotParams) -> tuple[Array, Array, Array]:
        """Upright at the arena's start."""
        arena_key, pose_key, velocity_key = jr.split(key, 3)
        start, goal = self.arena.draw(params.arena, key=arena_key)
        rest = jnp.concatenate([start, jnp.array([_START_HEIGHT, 1.0]), jnp.zeros(20)])
        qpos = rest + params.pose_noise * jr.uniform(pose_key, (24,), minval=-1.0, maxval=1.0)
        qvel = params.velocity_noise * jr.normal(velocity_key, (23,))
        return qpos, qvel, jnp.append(goal, _GOAL_HEIGHT)

    def control(self, physics: PhysicsState, action: Float[Array, " action"], params: RobotParams) -> Array:
        """The actuators take up to 0.4."""
        return MAX_CTRL * action

    def observe(self, inner: MujocoState, params: RobotParams) -> GoalObservation:
        """As the class's docstring."""
        physics, none = inner.physics, jnp.zeros(2)
        inertias, velocities = self._links(inner)
        place = inner.goal[:2] if self.paper else none
        torques = physics.derived["qfrc_actuator"]
        parts = [physics.qpos, place, physics.qvel, none, inertias.ravel(), velocities.ravel(), torques, none]
        return GoalObservation(jnp.concatenate(parts), physics.qpos[:3], inner.goal)

    def _links(self, inner: MujocoState) -> tuple[Float[Array, "12 10"], Float[Array, "12 6"]]:
        """Inertia and mass, momentum per mass of the whole and angular velocity, of each link and of the marker."""
        derived = inner.physics.derived
        # MuJoCo's `cinert`: moments of inertia xx, yy, zz, xy, xz, yz about the centre of mass of the whole body, then
        # mass times offset from there, then mass; its `cvel`: angular velocity, velocity of the point at that centre.
        inertia, velocity = derived["cinert"][FIRST_LINK:], derived["cvel"][FIRST_LINK:]
        moments, moment, mass = inertia[:, :6], inertia[:, 6:9], inertia[:, 9:]
        total = jnp.sum(mass)
        momentum = mass * velocity[:, 3:] + jnp.cross(velocity[:, :3], moment)
        marker = jnp.zeros((1, 10))
        if self.paper:
            total = total + _MARKER_MASS
            offset = inner.goal - derived["subtree_com"][FIRST_LINK]
            shift = offset * (_MARKER_MASS / total)  # of the centre of mass, by the marker
            offsets = moment / mass
            moments = moments + mass * (_about(offsets - shift[None]) - _about(offsets))
            ball = _MARKER_INERTIA * jnp.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0]) + _MARKER_MASS * _about(offset - shift)
            marker = jnp.append(_matrices(ball), _MARKER_MASS)[None]
        links = jnp.concatenate([_matrices(moments), mass], axis=1)
        velocities = jnp.concatenate([momentum / total, velocity[:, :3]], axis=1)
        return jnp.concatenate([links, marker]), jnp.concatenate([velocities, jnp.zeros((1, 6))])

    def fell(self, physics: PhysicsState, params: RobotParams) -> BoolScalar:
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
