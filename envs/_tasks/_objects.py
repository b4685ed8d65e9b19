"""What a robot can move: a ball, or a block that bars its way."""

import abc
from typing import TYPE_CHECKING

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from deepcrl._typing import Key

from .._mazes import Cell
from .._robots import AbstractRobot
from ._arena import AbstractArena, MazeArena


if TYPE_CHECKING:
    import mujoco


class AbstractObject(eqx.Module):
    """A thing in a [`deepcrl.envs.RobotTask`][] that slides and does not turn: structure only."""

    @property
    @abc.abstractmethod
    def geom(self) -> str:
        """The name of its geom, which walls touch."""

    @property
    @abc.abstractmethod
    def num_coordinates(self) -> int:
        """How many `qpos`, and as many `qvel`, it has."""

    def check(self, arena: AbstractArena) -> None:
        """Raises `ValueError` where it cannot lie in that arena. By default it can."""

    @abc.abstractmethod
    def add_to(self, spec: "mujoco.MjSpec", robot: AbstractRobot) -> None:
        """Builds it into a model, and what of the robot touches it."""

    @abc.abstractmethod
    def draw(
        self, arena: AbstractArena, start: Float[Array, " xy"], goal: Float[Array, " xy"], *, key: Key
    ) -> Float[Array, " coordinate"]:
        """Its coordinates at the start of an episode."""

    @abc.abstractmethod
    def place(self, coordinates: Float[Array, " coordinate"]) -> Float[Array, " xy"]:
        """Where it is, in m."""


_CLEAR = 1.75  # m from the robot's start: there the ball touches neither an ant's torso nor its feet


class Ball(AbstractObject):
    """A ball (radius 0.5 m, 0.576 kg) that slides and does not roll.

    In the open it lies at a fifth of the way to the goal, 1 m aside in any direction, and is moved away from the robot
    until it is 1.75 m off; in a maze in the centre of one of `cells`.
    """

    cells: tuple[Cell, ...] = eqx.field(default=(), static=True)
    """(row, column) of the places in a maze where it may start; none in the open."""

    @property
    def geom(self) -> str:
        """`"ball"`."""
        return "ball"

    @property
    def num_coordinates(self) -> int:
        """x and y."""
        return 2

    def check(self, arena: AbstractArena) -> None:
        """In a maze it needs free cells."""
        free = arena.maze.free if isinstance(arena, MazeArena) else []
        if bool(free) != bool(self.cells) or not set(self.cells) <= set(free):
            raise ValueError(
                "`cells` of a ball must be the (row, column) of free cells in a maze, and empty in the open; "
                f"got {self.cells} for a `{type(arena).__name__}`."
            )

    def add_to(self, spec: "mujoco.MjSpec", robot: AbstractRobot) -> None:
        """Two slides along the floor."""
        import mujoco

        ball = spec.worldbody.add_body(name="ball", pos=[0, 0, 0.5])
        ball.add_geom(
            name="ball", type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.5, 0, 0], density=1.1, rgba=[0.30, 0.45, 0.75, 1]
        )
        reach = 100.0 if self.cells else 10.3
        for name, axis in (("ball_x", [1, 0, 0]), ("ball_y", [0, 1, 0])):
            ball.add_joint(
                name=name, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=axis, range=[-reach, reach], armature=1, damping=0
            )
        for geom in ("floor", *robot.pushing):
            spec.add_pair(geomname1="ball", geomname2=geom, friction=robot.friction)

    def draw(
        self, arena: AbstractArena, start: Float[Array, " xy"], goal: Float[Array, " xy"], *, key: Key
    ) -> Float[Array, " coordinate"]:
        """As the class's docstring."""
        if isinstance(arena, MazeArena):
            return jr.choice(key, jnp.array(self.cells, jnp.float32)) * arena.cell_size
        angle = jr.uniform(key, maxval=2 * jnp.pi)
        offset = 0.2 * (goal - start) + jnp.stack([jnp.cos(angle), jnp.sin(angle)])
        return start + offset * jnp.maximum(1.0, _CLEAR / jnp.maximum(jnp.linalg.norm(offset), 1e-6))

    def place(self, coordinates: Float[Array, " coordinate"]) -> Float[Array, " xy"]:
        """Its coordinates."""
        return coordinates


_HOME = 8.0  # m, x and y of the block's centre at the start


class Block(AbstractObject):
    """A block at (8, 8) m, 7.2 m wide and nearly weightless, as published for the pushing task."""

    @property
    def geom(self) -> str:
        """`"block"`."""
        return "block"

    @property
    def num_coordinates(self) -> int:
        """How far it has moved along x, y and z."""
        return 3

    def add_to(self, spec: "mujoco.MjSpec", robot: AbstractRobot) -> None:
        """Three slides without damping."""
        import mujoco

        spec.numeric("max_contact_points").data = [24]  # it touches walls by up to four points each
        block = spec.worldbody.add_body(name="block", pos=[_HOME, _HOME, 2])
        block.add_geom(
            name="block", type=mujoco.mjtGeom.mjGEOM_BOX, size=[3.6, 3.6, 1.8], mass=0.0002, rgba=[0.75, 0.62, 0.30, 1]
        )
        for name, axis in (("block_x", [1, 0, 0]), ("block_y", [0, 1, 0]), ("block_z", [0, 0, 1])):
            slide = block.add_joint(name=name, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=axis, armature=0, damping=0)
            slide.limited = mujoco.mjtLimited.mjLIMITED_FALSE
        for geom in (*robot.touching, "floor"):
            spec.add_pair(geomname1="block", geomname2=geom, friction=robot.friction)

    def draw(
        self, arena: AbstractArena, start: Float[Array, " xy"], goal: Float[Array, " xy"], *, key: Key
    ) -> Float[Array, " coordinate"]:
        """Where it always stands."""
        return jnp.zeros(3)

    def place(self, coordinates: Float[Array, " coordinate"]) -> Float[Array, " xy"]:
        """Its centre."""
        return coordinates[:2] + _HOME
