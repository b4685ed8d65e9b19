"""A collector apart from the learner: one agent acts in the training environments, another learns from what it did too."""

import dataclasses
from typing import Any

import equinox as eqx
import jax.random as jr
from jaxtyping import PyTree

from .._typing import Key
from ._api import AbstractAgent, Actor, AgentSpec, Batch, Hypers
from ._wrapper import AbstractWrapper


# What decides which steps and goals are in a batch.
_SAMPLING = ("hindsight", "hindsight_ratio", "uniform_future", "newest_steps")


class WithCollectorState(eqx.Module):
    """What both agents learnt."""

    learner: PyTree
    """Of the agent that is evaluated."""
    collector: PyTree
    """Of the one that collects."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class WithCollector(AbstractWrapper):
    """An agent that learns beside another one, which collects: both learn from the same batches of the same buffer, and
    the learner never acts in a training environment.

    It tells what an agent can learn from what it can find (exploration against expressivity in Wang et al. 2025).
    Sizes and other numbers of a lane are the learner's; the collector has those of its config. It uses the keys that it
    would use alone and hears nothing from the learner: networks, actions, buffer and updates are those of a run of the
    collector alone with the same seed, but for rounding (programs differ), which a long run may magnify.

    ```python
    agent = WithCollector(learner=CRL(depth=16), collector=CRL(depth=64))
    config = Config(env="point_u_maze", agent=agent)
    seeds, hypers = lanes(config, seeds=range(3), depth=(4, 16))  # of the learner
    ```

    Evaluation, metrics and value maps are the learner's. Settings that say what a batch holds, `gamma` among them where
    it is the law of future goals, must be the same for both; a lane that differs in `gamma` differs in it for both. A
    collector that learns nothing, such as [`deepcrl.agents.Random`][], goes with any learner.

    **Raises:** `TypeError` unless both are agents without a collector of their own, `ValueError` if they would draw
    different batches.
    """

    collector: AbstractAgent
    """Learns and collects."""

    def __post_init__(self):
        for name, agent in vars(self).items():
            if not isinstance(agent, AbstractAgent) or isinstance(agent, WithCollector):
                raise TypeError(
                    f"`{name}` must be an agent without a collector, such as `CRL(depth=16)`, got {agent!r}."
                )
        if self.collector.hindsight == "none" and not self.collector.needs_outcome:
            return  # whatever a batch holds, it learns nothing from it
        names = _SAMPLING if self.learner.uniform_future else (*_SAMPLING, "gamma")
        for name in names:
            mine, other = (getattr(agent, name, None) for agent in (self.learner, self.collector))
            if mine != other:
                raise ValueError(
                    f"`learner` and `collector` share their batches, so `{name}` must be the same for both; got {mine!r} "
                    f"({type(self.learner).__name__}) and {other!r} ({type(self.collector).__name__})."
                )

    @property
    def needs_outcome(self) -> bool:
        """Whether one of both does."""
        return self.learner.needs_outcome or self.collector.needs_outcome

    @property
    def has_critic(self) -> bool:
        """Whether both have."""
        return self.learner.has_critic and self.collector.has_critic

    def init(self, spec: AgentSpec, *, key: Key) -> WithCollectorState:
        """Both agents, fresh; the collector as it would be alone."""
        learner = self.learner.init(spec, key=_learner_key(key))
        return WithCollectorState(learner=learner, collector=self.collector.init(spec, key=key))

    def collecting(self, state: WithCollectorState, hypers: Hypers) -> Actor:
        """The collector."""
        return Actor(self.collector, state.collector, self.collector.hypers())

    def update(
        self, state: WithCollectorState, batch: Batch, hypers: Hypers, *, key: Key
    ) -> tuple[WithCollectorState, Any]:
        """One update of each, on the same batch; the learner's metrics."""
        collector, _ = self.collector.update(state.collector, batch, self.collector.hypers(), key=key)
        learner, metrics = self.learner.update(state.learner, batch, hypers, key=_learner_key(key))
        return WithCollectorState(learner=learner, collector=collector), metrics


def _learner_key(key: Key) -> Key:
    """Apart from the collector's, which is the one that it would have alone."""
    return jr.fold_in(key, 1)
