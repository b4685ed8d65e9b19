"""The reacher: an arm of two links in a plane."""

import functools as ft
from typing import TYPE_CHECKING

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from deepcrl._typing import Key, Scalar

from .._api import GoalObservation
from .._physics import PhysicsState
from .._robots import robot_spec
from .._spaces import Box
from ._boxes import space
from ._mujoco import AbstractMujocoEnv, MujocoState


if TYPE_CHECKING:
    import mujoco


_dot = ft.partial(jnp.dot, precision="highest")
_LINK, _TO_TIP, _HEIGHT = 0.1, 0.11, 0.01  # m: first link, from its end to the tip, over the floor


class ReacherParams(eqx.Module):
    """The numbers of a [`deepcrl.envs.Reacher`][]; each may be vmapped."""

    target_reach: Scalar
    """The farthest goals, in m from the base; the distance is uniform, and so is the direction."""
    pose_noise: Scalar
    """Joints start uniform within this of the straight arm, in rad."""
    velocity_noise: Scalar
    """Joints start with velocities uniform within this of 0, in rad/s."""
    success_radius: Scalar
    """A goal counts as reached within this distance, in m."""


class Reacher(AbstractMujocoEnv):
    r"""A planar arm of two links brings its tip to a place.

    Two torques $25\,a$ (N m), $a \in [-1, 1]$, on joints of inertia 1 kg m² and damping 1 N m s/rad; a control step is
    0.04 s (4 of 0.01 s). The observation (10) is the cosines of both joints' angles, their sines, the tip's position x,
    y, z (m) and its velocity (m/s). The achieved goal is the tip's position; it counts as reached within 0.05 m. Goals lie
    up to 0.2 m from the base. The arm starts nearly straight and at rest (angles ±0.1 rad, velocities ±0.005 rad/s). An
    episode never terminates, but for physics that fails. The `"dense"` reward is minus the distance to the goal in m.

    ??? cite "Source"
        The task of Gym and Brax, with the torque and the control step of Bortkiewicz et al., *Accelerating Goal-Conditioned
        RL Algorithms and Research* (2025).
    """

    def build_model(self) -> "mujoco.MjModel":
        """The arm."""
        return robot_spec("reacher").compile()

    @property
    def substeps(self) -> int:
        """4 of 0.01 s."""
        return 4

    @property
    def default_params(self) -> ReacherParams:
        """As published."""
        return ReacherParams(
            target_reach=jnp.float32(0.2),
            pose_noise=jnp.float32(0.1),
            velocity_noise=jnp.float32(0.005),
            success_radius=jnp.float32(0.05),
        )

    def observation_space(self, params: ReacherParams | None = None) -> GoalObservation:
        """Generous: nothing is clipped to it."""
        place = space((0.3, 3))
        return GoalObservation(space((1.0, 4), (0.3, 3), (20.0, 3)), place, place)

    def action_space(self, params: ReacherParams | None = None) -> Box:
        """Share of the greatest torque, for each joint."""
        return space((1.0, 2))

    def draw_episode(self, key: Key, params: ReacherParams) -> tuple[Array, Array, Array]:
        """Nearly straight and at rest; a goal around the base."""
        pose_key, velocity_key, angle_key, distance_key = jr.split(key, 4)
        qpos = params.pose_noise * jr.uniform(pose_key, (2,), minval=-1.0, maxval=1.0)
        qvel = params.velocity_noise * jr.uniform(velocity_key, (2,), minval=-1.0, maxval=1.0)
        angle = jr.uniform(angle_key, maxval=2 * jnp.pi)
        distance = params.target_reach * jr.uniform(distance_key)
        goal = jnp.stack([distance * jnp.cos(angle), distance * jnp.sin(angle), jnp.float32(_HEIGHT)])
        return qpos, qvel, goal

    def control(self, physics: PhysicsState, action: Float[Array, " action"], params: ReacherParams) -> Array:
        """The action itself."""
        return action

    def observe(self, inner: MujocoState, params: ReacherParams) -> GoalObservation:
        """As the class's docstring."""
        angle, turn = inner.physics.qpos, inner.physics.qvel
        # Along the first link, and along the second: its angle and its speed are sums.
        angles, turns, lengths = jnp.cumsum(angle), jnp.cumsum(turn), jnp.array([_LINK, _TO_TIP])
        x, y = _dot(lengths, jnp.cos(angles)), _dot(lengths, jnp.sin(angles))
        speed_x, speed_y = -_dot(lengths * turns, jnp.sin(angles)), _dot(lengths * turns, jnp.cos(angles))
        tip = jnp.stack([x, y, jnp.float32(_HEIGHT)])
        velocity = jnp.stack([speed_x, speed_y, jnp.zeros(())])
        seen = jnp.concatenate([jnp.cos(angle), jnp.sin(angle), tip, velocity])
        return GoalObservation(seen, tip, inner.goal)

    def dense_reward(self, distance: Scalar, action: Float[Array, " action"]) -> Scalar:
        """Minus the distance."""
        return -distance
