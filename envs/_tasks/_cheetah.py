"""The half-cheetah: it runs in a plane."""

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


_FAR = 1000.0  # m


class CheetahParams(eqx.Module):
    """The numbers of a [`deepcrl.envs.Cheetah`][]; each may be vmapped."""

    target: Scalar
    """The goal, in m along x; the cheetah starts at 0."""
    pose_noise: Scalar
    """Every coordinate starts uniform within this of 0 (m, rad)."""
    velocity_noise: Scalar
    """Standard deviation of the starting velocities, in m/s and rad/s."""
    success_radius: Scalar
    """The goal counts as reached within this distance, in m."""


class Cheetah(AbstractMujocoEnv):
    r"""The half-cheetah, with its place along a line as goal.

    Six torques: 120, 90, 60, 120, 60 and 30 N m times $a \in [-1, 1]$, on hind thigh, shin and foot, front thigh, shin and
    foot; a control step is 0.05 s (5 of 0.01 s). The observation (18) is `qpos` (x, z in m, pitch and the six joints
    in rad; z counts from 0.7 m) and `qvel`. The achieved goal is x (m); the goal is always 5 m ahead and counts as reached
    within 0.5 m (the published figures use 2 m for "easy" too). Coordinates start within ±0.1 of 0, velocities with a
    standard deviation of 0.1. An episode never terminates, but for physics that fails. The `"dense"` reward is minus the
    distance to the goal in m.

    ??? cite "Source"
        The robot of Gym and Brax; the task of Bortkiewicz et al., *Accelerating Goal-Conditioned RL Algorithms and
        Research* (2025).
    """

    def build_model(self) -> "mujoco.MjModel":
        """The cheetah on its floor."""
        return robot_spec("cheetah").compile()

    @property
    def substeps(self) -> int:
        """5 of 0.01 s."""
        return 5

    @property
    def default_params(self) -> CheetahParams:
        """As published."""
        return CheetahParams(
            target=jnp.float32(5.0),
            pose_noise=jnp.float32(0.1),
            velocity_noise=jnp.float32(0.1),
            success_radius=jnp.float32(0.5),
        )

    def observation_space(self, params: CheetahParams | None = None) -> GoalObservation:
        """Generous: nothing is clipped to it."""
        seen = space((_FAR, 1), (10.0, 1), (1000.0, 1), (4.0, 6), (200.0, 9))
        return GoalObservation(seen, space((_FAR, 1)), space((_FAR, 1)))

    def action_space(self, params: CheetahParams | None = None) -> Box:
        """Share of the greatest torque, for each joint."""
        return Box(-1.0, 1.0, (6,))

    def draw_episode(self, key: Key, params: CheetahParams) -> tuple[Array, Array, Array]:
        """Near the origin, with noise; the goal."""
        pose_key, velocity_key = jr.split(key)
        qpos = params.pose_noise * jr.uniform(pose_key, (9,), minval=-1.0, maxval=1.0)
        qvel = params.velocity_noise * jr.normal(velocity_key, (9,))
        return qpos, qvel, params.target[None]

    def control(self, physics: PhysicsState, action: Float[Array, " action"], params: CheetahParams) -> Array:
        """The action itself."""
        return action

    def observe(self, inner: MujocoState, params: CheetahParams) -> GoalObservation:
        """Positions and velocities."""
        qpos, qvel = inner.physics.qpos, inner.physics.qvel
        return GoalObservation(jnp.concatenate([qpos, qvel]), qpos[:1], inner.goal)

    def dense_reward(self, distance: Scalar, action: Float[Array, " action"]) -> Scalar:
        """Minus the distance."""
        return -distance
