"""The Panda arm: reaching, grasping, pushing a cube, putting it from one bin into another."""

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
from ._arm_models import add_bins, add_plates, grasp_spec, reach_spec
from ._boxes import space, UniformBox
from ._mujoco import AbstractMujocoEnv, MujocoState


if TYPE_CHECKING:
    import mujoco


_START_POSE = np.array(
    [1.571, 0.742, 0.0, -1.571, 0.0, 3.054, 1.449, 0.04, 0.04], np.float32
)  # joints: rad, fingers: m
START_HEIGHT, REST_HEIGHT = 0.07, 0.03  # m, of a cube's centre: it drops to the table at the start
# Targets of joints 1, 2, 4, 6 in rad at actions -1 and 1; those of joints 3, 5, 7 stay.
_LOW = np.array([0.3491, 0.0, -3.0718, 2.3562], np.float32)
_HIGH = np.array([2.7925, 1.48353, -0.0698, 3.7525], np.float32)
_JOINT7 = 1.4487  # rad
_OPEN = 255.0  # finger servos' input; 0 closes
_TIP_OFFSET = 0.0375  # m: the tips' places on both sides of a cube to be grasped
# Rows of bodies in the models; the whole arm hangs on link 0.
_LINK0, _LINK7, _LEFT_TIP, _RIGHT_TIP = 1, 8, 11, 13


def on_table(centre: tuple[float, float], reach: float, height: float) -> UniformBox:
    """A square at a height over the table, in m."""
    return UniformBox(jnp.array([*centre, height], jnp.float32), jnp.array([reach, reach, 0.0], jnp.float32))


class CubeParams(eqx.Module):
    """The numbers of the tasks that move a cube; each may be vmapped."""

    start: UniformBox
    """Where the cube's centre starts."""
    goal: UniformBox
    """Where goals lie."""
    success_radius: Scalar
    """A goal counts as reached within this distance, in m."""


class ReachParams(eqx.Module):
    """The numbers of [`deepcrl.envs.ArmReach`][]; each may be vmapped."""

    goal: UniformBox
    """Where goals lie."""
    success_radius: Scalar
    """A goal counts as reached within this distance, in m."""


class GraspParams(eqx.Module):
    """The numbers of [`deepcrl.envs.ArmGrasp`][]; each may be vmapped."""

    start: UniformBox
    """Where the cube's centre starts."""
    success_radius: Scalar
    """The middle between the fingertips must be this near to the cube's centre, in m."""
    openness_radius: Scalar
    """The distance between the fingertips must be this near to the commanded one, in m."""


def joint_targets(action: Float[Array, " 4"]) -> Float[Array, " 7"]:
    """The servos' targets in rad: linear in the action for joints 1, 2, 4, 6, constant for the others."""
    t = jnp.asarray(_LOW) + 0.5 * (action + 1.0) * jnp.asarray(_HIGH - _LOW)
    return jnp.stack([t[0], t[1], jnp.zeros(()), t[2], jnp.zeros(()), t[3], jnp.float32(_JOINT7)])


def finger_targets(action: Scalar) -> Float[Array, " 2"]:
    """The finger servos' input: closed (0) for positive actions, else open (255)."""
    return jnp.full(2, jnp.where(action > 0, 0.0, _OPEN))


def cube_at(place: Float[Array, " xyz"]) -> Float[Array, " 7"]:
    """Coordinates of an upright cube: position and quaternion."""
    return jnp.concatenate([place, jnp.array([1.0, 0.0, 0.0, 0.0])])


def body_velocity(physics: PhysicsState, body: int, root: int) -> Float[Array, " 3"]:
    """Velocity of a body's frame, in m/s along the world's axes; `root` is the body that its tree starts with."""
    turn, velocity = physics.derived["cvel"][body, :3], physics.derived["cvel"][body, 3:]
    return velocity + jnp.cross(turn, physics.derived["xpos"][body] - physics.derived["subtree_com"][root])


class AbstractArm(AbstractMujocoEnv):
    """What the tasks of the whole arm share."""

    @property
    def substeps(self) -> int:
        """25 of 0.002 s."""
        return 25

    @property
    def derived(self) -> tuple[str, ...]:
        """Those that positions and velocities of bodies need."""
        return ("xpos", "cvel", "subtree_com")

    def dense_reward(self, distance: Scalar, action: Float[Array, " action"]) -> Scalar:
        """Minus the distance."""
        return -distance


def _link7(physics: PhysicsState) -> Float[Array, " 6"]:
    return jnp.concatenate([physics.derived["xpos"][_LINK7], body_velocity(physics, _LINK7, _LINK0)])


def _cube_and_arm(physics: PhysicsState) -> Float[Array, " 16"]:
    return jnp.concatenate([physics.qpos[9:12], physics.qpos[:7], _link7(physics)])


def _around(cube: Float[Array, " xyz"], openness: Float[Array, " 1"]) -> Float[Array, " 7"]:
    """The goal of grasping: left and right fingertip, and how far they are apart."""
    offset = jnp.array([_TIP_OFFSET, 0.0, 0.0])
    return jnp.concatenate([cube + offset, cube - offset, openness])


FAR = 100.0  # m: a cube may be flung off
_JOINTS, _PLACE, _SPEED, _GAP = (4.0, 7), (2.0, 3), (100.0, 3), (0.5, 1)


class ArmCube(AbstractArm):
    r"""The arm moves a cube to a place on the table: by pushing, or from one bin into another.

    The action $a \in [-1, 1]^5$ sets the servos' targets anew at each step, linearly: joint 1 from 0.3491 to 2.7925 rad,
    joint 2 from 0 to 1.48353, joint 4 from -3.0718 to -0.0698, joint 6 from 2.3562 to 3.7525; joints 3, 5 and 7 keep
    0, 0 and 1.4487. The fingers close where $a_4 > 0$ and open elsewhere. As published, the servos' gains are smaller
    than their stiffness: without load, joint 4 settles at 4/7 of its target, joints 6 and 7 at 1/2. A control step is
    0.05 s.

    The observation (17) is the cube's centre x, y, z (m), the angles of joints 1 to 7 (rad), position (m) and velocity
    (m/s) of link 7's frame, and the distance between the fingers' frames (m). The achieved goal is the cube's centre. It
    counts as reached within 0.1 m (the published figures use 0.03 m for "hard" and 0.3 m for "easy" too:
    `params.success_radius`). Each episode draws the cube's start, at rest 4 cm above the table and upright, and the goal,
    on the table; the arm always starts in one pose. An episode never terminates, but for physics that fails. The
    `"dense"` reward is minus the distance to the goal in m.

    ??? cite "Source"
        Tasks: Bortkiewicz et al., *Accelerating Goal-Conditioned RL Algorithms and Research* (2025), and its use by Wang et
        al., *1000 Layer Networks for Self-Supervised RL* (2025). Robot: Franka Emika Panda.
    """

    start: tuple[float, float] = eqx.field(static=True)
    """Middle of the square where the cube starts, (x, y) in m; the arm stands at (0, 0)."""
    start_reach: float = eqx.field(static=True)
    """Half that square's side, in m."""
    target: tuple[float, float] = eqx.field(static=True)
    """Middle of the square where goals lie, (x, y) in m."""
    target_reach: float = eqx.field(static=True)
    """Half that square's side, in m."""
    bins: tuple[float, float] | None = eqx.field(default=None, static=True)
    """`None`, or two square bins with walls 0.066 m high: their centres' distance from x = 0, and that of their walls from
    the centres, in m."""

    def build_model(self) -> "mujoco.MjModel":
        """Arm, table, cube; bins, or colours on the table."""
        spec = robot_spec("panda")
        if self.bins is None:
            add_plates(spec, self.start, self.target, (self.start_reach, self.target_reach))
        else:
            add_bins(spec, *self.bins)
        return spec.compile()

    @property
    def default_params(self) -> CubeParams:
        """As chosen at construction; the published radius."""
        return CubeParams(
            start=on_table(self.start, self.start_reach, START_HEIGHT),
            goal=on_table(self.target, self.target_reach, REST_HEIGHT),
            success_radius=jnp.float32(0.1),
        )

    def observation_space(self, params: CubeParams | None = None) -> GoalObservation:
        """Generous: nothing is clipped to it."""
        return GoalObservation(space((FAR, 3), _JOINTS, _PLACE, _SPEED, _GAP), space((FAR, 3)), space((FAR, 3)))

    def action_space(self, params: CubeParams | None = None) -> Box:
        """Four joints' targets, and the fingers."""
        return Box(-1.0, 1.0, (5,))

    def draw_episode(self, key: Key, params: CubeParams) -> tuple[Array, Array, Array]:
        """Cube and goal at random, the arm in its pose, all at rest."""
        start_key, goal_key = jr.split(key)
        qpos = jnp.concatenate([jnp.asarray(_START_POSE), cube_at(params.start.draw(key=start_key))])
        return qpos, jnp.zeros(15), params.goal.draw(key=goal_key)

    def control(self, physics: PhysicsState, action: Float[Array, " action"], params: CubeParams) -> Array:
        """Targets of the nine servos."""
        return jnp.concatenate([joint_targets(action[:4]), finger_targets(action[4])])

    def observe(self, inner: MujocoState, params: CubeParams) -> GoalObservation:
        """As the class's docstring."""
        gap = jnp.sum(inner.physics.qpos[7:9], keepdims=True)
        seen = jnp.concatenate([_cube_and_arm(inner.physics), gap])
        return GoalObservation(seen, seen[:3], inner.goal)


class ArmReach(AbstractArm):
    r"""The arm brings link 7's frame to a place in the air.

    The action $a \in [-1, 1]^4$ is that of [`deepcrl.envs.ArmCube`][] without the fingers, which are fixed. The observation
    (13) is the angles of joints 1 to 7 (rad), position (m) and velocity (m/s) of link 7's frame, which is 0.107 m behind
    the hand's. The achieved goal is that position; it counts as reached within 0.1 m of a goal drawn from
    (0, 0.5, 0.3) ± 0.2 m. A control step is 0.05 s. An episode never terminates, but for physics that fails. The
    `"dense"` reward is minus the distance to the goal in m. Source: that of [`deepcrl.envs.ArmCube`][].
    """

    def build_model(self) -> "mujoco.MjModel":
        """Arm and table."""
        return reach_spec().compile()

    @property
    def default_params(self) -> ReachParams:
        """As published."""
        goal = UniformBox(jnp.array([0.0, 0.5, 0.3]), jnp.array([0.2, 0.2, 0.2]))
        return ReachParams(goal=goal, success_radius=jnp.float32(0.1))

    def observation_space(self, params: ReachParams | None = None) -> GoalObservation:
        """Generous: nothing is clipped to it."""
        return GoalObservation(space(_JOINTS, _PLACE, _SPEED), space(_PLACE), space(_PLACE))

    def action_space(self, params: ReachParams | None = None) -> Box:
        """Four joints' targets."""
        return Box(-1.0, 1.0, (4,))

    def draw_episode(self, key: Key, params: ReachParams) -> tuple[Array, Array, Array]:
        """The arm in its pose, at rest; a goal."""
        return jnp.asarray(_START_POSE[:7]), jnp.zeros(7), params.goal.draw(key=key)

    def control(self, physics: PhysicsState, action: Float[Array, " action"], params: ReachParams) -> Array:
        """Targets of the seven servos."""
        return joint_targets(action)

    def observe(self, inner: MujocoState, params: ReachParams) -> GoalObservation:
        """As the class's docstring."""
        seen = jnp.concatenate([inner.physics.qpos, _link7(inner.physics)])
        return GoalObservation(seen, seen[7:10], inner.goal)


class ArmGrasp(AbstractArm):
    r"""The arm brings its open fingers to both sides of a cube.

    Actions are those of [`deepcrl.envs.ArmCube`][]. The observation (23) is the cube's centre (m), the angles of joints 1
    to 7 (rad), position (m) and velocity (m/s) of link 7's frame, the left fingertip's position, the right one's, and the
    openness: the distance between the tips (m). The achieved goal (7) is those tips and the openness. The commanded goal
    follows the cube at every step: the tips 0.0375 m from its centre, left towards +x and right towards -x, and an
    openness of 0.075 m. It counts as reached when the middle between the tips is within 0.05 m of the cube's centre
    and the openness within 0.02 m of the commanded one (published "easy": 0.15 and 0.05; "hard": 0.02 and 0.005).
    A control step is 0.05 s. An episode never terminates, but for physics that fails. Distance is the straight line
    between goals of seven numbers, in m; the `"dense"` reward is minus it. Source: that of [`deepcrl.envs.ArmCube`][].
    """

    start_reach: float = eqx.field(default=0.3, static=True)
    """The cube starts in a square around (0, 0.6) m; half its side, in m."""

    def build_model(self) -> "mujoco.MjModel":
        """Arm, table, cube, and tips on the fingers."""
        return grasp_spec().compile()

    @property
    def default_params(self) -> GraspParams:
        """As published."""
        return GraspParams(
            start=on_table((0.0, 0.6), self.start_reach, START_HEIGHT),
            success_radius=jnp.float32(0.05),
            openness_radius=jnp.float32(0.02),
        )

    def observation_space(self, params: GraspParams | None = None) -> GoalObservation:
        """Generous: nothing is clipped to it."""
        goal = space((FAR, 6), _GAP)
        return GoalObservation(space((FAR, 3), _JOINTS, _PLACE, _SPEED, _PLACE, _PLACE, _GAP), goal, goal)

    def action_space(self, params: GraspParams | None = None) -> Box:
        """Four joints' targets, and the fingers."""
        return Box(-1.0, 1.0, (5,))

    def draw_episode(self, key: Key, params: GraspParams) -> tuple[Array, Array, Array]:
        """The cube at random, the arm in its pose, all at rest."""
        place = params.start.draw(key=key)
        qpos = jnp.concatenate([jnp.asarray(_START_POSE), cube_at(place)])
        return qpos, jnp.zeros(15), _around(place, jnp.full(1, 2 * _TIP_OFFSET))

    def control(self, physics: PhysicsState, action: Float[Array, " action"], params: GraspParams) -> Array:
        """Targets of the nine servos."""
        return jnp.concatenate([joint_targets(action[:4]), finger_targets(action[4])])

    def observe(self, inner: MujocoState, params: GraspParams) -> GoalObservation:
        """As the class's docstring."""
        left, right = inner.physics.derived["xpos"][_LEFT_TIP], inner.physics.derived["xpos"][_RIGHT_TIP]
        openness = jnp.linalg.norm(left - right, keepdims=True)
        seen = jnp.concatenate([_cube_and_arm(inner.physics), left, right, openness])
        return GoalObservation(seen, seen[16:], _around(seen[:3], inner.goal[6:]))

    def goal_place(self, goal: Float[Array, " goal"]) -> Float[Array, " place"]:
        """Between the tips."""
        return 0.5 * (goal[:3] + goal[3:6])

    def success(
        self, achieved_goal: Float[Array, " goal"], desired_goal: Float[Array, " goal"], params: GraspParams
    ) -> BoolScalar:
        """The tips' middle and the openness are both near enough."""
        off = achieved_goal - desired_goal
        middle = jnp.linalg.norm(0.5 * (off[:3] + off[3:6]))
        return (middle < params.success_radius) & (jnp.abs(off[6]) < params.openness_radius)
