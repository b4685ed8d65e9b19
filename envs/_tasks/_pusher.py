"""The pusher: an arm of seven joints that pushes a puck."""

from typing import TYPE_CHECKING

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from deepcrl._typing import Key, Scalar

from .._api import GoalObservation
from .._physics import PhysicsState
from .._robots import robot_spec
from .._spaces import Box
from ._boxes import space, UniformBox
from ._mujoco import AbstractMujocoEnv, MujocoState


if TYPE_CHECKING:
    import mujoco


_PUCK = np.array([0.45, -0.05, -0.275], np.float32)  # m: where the puck's slides are at 0
_START, _START_REACH = (0.3, -0.05, -0.275), (0.15, 0.2, 0.0)  # m
_TORQUE = 2.0  # N m


# The arm from its base to its tip: the way to the next joint, when all angles are 0, and that joint's axis.
_PAN, _LIFT, _ROLL = (0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)
_CHAIN = (
    ((0.0, -0.6, 0.0), _PAN),
    ((0.1, 0.0, 0.0), _LIFT),
    ((0.0, 0.0, 0.0), _ROLL),
    ((0.4, 0.0, 0.0), _LIFT),
    ((0.0, 0.0, 0.0), _ROLL),
    ((0.321, 0.0, 0.0), _LIFT),
    ((0.0, 0.0, 0.0), _ROLL),
)
_TO_TIP = (0.1, 0.0, 0.0)  # m, from the last joint


def _tip(angles: Float[Array, " 7"]) -> Float[Array, " 3"]:
    """Where the fork's tip is, in m: carried from the last joint's frame to the world's, joint by joint. MuJoCo knows it as
    well, at a seventh of a step more."""
    place = jnp.array(_TO_TIP)
    for angle, link in zip(reversed(angles), reversed(_CHAIN), strict=True):
        way, axis = jnp.array(link)
        along = axis * jnp.dot(axis, place, precision="highest")  # Rodrigues' rotation
        place = way + along + (place - along) * jnp.cos(angle) + jnp.cross(axis, place) * jnp.sin(angle)
    return place


class PusherParams(eqx.Module):
    """The numbers of a [`deepcrl.envs.Pusher`][]; each may be vmapped."""

    start: UniformBox
    """Where the puck's centre starts."""
    goal: UniformBox
    """Where goals lie."""
    min_distance: Scalar
    """A puck that would start nearer to its goal than this starts so far from it, straight away from it; in m."""
    velocity_noise: Scalar
    """Joints start with velocities uniform within this of 0, in rad/s."""
    success_radius: Scalar
    """A goal counts as reached within this distance, in m."""


class Pusher(AbstractMujocoEnv):
    r"""An arm with a fork pushes a puck over a table to a place.

    Seven torques $2\,a$ (N m), $a \in [-1, 1]$, on shoulder pan, shoulder lift, upper arm roll, elbow, forearm roll, wrist
    flex and wrist roll; a control step is 0.05 s (5 of 0.01 s). The observation (20) is the joints' angles (rad), the
    position of the fork's tip x, y, z (m), the puck's (m), and the joints' velocities (rad/s). The achieved goal is the
    puck's position; it counts as reached within 0.1 m. The arm starts stretched out and at rest (velocities
    ±0.005 rad/s); the puck starts within (0.3 ± 0.15, -0.05 ± 0.2) m and at least 0.17 m from its goal. There is no
    gravity; the puck slides with damping. An episode never terminates, but for physics that fails. With the distance
    $d$ of the puck to the goal in m, the `"dense"` reward is $-d - 0.1 \lVert a \rVert^2$.

    ??? cite "Source"
        The task of Gym and Brax, with goals as in Bortkiewicz et al., *Accelerating Goal-Conditioned RL Algorithms and
        Research* (2025).
    """

    target: tuple[float, float] = eqx.field(static=True)
    """Middle of the rectangle where goals lie, (x, y) in m."""
    target_reach: tuple[float, float] = eqx.field(static=True)
    """Half its sides, (x, y) in m."""

    def build_model(self) -> "mujoco.MjModel":
        """Arm, table and puck."""
        return robot_spec("pusher").compile()

    @property
    def substeps(self) -> int:
        """5 of 0.01 s."""
        return 5

    @property
    def default_params(self) -> PusherParams:
        """As published, with the goals chosen at construction."""
        goal = UniformBox(jnp.array([*self.target, float(_PUCK[2])]), jnp.array([*self.target_reach, 0.0]))
        return PusherParams(
            start=UniformBox(jnp.array(_START), jnp.array(_START_REACH)),
            goal=goal,
            min_distance=jnp.float32(0.17),
            velocity_noise=jnp.float32(0.005),
            success_radius=jnp.float32(0.1),
        )

    def observation_space(self, params: PusherParams | None = None) -> GoalObservation:
        """Generous: nothing is clipped to it."""
        place = space((20.0, 3))
        return GoalObservation(space((4.0, 7), (2.0, 3), (20.0, 3), (200.0, 7)), place, place)

    def action_space(self, params: PusherParams | None = None) -> Box:
        """Share of the greatest torque, for each joint."""
        return Box(-1.0, 1.0, (7,))

    def draw_episode(self, key: Key, params: PusherParams) -> tuple[Array, Array, Array]:
        """Puck and goal at random, not too near to each other."""
        start_key, goal_key, velocity_key = jr.split(key, 3)
        goal = params.goal.draw(key=goal_key)
        way = params.start.draw(key=start_key) - goal
        length = jnp.linalg.norm(way)
        way = jnp.where(length > 1e-6, way, jnp.array([1e-6, 0.0, 0.0]))
        puck = goal + way * jnp.maximum(1.0, params.min_distance / jnp.maximum(length, 1e-6))
        qpos = jnp.concatenate([jnp.zeros(7), (puck - jnp.asarray(_PUCK))[:2]])
        qvel = params.velocity_noise * jr.uniform(velocity_key, (7,), minval=-1.0, maxval=1.0)
        return qpos, jnp.concatenate([qvel, jnp.zeros(2)]), goal

    def control(self, physics: PhysicsState, action: Float[Array, " action"], params: PusherParams) -> Array:
        """Torques in N m."""
        return _TORQUE * action

    def observe(self, inner: MujocoState, params: PusherParams) -> GoalObservation:
        """As the class's docstring."""
        qpos, qvel = inner.physics.qpos, inner.physics.qvel
        puck = jnp.asarray(_PUCK) + jnp.concatenate([qpos[7:], jnp.zeros(1)])
        seen = jnp.concatenate([qpos[:7], _tip(qpos[:7]), puck, qvel[:7]])
        return GoalObservation(seen, puck, inner.goal)

    def dense_reward(self, distance: Scalar, action: Float[Array, " action"]) -> Scalar:
        """As the class's docstring."""
        return -distance - 0.1 * jnp.sum(jnp.square(action))
