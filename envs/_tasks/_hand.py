"""The Panda's hand without the arm, moved by its place."""

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
from ._arm import cube_at, CubeParams, FAR, finger_targets, on_table, REST_HEIGHT, START_HEIGHT
from ._arm_models import add_bins
from ._boxes import space
from ._mujoco import AbstractMujocoEnv, MujocoState


if TYPE_CHECKING:
    import mujoco


_START = np.array([0.0, 0.6, 0.2, 0.04, 0.04], np.float32)  # m: the hand's x, y, z and the fingers
_STRIDE = 0.2  # m: how far ahead of the hand its target lies at most, along each axis


class HandCube(AbstractMujocoEnv):
    r"""A hand on three slides puts a cube from one bin into another.

    The action $a \in [-1, 1]^4$ puts the hand's target to its place plus $0.2\,a_{0:3}$ m; the fingers close where
    $a_3 > 0$ and open elsewhere. A control step is 0.05 s. The observation (11) is the cube's centre x, y, z (m), the
    hand's position (m) and velocity (m/s), the distance between the fingers' frames (m), and the gripper's force: a tenth
    of the mean of the two finger servos' forces in N, positive where they open, at the end of the control step; 0 in the
    first observation. The achieved goal is the cube's centre; it counts as reached within 0.1 m. The hand starts at
    (0, 0.6, 0.2) m, pointing down; invisible walls around the table keep the cube in reach. An episode never terminates,
    but for physics that fails. The `"dense"` reward is minus the distance to the goal in m. Source: that of
    [`deepcrl.envs.ArmCube`][].
    """

    start: tuple[float, float] = eqx.field(static=True)
    """Middle of the square where the cube starts, (x, y) in m."""
    start_reach: float = eqx.field(static=True)
    """Half that square's side, in m."""
    target: tuple[float, float] = eqx.field(static=True)
    """Middle of the square where goals lie, (x, y) in m."""
    target_reach: float = eqx.field(static=True)
    """Half that square's side, in m."""
    bins: tuple[float, float] = eqx.field(static=True)
    """Two square bins with walls 0.066 m high: their centres' distance from x = 0, and that of their walls from the
    centres, in m."""

    def build_model(self) -> "mujoco.MjModel":
        """Hand, table, cube, bins, walls."""
        spec = robot_spec("panda_hand")
        add_bins(spec, *self.bins)
        return spec.compile()

    @property
    def substeps(self) -> int:
        """25 of 0.002 s."""
        return 25

    @property
    def derived(self) -> tuple[str, ...]:
        """Those that the gripper's force needs."""
        return ("qfrc_actuator",)

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
        seen = space((FAR, 3), (2.0, 3), (100.0, 3), (0.5, 1), (100.0, 1))
        return GoalObservation(seen, space((FAR, 3)), space((FAR, 3)))

    def action_space(self, params: CubeParams | None = None) -> Box:
        """Where to, and the fingers."""
        return Box(-1.0, 1.0, (4,))

    def draw_episode(self, key: Key, params: CubeParams) -> tuple[Array, Array, Array]:
        """Cube and goal at random, the hand in its place, all at rest."""
        start_key, goal_key = jr.split(key)
        qpos = jnp.concatenate([jnp.asarray(_START), cube_at(params.start.draw(key=start_key))])
        return qpos, jnp.zeros(11), params.goal.draw(key=goal_key)

    def control(self, physics: PhysicsState, action: Float[Array, " action"], params: CubeParams) -> Array:
        """Targets of the five servos."""
        return jnp.concatenate([physics.qpos[:3] + _STRIDE * action[:3], finger_targets(action[3])])

    def observe(self, inner: MujocoState, params: CubeParams) -> GoalObservation:
        """As the class's docstring."""
        qpos, qvel = inner.physics.qpos, inner.physics.qvel
        gap = jnp.sum(qpos[3:5], keepdims=True)
        force = 0.1 * jnp.mean(inner.physics.derived["qfrc_actuator"][3:5], keepdims=True)
        cube = qpos[5:8]
        return GoalObservation(jnp.concatenate([cube, qpos[:3], qvel[:3], gap, force]), cube, inner.goal)

    def dense_reward(self, distance: Scalar, action: Float[Array, " action"]) -> Scalar:
        """Minus the distance."""
        return -distance
