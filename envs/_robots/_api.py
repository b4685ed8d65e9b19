"""What a robot is: an MJCF, and what is seen and driven of it."""

import abc
import math
from typing import TYPE_CHECKING

import equinox as eqx
from jaxtyping import Array, Float

from deepcrl._typing import BoolScalar, Scalar

from .._physics import PhysicsState


if TYPE_CHECKING:
    import mujoco


class AbstractRobot(eqx.Module):
    """A robot of a [`deepcrl.envs.RobotTask`][]: structure only. Its coordinates stand first in `qpos` and `qvel`; those of
    objects follow."""

    @property
    @abc.abstractmethod
    def sizes(self) -> tuple[int, int, int, int]:
        """How many positions, velocities, observed numbers and actions it has."""

    @property
    @abc.abstractmethod
    def substeps(self) -> int:
        """Simulation steps of one control step."""

    @property
    @abc.abstractmethod
    def touching(self) -> tuple[str, ...]:
        """The geoms that walls and blocks touch."""

    @property
    def pushing(self) -> tuple[str, ...]:
        """The geoms that balls touch. By default all that walls touch."""
        return self.touching

    @property
    @abc.abstractmethod
    def friction(self) -> tuple[float, ...]:
        """Of these with walls, as of a pair in MuJoCo."""

    @property
    def reach(self) -> float:
        """Walls of this height (m) it never gets over. By default there are none such."""
        return math.inf

    @property
    def noise(self) -> tuple[float, float]:
        """Of starts, by default: in every position up to this, in every velocity with this standard deviation."""
        return 0.0, 0.0

    @property
    def derived(self) -> tuple[str, ...]:
        """What it sees besides `qpos` and `qvel`, as in `mujoco.MjData`."""
        return ()

    @abc.abstractmethod
    def spec(self) -> "mujoco.MjSpec":
        """Its editable model, with a floor."""

    def finish(self, model: "mujoco.MjModel") -> "mujoco.MjModel":
        """The compiled model of robot and surroundings, changed where the file cannot say it. By default as it is."""
        return model

    @abc.abstractmethod
    def rest(self, place: Float[Array, " xy"]) -> Float[Array, " nq"]:
        """Its positions at rest at a place, in m."""

    def settle(self, qpos: Float[Array, " nq"]) -> Float[Array, " nq"]:
        """A start, noise included, put right where it would be in the floor. By default as it is."""
        return qpos

    def control(self, action: Float[Array, " action"]) -> Float[Array, " nu"]:
        """The actuators' input for an action in [-1, 1]. By default the same."""
        return action

    @abc.abstractmethod
    def observe(self, physics: PhysicsState, goal: Float[Array, " goal"]) -> Float[Array, " obs"]:
        """What is seen of it. Only the published humanoid looks at the goal here."""

    @abc.abstractmethod
    def place(self, physics: PhysicsState) -> Float[Array, " goal"]:
        """Where it is, as its goals are given: x and y in m first."""

    @abc.abstractmethod
    def goal_at(self, place: Float[Array, " xy"]) -> Float[Array, " goal"]:
        """The goal to be at a place."""

    @abc.abstractmethod
    def fell(self, physics: PhysicsState) -> BoolScalar:
        """Whether an episode ends."""

    @abc.abstractmethod
    def dense_reward(self, distance: Scalar, action: Float[Array, " action"]) -> Scalar:
        """The dense reward at a distance (m) to the goal, for the action that led there."""
