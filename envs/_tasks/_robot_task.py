"""Tasks put together from a robot, an arena, and objects."""

from typing import Literal, TYPE_CHECKING

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from deepcrl._errors import check_choice
from deepcrl._typing import BoolScalar, Key, Scalar

from .._api import GoalObservation
from .._physics import PhysicsState
from .._robots import AbstractRobot
from .._spaces import Box
from ._arena import AbstractArena
from ._mujoco import AbstractMujocoEnv, MujocoState, RobotParams
from ._objects import AbstractObject


if TYPE_CHECKING:
    import mujoco


class RobotTask(AbstractMujocoEnv):
    """A robot shall get to a place in an arena, or bring an object there.

    The observation is the robot's, then (x, y) of every object in m. The goal counts as reached within 0.5 m.
    """

    robot: AbstractRobot = eqx.field(static=True)
    """What moves, and how it is seen and driven."""
    arena: AbstractArena = eqx.field(static=True)
    """Where it moves: walls, starts and goals."""
    objects: tuple[AbstractObject, ...] = eqx.field(default=(), static=True)
    """What else can be moved."""
    goal: Literal["robot", "object"] = eqx.field(default="robot", static=True)
    """Whose place is the achieved goal: the robot's, or the first object's."""

    def __check_init__(self):
        check_choice("goal", self.goal, ("robot", "object"))
        if self.goal == "object" and not self.objects:
            raise ValueError("With `goal` = 'object' a task needs an object, got no `objects`.")
        for thing in self.objects:
            thing.check(self.arena)

    def build_model(self) -> "mujoco.MjModel":
        """Robot, objects and arena."""
        spec = self.robot.spec()
        for thing in self.objects:
            thing.add_to(spec, self.robot)
        geoms = [*self.robot.touching, *(thing.geom for thing in self.objects)]
        self.arena.add_to(spec, geoms, self.robot.friction, self.robot.reach)
        return self.robot.finish(spec.compile())

    @property
    def substeps(self) -> int:
        """The robot's."""
        return self.robot.substeps

    @property
    def derived(self) -> tuple[str, ...]:
        """The robot's."""
        return self.robot.derived

    @property
    def default_params(self) -> RobotParams:
        """The robot's noise, the arena's numbers, the published radius."""
        pose_noise, velocity_noise = self.robot.noise
        return RobotParams(
            arena=self.arena.default_params,
            pose_noise=jnp.float32(pose_noise),
            velocity_noise=jnp.float32(velocity_noise),
            success_radius=jnp.float32(0.5),
        )

    def observation_space(self, params: RobotParams | None = None) -> GoalObservation:
        """Without bounds."""
        goal = Box.unbounded(self._goal_at(jnp.zeros(2)).size)
        return GoalObservation(Box.unbounded(self.robot.sizes[2] + 2 * len(self.objects)), goal, goal)

    def action_space(self, params: RobotParams | None = None) -> Box:
        """Share of the greatest input, for each actuator."""
        return Box(-1.0, 1.0, (self.robot.sizes[3],))

    def draw_episode(self, key: Key, params: RobotParams) -> tuple[Array, Array, Array]:
        """The robot at the arena's start, with noise; objects at places of their own."""
        arena_key, pose_key, velocity_key, *keys = jr.split(key, 3 + len(self.objects))
        start, goal = self.arena.draw(params.arena, key=arena_key)
        num_positions, num_velocities, *_ = self.robot.sizes
        noise = params.pose_noise * jr.uniform(pose_key, (num_positions,), minval=-1.0, maxval=1.0)
        qvel = params.velocity_noise * jr.normal(velocity_key, (num_velocities,))
        qpos, qvel = self._with_objects(self.robot.settle(self.robot.rest(start) + noise), qvel, start, goal, keys)
        return qpos, qvel, self._goal_at(goal)

    def at_rest(self, place: Float[Array, " xy"], goal: Float[Array, " xy"], params: RobotParams) -> MujocoState:
        """The state of a robot that stands still at one place (m) and shall get to another."""
        still = jnp.zeros(self.robot.sizes[1])
        keys = list(jr.split(jr.key(0), len(self.objects)))
        qpos, qvel = self._with_objects(self.robot.rest(place), still, place, goal, keys)
        inner = MujocoState(physics=self.simulator.init(qpos, qvel), goal=self._goal_at(goal))
        return self.refresh_env(inner, jnp.ones((), bool), params)

    def _with_objects(
        self, qpos: Array, qvel: Array, start: Array, goal: Array, keys: list[Key]
    ) -> tuple[Array, Array]:
        coordinates = [
            thing.draw(self.arena, start, goal, key=key) for thing, key in zip(self.objects, keys, strict=True)
        ]
        still = [jnp.zeros(thing.num_coordinates) for thing in self.objects]
        return jnp.concatenate([qpos, *coordinates]), jnp.concatenate([qvel, *still])

    def _goal_at(self, place: Float[Array, " xy"]) -> Float[Array, " goal"]:
        return place if self.goal == "object" else self.robot.goal_at(place)

    def control(self, physics: PhysicsState, action: Float[Array, " action"], params: RobotParams) -> Array:
        """The robot's."""
        return self.robot.control(action)

    def observe(self, inner: MujocoState, params: RobotParams) -> GoalObservation:
        """As the class's docstring."""
        physics, first, places = inner.physics, self.robot.sizes[0], []
        for thing in self.objects:
            places.append(thing.place(physics.qpos[first : first + thing.num_coordinates]))
            first += thing.num_coordinates
        seen = jnp.concatenate([self.robot.observe(physics, inner.goal), *places])
        achieved = places[0] if self.goal == "object" else self.robot.place(physics)
        return GoalObservation(seen, achieved, inner.goal)

    def fell(self, physics: PhysicsState, params: RobotParams) -> BoolScalar:
        """The robot did."""
        return self.robot.fell(physics)

    def dense_reward(self, distance: Scalar, action: Float[Array, " action"]) -> Scalar:
        """The robot's."""
        return self.robot.dense_reward(distance, action)
