"""What the training loop asks of an agent. An agent sees sizes, never an environment."""

import abc
import dataclasses
from typing import Any, NamedTuple, TYPE_CHECKING

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from .._typing import IntScalar, Key, Scalar
from ..nn import Trunk
from ..nn._trunk import PAPER_TRUNK


if TYPE_CHECKING:
    OwnScalar = Scalar  # to an agent, the hypers that it has are numbers
else:
    OwnScalar = Scalar | None
_UNUSED: Any = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class AgentSpec:
    """The sizes an agent is built for."""

    observation_size: int
    """Numbers in an observation, without the goal."""
    goal_size: int
    """Numbers in a goal."""
    action_size: int
    """Numbers in an action."""


class Outcome(eqx.Module):
    """What a step led to, as agents that bootstrap need it; one sample of it has no leading axis."""

    next_observation: Float[Array, "*batch obs"]
    """What was seen after the step; at the end of an episode, what was seen last in it."""
    reward: Float[Array, "*batch"]
    """With hindsight, 1 if the step's end counts as reaching the batch's goal, else 0; without, the task's reward."""
    terminated: Bool[Array, "*batch"]
    """Did the task end the episode at this step? (An end by the clock is none: values go on behind it.)"""


class Batch(eqx.Module):
    """What an agent learns from in one update; one sample of it has no leading axis."""

    observation: Float[Array, "*batch obs"]
    """What was seen before the step."""
    action: Float[Array, "*batch action"]
    """The action taken, in [-1, 1]."""
    goal: Float[Array, "*batch goal"]
    """The goal: one achieved later, as the agent's `hindsight` says, or the commanded one."""
    outcome: Outcome | None = None
    """What the step led to, for agents that say so by `needs_outcome`."""


class Hypers(eqx.Module):
    """The numbers that may differ from lane to lane of one program. Every field is an array, to be vmapped; a number that
    an agent has no use for is `None`.

    A config gives the defaults by `config.hypers()`; [`deepcrl.lanes`][] builds sweeps.
    """

    actor_depth: IntScalar
    """Dense layers of the policy that are switched on: a multiple of those in a block, at most what the config builds."""
    critic_depth: IntScalar
    """Dense layers of the critic's networks that are switched on: as above."""
    width: IntScalar | None = None
    """Hidden units of all networks that are switched on, at most what the config builds; `None` for all of them, the
    default."""
    actor_lr: OwnScalar = _UNUSED
    """Adam step size of the policy."""
    critic_lr: OwnScalar = _UNUSED
    """Adam step size of the critic's networks."""
    alpha_lr: OwnScalar = _UNUSED
    """Adam step size of the entropy weight."""
    gamma: OwnScalar = _UNUSED
    """Discount in (0, 1]: of the geometric law of future goals, or of the return."""
    target_entropy: OwnScalar = _UNUSED
    """Entropy that the policy is held to, in nats per action dimension."""
    logsumexp_penalty: OwnScalar = _UNUSED
    """Weight of the squared logsumexp in the critic's loss."""
    tau: OwnScalar = _UNUSED
    """Share of the online weights in the target networks' next weights, in [0, 1]."""

    @classmethod
    def of(cls, **values: int | float) -> "Hypers":
        """Hypers from Python numbers; depths and the width become int32, the rest float32."""
        sizes = ("actor_depth", "critic_depth", "width")
        return cls(**{k: jnp.asarray(v, jnp.int32 if k in sizes else jnp.float32) for k, v in values.items()})


class Actor(NamedTuple):
    """Who acts: an agent, what it learnt, and its numbers."""

    agent: "AbstractAgent"
    """Structure."""
    state: PyTree
    """Its state."""
    hypers: Hypers
    """Its numbers."""


class AbstractAgent(abc.ABC):
    """The interface of agents. Implementations are frozen dataclasses of plain values: structure here, arrays in states.

    Methods are pure. Arrays that an agent needs come as arguments: its own state, and the lane's
    [`deepcrl.agents.Hypers`][].
    """

    hindsight: str
    """Which achieved goals replace the commanded ones: `"future"`, `"final"`, `"random"`, or `"none"` at all."""
    hindsight_ratio: float = 1.0
    """Share of a batch whose commanded goals are replaced."""
    uniform_future: bool = False
    """Whether all later steps of an episode are equally likely as a `"future"` goal, instead of discounted by `gamma`."""
    needs_outcome: bool = False
    """Whether batches hold an [`deepcrl.agents.Outcome`][]; the replay buffer then stores each step's end too."""
    newest_steps: int | None = None
    """Batches are drawn from that many newest steps of every environment (by default from all that are stored)."""
    has_critic: bool = True
    """Whether `value` says anything; an agent that has none need not define it."""
    trunk: Trunk = PAPER_TRUNK
    """What the networks' blocks are made of; depths are multiples of its `block_depth`."""
    width: int | None = None
    """Hidden units of the networks, the most that a lane may have; `None` if lanes cannot differ in them."""

    @abc.abstractmethod
    def hypers(self) -> Hypers:
        """The agent's own numbers as arrays."""

    def at_size(
        self, actor_depth: int | None = None, critic_depth: int | None = None, width: int | None = None
    ) -> "AbstractAgent":
        """This agent with networks of the sizes that are given; an agent of one depth takes the policy's."""
        own = {field.name for field in dataclasses.fields(self)}  # pyright: ignore[reportArgumentType]
        sizes = {"actor_depth": actor_depth, "critic_depth": critic_depth, "width": width}
        if not own >= sizes.keys() - {"width"}:
            sizes = {"depth": actor_depth, "width": width}
        given = {name: size for name, size in sizes.items() if name in own and size is not None}
        return dataclasses.replace(self, **given)  # pyright: ignore

    @abc.abstractmethod
    def init(self, spec: AgentSpec, *, key: Key) -> PyTree:
        """A fresh agent state."""

    def collecting(self, state: PyTree, hypers: Hypers) -> Actor:
        """Who acts in the training environments: the agent itself, unless it says otherwise."""
        return Actor(self, state, hypers)

    @abc.abstractmethod
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
        """One action in [-1, 1] for one observation and goal."""

    @abc.abstractmethod
    def update(self, state: PyTree, batch: Batch, hypers: Hypers, *, key: Key) -> tuple[PyTree, PyTree]:
        """One update on one batch: the next state, and a module of scalar metrics."""

    def value(
        self,
        state: PyTree,
        observation: Float[Array, " obs"],
        goal: Float[Array, " goal"],
        hypers: Hypers,
        action: Float[Array, " action"] | None = None,
    ) -> Scalar:
        """What the critic says of one observation and goal under an action, by default the deterministic one; zero for
        agents without a critic.
        """
        if self.has_critic:
            raise TypeError(f"`{type(self).__name__}` needs a `value` of its own, or `has_critic = False`.")
        return jnp.zeros(())
