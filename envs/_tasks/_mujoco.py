"""What all tasks on MuJoCo share: the engine, the step, and what happens when a simulation fails."""

import abc
import dataclasses
import functools as ft
from typing import Any, TYPE_CHECKING

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from deepcrl._errors import check_choice
from deepcrl._typing import BoolScalar, Key, Scalar

from .._api import AbstractGoalEnv
from .._physics import AbstractEngine, EngineName, ENGINES, make_engine, PhysicsState
from ._reward import Reward, REWARDS


if TYPE_CHECKING:
    import mujoco


class MujocoState(eqx.Module):
    """A simulation and the commanded goal."""

    physics: PhysicsState
    """Positions, velocities and what follows from them."""
    goal: Float[Array, " goal"]
    """The commanded goal."""


class RobotParams(eqx.Module):
    """The numbers of a task on MuJoCo; each may be vmapped."""

    arena: PyTree
    """Where starts and goals lie: of the task's arena."""
    pose_noise: Scalar
    """Every coordinate starts uniform within this distance of its rest value (m, rad, parts of a quaternion)."""
    velocity_noise: Scalar
    """Standard deviation of the starting velocities, in m/s and rad/s."""
    success_radius: Scalar
    """A goal counts as reached within this distance, in m."""


class AbstractMujocoEnv(AbstractGoalEnv):
    """A task on a MuJoCo model. Subclass it by the hooks below.

    Distance is the straight line between goals, success a distance below `params.success_radius`; a task whose goals
    mean something else defines its own.

    **Arguments** of every task on MuJoCo, besides those of all environments:

    - `engine`: what simulates: `"native"` (MuJoCo in C on the CPU), `"mjx"` (in JAX, any device), `"warp"` (NVIDIA), or
      `None` for the fastest one on this machine.
    - `reward`: `"sparse"`, 1 on success, else 0; or `"dense"`, as the task's docstring has it.
    """

    episode_length: int = eqx.field(default=1000, static=True, kw_only=True)
    engine: EngineName | None = eqx.field(default=None, static=True, kw_only=True)
    reward: Reward = eqx.field(default="sparse", static=True, kw_only=True)

    def __check_init__(self):
        check_choice("reward", self.reward, REWARDS)
        if self.engine is not None:
            check_choice("engine", self.engine, ENGINES)

    @abc.abstractmethod
    def build_model(self) -> "mujoco.MjModel":
        """The compiled model. Import mujoco inside, so that tasks without it stay quick to import."""

    @property
    @abc.abstractmethod
    def substeps(self) -> int:
        """Simulation steps of one control step."""

    @property
    def derived(self) -> tuple[str, ...]:
        """Names of the quantities, as in `mujoco.MjData`, that observations need besides `qpos` and `qvel`."""
        return ()

    @abc.abstractmethod
    def draw_episode(
        self, key: Key, params: PyTree
    ) -> tuple[Float[Array, " nq"], Float[Array, " nv"], Float[Array, " goal"]]:
        """Positions and velocities at the start of an episode, and the commanded goal."""

    @abc.abstractmethod
    def control(self, physics: PhysicsState, action: Float[Array, " action"], params: PyTree) -> Float[Array, " nu"]:
        """The actuators' input for an action, which lies in the action space."""

    @abc.abstractmethod
    def dense_reward(self, distance: Scalar, action: Float[Array, " action"]) -> Scalar:
        """The dense reward at a distance to the goal, for the action that led there."""

    def fell(self, physics: PhysicsState, params: PyTree) -> BoolScalar:
        """Whether the episode ends because the robot fell or left its range. By default never."""
        return jnp.zeros((), bool)

    def failed(self, inner: MujocoState, params: PyTree) -> BoolScalar:
        """Whether the last step came to numbers that are not finite."""
        return inner.physics.failed

    def goal_place(self, goal: Float[Array, " goal"]) -> Float[Array, " place"]:
        """Where pictures mark a goal: its x, y and z in m, or only the first of them, or none where it is no place.
        By default the goal's first numbers, at most three."""
        return goal[:3]

    def distance(
        self, achieved_goal: Float[Array, " goal"], desired_goal: Float[Array, " goal"], params: PyTree
    ) -> Scalar:
        """The straight line, in m."""
        return jnp.sqrt(jnp.maximum(jnp.sum(jnp.square(achieved_goal - desired_goal)), 1e-12))

    def success(
        self, achieved_goal: Float[Array, " goal"], desired_goal: Float[Array, " goal"], params: PyTree
    ) -> BoolScalar:
        """Within `params.success_radius`."""
        return self.distance(achieved_goal, desired_goal, params) < params.success_radius

    @property
    def simulator(self) -> AbstractEngine:
        """The engine with this task's model; built once per process and model, however the model came about."""
        return _simulator(_Compiled.of(self), self.engine, self.substeps, tuple(self.derived))

    def reset_env(self, key: Key, params: PyTree) -> MujocoState:
        """A start and a commanded goal."""
        qpos, qvel, goal = self.draw_episode(key, params)
        simulator = self.simulator
        qpos = self._vector(qpos, "`qpos` of `draw_episode`", simulator.layout.qpos, "coordinates")
        qvel = self._vector(qvel, "`qvel` of `draw_episode`", simulator.layout.qvel, "degrees of freedom")
        return MujocoState(physics=simulator.init(qpos, qvel), goal=goal)

    def refresh_env(self, inner: MujocoState, stale: BoolScalar, params: PyTree) -> MujocoState:
        """Kinematics of the simulations that were reset."""
        return MujocoState(physics=self.simulator.refresh(inner.physics, stale), goal=inner.goal)

    def step_env(
        self, key: Key, inner: MujocoState, action: Float[Array, " action"], params: PyTree
    ) -> tuple[MujocoState, Scalar, BoolScalar]:
        """One control step. A simulation that comes to numbers that are not finite keeps its last state, is marked by
        `inner.physics.failed`, and ends the episode."""
        space, simulator = self.action_space(params), self.simulator
        action = jnp.clip(action, space.low, space.high)
        ctrl = self.control(inner.physics, action, params)
        ctrl = self._vector(ctrl, "`control`", simulator.layout.ctrl, "actuators")
        physics = simulator.step(inner.physics, ctrl)
        after = MujocoState(physics=physics, goal=inner.goal)
        seen = self.observe(after, params)
        if self.reward == "dense":
            reward = self.dense_reward(self.distance(seen.achieved_goal, seen.desired_goal, params), action)
        else:
            reward = self.success(seen.achieved_goal, seen.desired_goal, params).astype(jnp.float32)
        return after, reward, physics.failed | self.fell(physics, params)

    def _vector(self, given: Any, what: str, size: int, unit: str) -> Array:
        """What a hook gave, if it fits the model."""
        vector = jnp.asarray(given)
        if vector.shape != (size,) or vector.dtype != jnp.float32:
            raise ValueError(
                f"The model of `{type(self).__name__}` has {size} {unit}: {what} must be float32 of shape {(size,)}, got "
                f"{vector.dtype} of shape {vector.shape}."
            )
        return vector


@dataclasses.dataclass(frozen=True)
class _Compiled:
    """A compiled model, told from others by what is in it: a file or a text that it is built from may change."""

    content: bytes
    model: "mujoco.MjModel" = dataclasses.field(compare=False)

    @staticmethod
    def of(env: AbstractMujocoEnv) -> "_Compiled":
        import mujoco

        model = env.build_model()
        if not isinstance(model, mujoco.MjModel):
            raise TypeError(
                f"`{type(env).__name__}.build_model` must return a compiled `mujoco.MjModel`, got a "
                f"`{type(model).__name__}`: for an `MjSpec` return `spec.compile()`."
            )
        content = np.empty(mujoco.mj_sizeModel(model), np.uint8)
        mujoco.mj_saveModel(model, None, content)
        return _Compiled(content.tobytes(), model)


@ft.lru_cache(maxsize=64)
def _simulator(
    compiled: _Compiled, engine: EngineName | None, substeps: int, derived: tuple[str, ...]
) -> AbstractEngine:
    return make_engine(compiled.model, engine, substeps=substeps, derived=derived)
