"""Where a robot moves: in the open or in a maze. Where it starts, where goals lie, what stands in the way."""

import abc
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PyTree

from deepcrl._typing import Key, Scalar

from .._mazes import add_walls, Cell, CellChoice, choose_cells, draw_index, Maze, pair_weights, stitching_weights


if TYPE_CHECKING:
    import mujoco


Place = Float[Array, " xy"]


class AbstractArena(eqx.Module):
    """The surroundings of a robot: structure only; its numbers are the `arena` of the task's parameters."""

    @property
    @abc.abstractmethod
    def default_params(self) -> PyTree:
        """The numbers, a pytree of arrays."""

    @abc.abstractmethod
    def draw(self, params: PyTree, *, key: Key) -> tuple[Place, Place]:
        """A start and a goal, (x, y) in m."""

    @abc.abstractmethod
    def add_to(
        self, spec: "mujoco.MjSpec", colliding: list[str], friction: tuple[float, ...], reach: float = math.inf
    ) -> None:
        """Builds what stands in the way into a model. Only the `colliding` geoms touch it; they never get over what is
        `reach` (m) high."""


class OpenArenaParams(eqx.Module):
    """The numbers of an [`deepcrl.envs.OpenArena`][]; each may be vmapped."""

    min_distance: Scalar
    """The nearest goals, in m from the start."""
    max_distance: Scalar
    """The farthest goals, in m from the start."""


class OpenArena(AbstractArena):
    """A plain: the robot starts at the origin; goals lie in every direction, their distance uniform in a range."""

    min_distance: float = eqx.field(static=True)
    """The nearest goals, in m."""
    max_distance: float = eqx.field(static=True)
    """The farthest goals, in m."""

    def __check_init__(self):
        if not 0.0 <= self.min_distance <= self.max_distance:
            raise ValueError(
                "Goals lie between `min_distance` and `max_distance`, 0 <= min <= max; "
                f"got {self.min_distance} and {self.max_distance}."
            )

    @property
    def default_params(self) -> OpenArenaParams:
        """As chosen at construction."""
        return OpenArenaParams(min_distance=jnp.float32(self.min_distance), max_distance=jnp.float32(self.max_distance))

    def draw(self, params: OpenArenaParams, *, key: Key) -> tuple[Place, Place]:
        """The origin, and a goal around it."""
        angle_key, distance_key = jr.split(key)
        angle = jr.uniform(angle_key, maxval=2 * jnp.pi)
        distance = params.min_distance + (params.max_distance - params.min_distance) * jr.uniform(distance_key)
        return jnp.zeros(2), distance * jnp.stack([jnp.cos(angle), jnp.sin(angle)])

    def add_to(
        self, spec: "mujoco.MjSpec", colliding: list[str], friction: tuple[float, ...], reach: float = math.inf
    ) -> None:
        """Nothing stands in the way."""


class MazeArenaParams(eqx.Module):
    """The numbers of a [`deepcrl.envs.MazeArena`][]; each may be vmapped."""

    pair_weights: Float[Array, "cell cell"]
    """Unnormalised probabilities of a start cell (row) and a goal cell (column), in the order of `maze.free`."""


class MazeArena(AbstractArena):
    """A maze with walls half a cell high. The cell in row i and column j has its centre at x = i, y = j times the size of
    a cell; starts and goals are centres of cells."""

    maze: Maze = eqx.field(static=True)
    """The grid."""
    cell_size: float = eqx.field(static=True)
    """Side of a cell in m."""
    starts: CellChoice = eqx.field(default="R", static=True)
    """Start cells: `"R"` (so marked), `"free"`, or one (row, column)."""
    goals: CellChoice = eqx.field(default="G", static=True)
    """Goal cells: `"G"` (so marked), `"free"`, or one (row, column)."""
    stitching: tuple[int, ...] = eqx.field(default=(), static=True)
    """If not empty, in place of the two above: starts and goals lie this many cells apart on the maze's one path,
    forward; each number is as likely as another."""

    def __check_init__(self):
        if not isinstance(self.maze, Maze):
            raise TypeError(f"`maze` must be a `Maze`, got {self.maze!r}. Read a text grid by `Maze.from_text`.")
        self._pair_weights()

    def _pair_weights(self) -> np.ndarray:
        if self.stitching:
            return stitching_weights(self.maze, self.stitching)
        starts = choose_cells(self.maze, "starts", self.starts, "R")
        return pair_weights(self.maze, starts, choose_cells(self.maze, "goals", self.goals, "G"))

    @property
    def default_params(self) -> MazeArenaParams:
        """Starts and goals as chosen at construction."""
        return MazeArenaParams(pair_weights=jnp.asarray(self._pair_weights()))

    def draw(self, params: MazeArenaParams, *, key: Key) -> tuple[Place, Place]:
        """The centres of a pair of cells."""
        return self.draw_pair(params, *jr.split(key))

    def draw_pair(self, params: MazeArenaParams, start_key: Key, goal_key: Key) -> tuple[Place, Place]:
        """As `draw`, with a key for each."""
        start = draw_index(jnp.sum(params.pair_weights, axis=1), key=start_key)
        goal = draw_index(params.pair_weights[start], key=goal_key)
        centres = jnp.asarray(np.array(self.maze.free, np.float32) * self.cell_size)
        return centres[start], centres[goal]

    def with_goals(self, params: MazeArenaParams, cells: Sequence[Cell]) -> MazeArenaParams:
        """The same starts, and each of some (row, column) as likely a goal as another."""
        goals = jnp.array([cell in cells for cell in self.maze.free], jnp.float32)
        return MazeArenaParams(pair_weights=jnp.outer(jnp.sum(params.pair_weights, axis=1), goals))

    def cells_of(self, places: Float[np.ndarray, "*axes xy"]) -> Float[np.ndarray, "*axes xy"]:
        """Places in m as rows and columns: whole numbers at the centres of cells."""
        return places[..., :2] / self.cell_size

    def add_to(
        self, spec: "mujoco.MjSpec", colliding: list[str], friction: tuple[float, ...], reach: float = math.inf
    ) -> None:
        """The walls."""
        add_walls(spec, self.maze, self.cell_size, colliding, friction, reach)


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


class PushArena(AbstractArena):
    """Two ways out of a corner, as published for the pushing task: the robot starts at the origin, goals lie up to 2 m
    beyond (16, 8) or (8, 16) m along both axes."""

    @property
    def default_params(self) -> PyTree:
        """None."""
        return ()

    def draw(self, params: PyTree, *, key: Key) -> tuple[Place, Place]:
        """As the class's docstring."""
        side_key, goal_key = jr.split(key)
        corner = jnp.where(jr.bernoulli(side_key), jnp.array([16.0, 8.0]), jnp.array([8.0, 16.0]))
        return jnp.zeros(2), corner + 2.0 * jr.uniform(goal_key, (2,))

    def add_to(
        self, spec: "mujoco.MjSpec", colliding: list[str], friction: tuple[float, ...], reach: float = math.inf
    ) -> None:
        """Seven walls, and hard contacts of everything."""
        import mujoco

        for index, (centre, half) in enumerate(_PUSH_WALLS):
            wall = spec.worldbody.add_geom(name=f"wall_{index}", type=mujoco.mjtGeom.mjGEOM_BOX, material="wall")
            wall.pos, wall.size = [*centre, 2], [*half, 2]
            for geom in colliding:
                spec.add_pair(geomname1=wall.name, geomname2=geom, friction=friction)
        for pair in spec.pairs:
            pair.solimp = _PUSH_SOLIMP
