"""Agents around another one, which learns and is evaluated."""

import dataclasses

from jaxtyping import Array, Float, PyTree

from .._typing import Key, Scalar
from ..nn import Trunk
from ._api import AbstractAgent, Hypers


@dataclasses.dataclass(frozen=True, kw_only=True)
class AbstractWrapper(AbstractAgent):
    """An agent around a `learner`: what batches it asks for, its sizes, its numbers and what it does are the learner's. Its
    state has the learner's in a field `learner`."""

    learner: AbstractAgent
    """Learns and is evaluated."""

    @property
    def hindsight(self) -> str:
        """The learner's."""
        return self.learner.hindsight

    @property
    def hindsight_ratio(self) -> float:
        """The learner's."""
        return self.learner.hindsight_ratio

    @property
    def uniform_future(self) -> bool:
        """The learner's."""
        return self.learner.uniform_future

    @property
    def newest_steps(self) -> int | None:
        """The learner's."""
        return self.learner.newest_steps

    @property
    def needs_outcome(self) -> bool:
        """Whether the learner does."""
        return self.learner.needs_outcome

    @property
    def has_critic(self) -> bool:
        """Whether the learner has."""
        return self.learner.has_critic

    @property
    def trunk(self) -> Trunk:
        """The learner's."""
        return self.learner.trunk

    @property
    def width(self) -> int | None:
        """The learner's."""
        return self.learner.width

    def hypers(self) -> Hypers:
        """The learner's numbers as arrays."""
        return self.learner.hypers()

    def at_size(
        self, actor_depth: int | None = None, critic_depth: int | None = None, width: int | None = None
    ) -> "AbstractWrapper":
        """The same with a learner of another size."""
        return dataclasses.replace(self, learner=self.learner.at_size(actor_depth, critic_depth, width))

    def inputs(
        self, state: PyTree, observation: Float[Array, " obs"], goal: Float[Array, " goal"]
    ) -> tuple[Float[Array, " obs"], Float[Array, " goal"]]:
        """What the learner is given in place of an observation and a goal: by default both as they are."""
        return observation, goal

    def act(
        self,
        state: PyTree,
        observation: Float[Array, " obs"],
        goal: Float[Array, " goal"],
        hypers: Hypers,
        *,
        key: Key,
        deterministic: bool = False,
    ) -> Float[Array, " action"]:
        """The learner's action."""
        inputs = self.inputs(state, observation, goal)
        return self.learner.act(state.learner, *inputs, hypers, key=key, deterministic=deterministic)

    def value(
        self,
        state: PyTree,
        observation: Float[Array, " obs"],
        goal: Float[Array, " goal"],
        hypers: Hypers,
        action: Float[Array, " action"] | None = None,
    ) -> Scalar:
        """What the learner's critic says."""
        return self.learner.value(state.learner, *self.inputs(state, observation, goal), hypers, action)
