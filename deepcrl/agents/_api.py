"""What the training loop asks of an agent. An agent sees sizes, never an environment."""

import abc
import dataclasses
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._typing import IntScalar, Key, Scalar
from ..nn import blocks_of_depth


@dataclasses.dataclass(frozen=True, kw_only=True)
class AgentSpec:
    """The sizes an agent is built for."""

    observation_size: int
    """Numbers in an observation, without the goal."""
    goal_size: int
    """Numbers in a goal."""
    action_size: int
    """Numbers in an action."""


class Batch(eqx.Module):
    """What an agent learns from in one update; one sample of it has no leading axis."""

    observation: Float[Array, "*batch obs"]
    """What was seen before the step."""
    action: Float[Array, "*batch action"]
    """The action taken, in [-1, 1]."""
    goal: Float[Array, "*batch goal"]
    """The hindsight goal: an achieved goal, of the step that the relabelling chose."""


class Hypers(eqx.Module):
    """The numbers that may differ from lane to lane of one program. Every field is an array, to be vmapped.

    A config gives the defaults by `config.hypers()`; [`deepcrl.lanes`][] builds sweeps.
    """

    actor_depth: IntScalar
    """Dense layers of the policy that are switched on: a multiple of 4, at most what the config builds."""
    critic_depth: IntScalar
    """Dense layers of both encoders that are switched on: as above."""
    actor_lr: Scalar
    """Adam step size of the policy."""
    critic_lr: Scalar
    """Adam step size of both encoders."""
    alpha_lr: Scalar
    """Adam step size of the entropy weight."""
    gamma: Scalar
    """Discount in (0, 1]: the parameter of the geometric law of future goals."""
    target_entropy: Scalar
    """Entropy that the policy is held to, in nats per action dimension."""
    logsumexp_penalty: Scalar
    """Weight of the squared logsumexp in the critic's loss."""

    @classmethod
    def of(cls, **values: int | float) -> "Hypers":
        """Hypers from Python numbers; depths become int32, the rest float32."""
        depths = ("actor_depth", "critic_depth")
        return cls(**{k: jnp.asarray(v, jnp.int32 if k in depths else jnp.float32) for k, v in values.items()})


class AbstractAgent(abc.ABC):
    """The interface of agents. Implementations are frozen dataclasses of plain values: structure here, arrays in states.

    Methods are pure. Arrays that an agent needs come as arguments: its own state, and the lane's
    [`deepcrl.agents.Hypers`][].
    """

    hindsight: str
    """Which achieved goals replace the commanded ones: `"future"`, `"final"` or `"random"`."""

    @abc.abstractmethod
    def hypers(self) -> Hypers:
        """The agent's own numbers as arrays."""

    @abc.abstractmethod
    def init(self, spec: AgentSpec, *, key: Key) -> PyTree:
        """A fresh agent state."""

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

    @abc.abstractmethod
    def value(
        self,
        state: PyTree,
        observation: Float[Array, " obs"],
        goal: Float[Array, " goal"],
        hypers: Hypers,
    ) -> Scalar:
        """What the critic says of one observation and goal under the deterministic action."""


# Agents by name, for configs in files.
AGENTS: dict[str, type[Any]] = {}


def check_depths(agent: Any) -> None:
    """Raises `ValueError` unless all depths of an agent's config are legal."""
    for name in ("depth", "actor_depth", "critic_depth"):
        depth = getattr(agent, name)
        if depth is not None:
            blocks_of_depth(depth, name)
