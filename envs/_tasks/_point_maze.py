"""A point mass with velocity in a maze, in plain JAX."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from deepcrl._errors import check_choice
from deepcrl._typing import BoolScalar, Key, Scalar

from .._api import AbstractGoalEnv, GoalObservation
from .._mazes import CellChoice, Maze
from .._spaces import Box
from ._arena import MazeArena, MazeArenaParams
from ._reward import Reward, REWARDS


HALF_WIDTH = 0.2  # of the body, a square, in m; a cell is 1 m wide
_VELOCITY_SCALE = 0.2  # m per step per unit of observation: the top speed under the default parameters

AnyArray = Array | np.ndarray


class PointMazeParams(eqx.Module):
    """The numbers of a [`deepcrl.envs.PointMaze`][]; each may be vmapped."""

    arena: MazeArenaParams
    """Which cells episodes start in, and which cells' centres are commanded then."""
    start_noise: Scalar
    """Starts are uniform within this distance of the cell's centre, per axis, in m."""
    acceleration: Scalar
    """Velocity gained per step at full action, in m per step."""
    drag: Scalar
    """Share of the velocity that is kept from step to step."""
    success_radius: Scalar
    """The goal counts as reached within this distance, in m."""


class PointMazeState(eqx.Module):
    """Where the point is and where it shall go."""

    position: Float[Array, " xy"]
    """In m: (row, column) of the maze, cell centres at whole numbers."""
    velocity: Float[Array, " xy"]
    """In m per step."""
    goal: Float[Array, " xy"]
    """The commanded position, in m."""


class PointMaze(AbstractGoalEnv):
    r"""A square body of 0.4 m in a maze of cells of 1 m, pushed by a two-dimensional action in $[-1, 1]$.

    A step makes $v \leftarrow 0.8\, v + 0.04\, a$, then moves the body along one axis after the other by $v$; a move into
    a wall is refused and its velocity zeroed, so the top speed is 0.2 m a step. With the maze's centre $c$ and
    $r$ its smaller half-side (in m, to the centres of the outer cells), the observation is $((p - c) / r,\; 5 v)$, and
    goals are $(p - c) / r$. An episode never terminates. The `"sparse"` reward is 1 within 0.5 m of the goal, else 0; the
    `"dense"` one is minus the straight-line distance to the goal in m, whatever walls are in between.
    """

    maze: Maze = eqx.field(static=True)
    """The grid."""
    starts: CellChoice = eqx.field(default="R", static=True)
    """Start cells: `"R"` (so marked), `"free"`, or one (row, column)."""
    goals: CellChoice = eqx.field(default="G", static=True)
    """Goal cells: `"G"` (so marked), `"free"`, or one (row, column)."""
    reward: Reward = eqx.field(default="sparse", static=True, kw_only=True)
    """`"sparse"` or `"dense"`, of the state that a step led to."""

    def __check_init__(self):
        if not isinstance(self.maze, Maze):
            raise TypeError(f"`maze` must be a `Maze`, got {self.maze!r}. Read a text grid by `Maze.from_text`.")
        self.arena  # checks starts and goals  # noqa: B018
        check_choice("reward", self.reward, REWARDS)

    @property
    def arena(self) -> MazeArena:
        """The maze with its starts and goals, as robots have it; a cell is 1 m wide."""
        return MazeArena(self.maze, 1.0, self.starts, self.goals)

    @property
    def default_params(self) -> PointMazeParams:
        """Starts and goals as chosen at construction, and the dynamics of the class's docstring."""
        return PointMazeParams(
            arena=self.arena.default_params,
            start_noise=jnp.float32(0.2),
            acceleration=jnp.float32(0.04),
            drag=jnp.float32(0.8),
            success_radius=jnp.float32(0.5),
        )

    def observation_space(self, params: PointMazeParams | None = None) -> GoalObservation:
        """Positions within the outer walls, velocities up to the top speed."""
        low = self.to_goal(np.full(2, -0.5, np.float32))
        high = self.to_goal(np.array(self.maze.shape, np.float32) - 0.5)
        goal = Box(low, high)
        ones = np.ones(2, np.float32)
        return GoalObservation(Box(np.concatenate([low, -ones]), np.concatenate([high, ones])), goal, goal)

    def action_space(self, params: PointMazeParams | None = None) -> Box:
        """A push along each axis."""
        return Box(-1.0, 1.0, (2,))

    def reset_env(self, key: Key, params: PointMazeParams) -> PointMazeState:
        """A start in a start cell, at rest, and a goal at the centre of a goal cell."""
        start_key, noise_key, goal_key = jr.split(key, 3)
        start, goal = self.arena.draw_pair(params.arena, start_key, goal_key)
        noise = params.start_noise * jr.uniform(noise_key, (2,), minval=-1.0, maxval=1.0)
        return PointMazeState(position=start + noise, velocity=jnp.zeros(2), goal=goal)

    def at_rest(self, place: Float[Array, " xy"], goal: Float[Array, " xy"], params: PointMazeParams) -> PointMazeState:
        """The state at rest at one place (m) that shall get to another."""
        return PointMazeState(position=place, velocity=jnp.zeros(2), goal=goal)

    def step_env(
        self, key: Key, inner: PointMazeState, action: Float[Array, " action"], params: PointMazeParams
    ) -> tuple[PointMazeState, Scalar, BoolScalar]:
        """The dynamics of the class's docstring; `key` is not needed."""
        velocity = params.drag * inner.velocity + params.acceleration * jnp.clip(action, -1.0, 1.0)
        position = inner.position
        for axis in np.eye(2, dtype=np.float32):
            moved = position + axis * velocity
            blocked = self._hits_wall(moved)
            position = jnp.where(blocked, position, moved)
            velocity = jnp.where(blocked, (1.0 - axis) * velocity, velocity)
        inner = PointMazeState(position=position, velocity=velocity, goal=inner.goal)
        seen = self.observe(inner, params)
        if self.reward == "dense":
            reward = -self.distance(seen.achieved_goal, seen.desired_goal, params)
        else:
            reward = self.success(seen.achieved_goal, seen.desired_goal, params).astype(jnp.float32)
        return inner, reward, jnp.zeros((), bool)

    def observe(self, inner: PointMazeState, params: PointMazeParams) -> GoalObservation:
        """Position and velocity; the position as achieved goal."""
        position = self.to_goal(inner.position)
        return GoalObservation(
            observation=jnp.concatenate([position, inner.velocity / _VELOCITY_SCALE]),
            achieved_goal=position,
            desired_goal=self.to_goal(inner.goal),
        )

    def distance(
        self, achieved_goal: Float[Array, " goal"], desired_goal: Float[Array, " goal"], params: PointMazeParams
    ) -> Scalar:
        """The straight-line distance in m."""
        return self._scale * jnp.sqrt(jnp.maximum(jnp.sum(jnp.square(achieved_goal - desired_goal)), 1e-12))

    def success(
        self, achieved_goal: Float[Array, " goal"], desired_goal: Float[Array, " goal"], params: PointMazeParams
    ) -> BoolScalar:
        """Within `params.success_radius` of the goal."""
        return self.distance(achieved_goal, desired_goal, params) < params.success_radius

    @property
    def _centre(self) -> tuple[float, float]:
        rows, columns = self.maze.shape
        return 0.5 * (rows - 1), 0.5 * (columns - 1)

    @property
    def _scale(self) -> float:  # m per unit of observation
        return min(self._centre)

    def to_goal(self, position: Float[AnyArray, "*axes xy"]) -> Float[AnyArray, "*axes goal"]:
        """The goal (observation units) that stands for a position in m; arrays of any leading shape."""
        # Number by number: XLA rounds alike in every program only if no array of constants is to be hoisted from loops.
        numpy = jnp if isinstance(position, Array) else np
        centred = [position[..., axis] - centre for axis, centre in enumerate(self._centre)]
        return numpy.stack(centred, axis=-1) / self._scale

    def goal_place(self, goal: Float[AnyArray, "*axes goal"]) -> Float[AnyArray, "*axes xy"]:
        """The position in m that a goal stands for, the inverse of `to_goal`; arrays of any leading shape."""
        return goal * self._scale + np.array(self._centre, np.float32)

    def _hits_wall(self, position: Float[Array, " xy"]) -> BoolScalar:
        corners = position[None, :] + HALF_WIDTH * np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]], np.float32)
        cell = jnp.floor(corners + 0.5).astype(jnp.int32)
        return jnp.any(jnp.asarray(self.maze.walls)[cell[:, 0], cell[:, 1]])
