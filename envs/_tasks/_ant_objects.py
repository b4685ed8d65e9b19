"""The ant with something to move: a ball, or a block that bars the way."""

from typing import TYPE_CHECKING

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from deepcrl._typing import BoolScalar, Key, Scalar

from .._api import GoalObservation
from .._mazes import Cell
from .._physics import PhysicsState
from .._robots import robot_spec
from .._spaces import Box
from ._ant import ant_fell, ant_params, ant_spaces, ant_start, FRICTION, REACH, TOUCHES_WALLS
from ._arena import AbstractArena, MazeArena
from ._mujoco import AbstractMujocoEnv, MujocoState, RobotParams


if TYPE_CHECKING:
    import mujoco


_FEET = [f"foot_{leg}" for leg in (1, 2, 3, 4)]


class AntBall(AbstractMujocoEnv):
    r"""The ant pushes a ball to the goal: the ball's place is the achieved goal.

    As [`deepcrl.envs.Ant`][], with the ball's (x, y) in m at the end of the observation (31). The ball (radius 0.5 m,
    0.576 kg) slides and does not roll. In the open it lies at a fifth of the way to the goal, 1 m aside in any direction;
    in a maze in the centre of one of `ball_cells`.
    """

    arena: AbstractArena = eqx.field(static=True)
    """Where it moves."""
    ball_cells: tuple[Cell, ...] = eqx.field(default=(), static=True)
    """(row, column) of the places in a maze where the ball may start; none in the open."""

    def __check_init__(self):
        free = self.arena.maze.free if isinstance(self.arena, MazeArena) else []
        if bool(free) != bool(self.ball_cells) or not set(self.ball_cells) <= set(free):
            raise ValueError(
                "`ball_cells` must be the (row, column) of free cells in a maze, and empty in the open; "
                f"got {self.ball_cells} for a `{type(self.arena).__name__}`."
            )

    def build_model(self) -> "mujoco.MjModel":
        """The ant, the ball and the arena."""
        import mujoco

        spec = robot_spec("ant")
        ball = spec.worldbody.add_body(name="ball", pos=[0, 0, 0.5])
        ball.add_geom(
            name="ball", type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.5, 0, 0], density=1.1, rgba=[0.30, 0.45, 0.75, 1]
        )
        reach = 100.0 if self.ball_cells else 10.3
        for name, axis in (("ball_x", [1, 0, 0]), ("ball_y", [0, 1, 0])):
            ball.add_joint(
                name=name, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=axis, range=[-reach, reach], armature=1, damping=0
            )
        for geom in ("floor", "torso", *_FEET):
            spec.add_pair(geomname1="ball", geomname2=geom, friction=FRICTION)
        self.arena.add_to(spec, [*TOUCHES_WALLS, "ball"], FRICTION, REACH)
        return spec.compile()

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
        return ant_spaces(self.arena.bounds(), extra=self.arena.bounds())

    def action_space(self, params: RobotParams | None = None) -> Box:
        """Share of the greatest torque, for each joint."""
        return Box(-1.0, 1.0, (8,))

    def draw_episode(self, key: Key, params: RobotParams) -> tuple[Array, Array, Array]:
        """The ant at the start, the ball on its way."""
        arena_key, ball_key, *noise_keys = jr.split(key, 4)
        start, goal = self.arena.draw(params.arena, key=arena_key)
        qpos, qvel = ant_start(start, params, keys=noise_keys)
        if isinstance(self.arena, MazeArena):
            ball = jr.choice(ball_key, jnp.array(self.ball_cells, jnp.float32)) * self.arena.cell_size
        else:
            angle = jr.uniform(ball_key, maxval=2 * jnp.pi)
            ball = 0.2 * goal + jnp.stack([jnp.cos(angle), jnp.sin(angle)])
        return jnp.concatenate([qpos, ball]), jnp.concatenate([qvel, jnp.zeros(2)]), goal

    def control(self, physics: PhysicsState, action: Float[Array, " action"], params: RobotParams) -> Array:
        """The action itself."""
        return action

    def observe(self, inner: MujocoState, params: RobotParams) -> GoalObservation:
        """Positions and velocities of the ant, then the ball's place."""
        qpos, qvel = inner.physics.qpos, inner.physics.qvel
        ball = qpos[15:17]
        return GoalObservation(jnp.concatenate([qpos[:15], qvel[:14], ball]), ball, inner.goal)

    def fell(self, physics: PhysicsState, params: RobotParams) -> BoolScalar:
        """The torso's centre is not between 0.2 and 1.0 m high."""
        return ant_fell(physics)

    def dense_reward(self, distance: Scalar, action: Float[Array, " action"]) -> Scalar:
        """As the ant's, with the ball's distance."""
        return 1.0 - distance - 0.5 * jnp.sum(jnp.square(action))


# Walls of the pushing task: centre (x, y) and half-sides in m; 4 m high.
_PUSH_WALLS = (
    ((-4, 20), (8, 8)),
    ((8, 24), (4, 4)),
    ((20, 20), (8, 8)),
    ((-8, 4), (4, 8)),
    ((24, 8), (4, 4)),
    ((20, -4), (8, 8)),
    ((0, -8), (12, 4)),
)
_PUSH_SOLIMP = (0.995, 0.995, 0.01, 0.5, 2.0)


class AntPush(AbstractMujocoEnv):
    r"""The ant has to push a block out of its way to reach the goal.

    As [`deepcrl.envs.Ant`][], with a heavier ant (density 40 in place of 5, 7.3 kg), and the (x, y) of the block's centre
    in m at the end of the observation (31). The ant starts at the origin; the block, 7.2 m wide and nearly weightless,
    stands at (8, 8); the goal lies up to 2 m beyond (16, 8) or (8, 16) along both axes.
    """

    def build_model(self) -> "mujoco.MjModel":
        """The ant, the block and the walls around."""
        import mujoco

        spec = robot_spec("ant")
        for geom in spec.geoms:
            geom.density = 40.0
        spec.numeric("max_contact_points").data = [24]  # the block touches walls by up to four points each
        box = mujoco.mjtGeom.mjGEOM_BOX
        names = []
        for index, ((x, y), (half_x, half_y)) in enumerate(_PUSH_WALLS):
            names.append(f"wall_{index}")
            spec.worldbody.add_geom(name=names[-1], type=box, pos=[x, y, 2], size=[half_x, half_y, 2], material="wall")
        block = spec.worldbody.add_body(name="block", pos=[8, 8, 2])
        block.add_geom(name="block", type=box, size=[3.6, 3.6, 1.8], mass=0.0002, rgba=[0.75, 0.62, 0.30, 1])
        for name, axis in (("block_x", [1, 0, 0]), ("block_y", [0, 1, 0]), ("block_z", [0, 0, 1])):
            slide = block.add_joint(name=name, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=axis, armature=0, damping=0)
            slide.limited = mujoco.mjtLimited.mjLIMITED_FALSE
        for wall in names:
            for geom in (*TOUCHES_WALLS, "block"):
                spec.add_pair(geomname1=wall, geomname2=geom)
        for geom in (*TOUCHES_WALLS, "floor"):
            spec.add_pair(geomname1="block", geomname2=geom)
        for pair in spec.pairs:
            pair.friction, pair.solimp = FRICTION, _PUSH_SOLIMP
        return spec.compile()

    @property
    def substeps(self) -> int:
        """5 of 0.01 s."""
        return 5

    @property
    def default_params(self) -> RobotParams:
        """Noise and radius as published."""
        return ant_params(())

    def observation_space(self, params: RobotParams | None = None) -> GoalObservation:
        """Generous: nothing is clipped to it."""
        bounds = np.full(2, -20.0), np.full(2, 40.0)
        return ant_spaces(bounds, extra=bounds)

    def action_space(self, params: RobotParams | None = None) -> Box:
        """Share of the greatest torque, for each joint."""
        return Box(-1.0, 1.0, (8,))

    def draw_episode(self, key: Key, params: RobotParams) -> tuple[Array, Array, Array]:
        """The ant at the origin, the block in its way."""
        side_key, goal_key, *noise_keys = jr.split(key, 4)
        qpos, qvel = ant_start(jnp.zeros(2), params, keys=noise_keys, height=0.75)
        corner = jnp.where(jr.bernoulli(side_key), jnp.array([16.0, 8.0]), jnp.array([8.0, 16.0]))
        zeros = jnp.zeros(3)
        return jnp.concatenate([qpos, zeros]), jnp.concatenate([qvel, zeros]), corner + 2.0 * jr.uniform(goal_key, (2,))

    def control(self, physics: PhysicsState, action: Float[Array, " action"], params: RobotParams) -> Array:
        """The action itself."""
        return action

    def observe(self, inner: MujocoState, params: RobotParams) -> GoalObservation:
        """Positions and velocities of the ant, then the block's place."""
        qpos, qvel = inner.physics.qpos, inner.physics.qvel
        return GoalObservation(jnp.concatenate([qpos[:15], qvel[:14], qpos[15:17] + 8.0]), qpos[:2], inner.goal)

    def fell(self, physics: PhysicsState, params: RobotParams) -> BoolScalar:
        """The torso's centre is not between 0.2 and 1.0 m high."""
        return ant_fell(physics)

    def dense_reward(self, distance: Scalar, action: Float[Array, " action"]) -> Scalar:
        """As the ant's."""
        return 1.0 - distance - 0.5 * jnp.sum(jnp.square(action))
