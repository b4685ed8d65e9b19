"""The ant: a torso on four legs."""

from typing import TYPE_CHECKING

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PyTree

from deepcrl._errors import check_flag
from deepcrl._typing import BoolScalar, Key, Scalar

from .._api import GoalObservation
from .._physics import PhysicsState
from .._robots import robot_spec
from .._spaces import Box
from ._arena import AbstractArena
from ._mujoco import AbstractMujocoEnv, MujocoState, RobotParams


if TYPE_CHECKING:
    import mujoco


TOUCHES_WALLS = ["torso", *(f"{part}_{leg}" for part in ("upper", "foot") for leg in (1, 2, 3, 4))]
FRICTION = (1.0, 1.0, 0.5, 0.5, 0.5)
REACH = 2.0  # m: walls of this height no ant gets over, as it has fallen when its torso is 1 m high
_START_HEIGHT = 0.55
_START_JOINTS = np.array([0, 1, 0, -1, 0, -1, 0, 1], np.float32)  # rad: hip and ankle of legs 1 to 4


class Ant(AbstractMujocoEnv):
    r"""The ant, with the torso's place as goal.

    Eight torques $150\,a$ (N m), $a \in [-1, 1]$, in the order hip 4, ankle 4, hip 1, ankle 1, hip 2, ankle 2, hip 3,
    ankle 3; a control step is 0.05 s (5 of 0.01 s). The observation (29) is `qpos` (torso x, y, z in m, quaternion
    w x y z, hip and ankle of legs 1 to 4 in rad) and `qvel`; the achieved goal is the torso's (x, y) in m.
    It starts with its legs down; every coordinate is moved by up to 0.1, every velocity drawn with a standard deviation
    of 0.1. An episode ends when the torso's centre leaves 0.2 to 1.0 m of height. The goal counts as reached within
    0.5 m. The `"dense"` reward is $1 - d - \frac12 \lVert a \rVert^2$, with the distance $d$ to the goal in m.

    In a maze, walls stop torso, upper legs and feet; the lower legs pass through them, as in the published model.
    With `unit_links` it is as heavy as in the published runs, whose engine gave every link a mass of 1 kg and moments of
    inertia of 1 kg m² in place of the model's: it jumps and falls much less.
    """

    arena: AbstractArena = eqx.field(static=True)
    """Where it moves."""
    unit_links: bool = eqx.field(default=False, static=True, kw_only=True)
    """Whether torso and legs weigh 1 kg each, 9 in all, in place of 0.91 kg together."""

    def __check_init__(self):
        check_flag("unit_links", self.unit_links)

    def build_model(self) -> "mujoco.MjModel":
        """The ant in its arena."""
        import mujoco

        spec = robot_spec("ant")
        self.arena.add_to(spec, TOUCHES_WALLS, FRICTION, REACH)
        model = spec.compile()
        if self.unit_links:
            links = model.body_mass > 0
            model.body_mass[links], model.body_inertia[links] = 1.0, 1.0
            mujoco.mj_setConst(model, mujoco.MjData(model))  # what follows from masses
        return model

    @property
    def substeps(self) -> int:
        """5 of 0.01 s."""
        return 5

    @property
    def default_params(self) -> RobotParams:
        """Noise and radius as published; the arena's own."""
        return ant_params(self.arena.default_params)

    def observation_space(self, params: RobotParams | None = None) -> GoalObservation:
        """Generous: nothing is clipped to it."""
        return ant_spaces(self.arena.bounds())

    def action_space(self, params: RobotParams | None = None) -> Box:
        """Share of the greatest torque, for each joint."""
        return Box(-1.0, 1.0, (8,))

    def draw_episode(self, key: Key, params: RobotParams) -> tuple[Array, Array, Array]:
        """Near the arena's start, legs down."""
        arena_key, *noise_keys = jr.split(key, 3)
        start, goal = self.arena.draw(params.arena, key=arena_key)
        qpos, qvel = ant_start(start, params, keys=noise_keys)
        return qpos, qvel, goal

    def control(self, physics: PhysicsState, action: Float[Array, " action"], params: RobotParams) -> Array:
        """The action itself."""
        return action

    def observe(self, inner: MujocoState, params: RobotParams) -> GoalObservation:
        """Positions and velocities."""
        qpos, qvel = inner.physics.qpos, inner.physics.qvel
        return GoalObservation(jnp.concatenate([qpos, qvel]), qpos[:2], inner.goal)

    def fell(self, physics: PhysicsState, params: RobotParams) -> BoolScalar:
        """The torso's centre is not between 0.2 and 1.0 m high."""
        return ant_fell(physics)

    def dense_reward(self, distance: Scalar, action: Float[Array, " action"]) -> Scalar:
        """As the class's docstring."""
        return 1.0 - distance - 0.5 * jnp.sum(jnp.square(action))


def ant_params(arena: PyTree) -> RobotParams:
    """Noise and radius as published, with the numbers of an arena."""
    return RobotParams(
        arena=arena,
        pose_noise=jnp.float32(0.1),
        velocity_noise=jnp.float32(0.1),
        success_radius=jnp.float32(0.5),
    )


def ant_spaces(
    bounds: tuple[np.ndarray, np.ndarray], extra: tuple[np.ndarray, np.ndarray] | None = None
) -> GoalObservation:
    """The ant's spaces where its place lies within `bounds`, with more numbers at the end of the observation."""
    (low, high), (extra_low, extra_high) = bounds, ((), ()) if extra is None else extra
    joints, speeds = np.full(8, 4.0), np.full(14, 200.0)
    return GoalObservation(
        Box(
            np.concatenate([low, [-1.0], np.full(4, -1.2), -joints, -speeds, extra_low]),
            np.concatenate([high, [10.0], np.full(4, 1.2), joints, speeds, extra_high]),
        ),
        Box(low, high),
        Box(low, high),
    )


def ant_start(
    place: Float[Array, " xy"], params: RobotParams, *, keys: list[Key], height: float = _START_HEIGHT
) -> tuple[Array, Array]:
    """Positions (15) and velocities (14) of an ant that stands at a place, with noise."""
    rest = jnp.concatenate([place, jnp.array([height, 1.0, 0.0, 0.0, 0.0]), jnp.asarray(_START_JOINTS)])
    qpos = rest + params.pose_noise * jr.uniform(keys[0], (15,), minval=-1.0, maxval=1.0)
    return qpos, params.velocity_noise * jr.normal(keys[1], (14,))


def ant_fell(physics: PhysicsState) -> BoolScalar:
    """The torso's centre is not between 0.2 and 1.0 m high."""
    height = physics.qpos[2]
    return (height < 0.2) | (height > 1.0)
