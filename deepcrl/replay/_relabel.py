"""Hindsight: which later step's achieved goal stands in for the commanded one."""

import abc

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from .._errors import did_you_mean
from .._typing import IntScalar, Key, Scalar
from ._queue import QueueState, Sample, TrajectoryQueue


def truncated_geometric(gamma: Scalar, maximum: IntScalar, *, key: Key) -> IntScalar:
    r"""One draw of $k \in \{1, \dots, n\}$ with $P(k) \propto \gamma^k$, by the inverse of its distribution function.

    $$k = 1 + \Big\lfloor \frac{\log(1 - u (1 - \gamma^n))}{\log \gamma} \Big\rfloor, \qquad u \sim U[0, 1)$$

    **Arguments:**

    - `gamma`: in $(0, 1]$; at 1 the draw is uniform.
    - `maximum`: $n$, at least 1.
    """
    u = jr.uniform(key)
    n = maximum.astype(jnp.float32)
    # Near 1 the geometric law is uniform to float precision, and the formula is 0 / 0.
    uniform = gamma > 1.0 - 1e-6
    log_gamma = jnp.log(jnp.where(uniform, 0.5, gamma))
    geometric = jnp.log1p(u * jnp.expm1(n * log_gamma)) / log_gamma
    k = 1.0 + jnp.floor(jnp.where(uniform, u * n, geometric))
    return jnp.clip(k.astype(jnp.int32), 1, maximum)


class AbstractRelabelling(eqx.Module):
    """The interface of relabellings: `choose` a step; its achieved goal replaces the commanded one."""

    @abc.abstractmethod
    def choose(
        self, queue: TrajectoryQueue, state: QueueState, sample: Sample, *, key: Key
    ) -> tuple[IntScalar, IntScalar]:
        """The environment and the time of the chosen step."""

    def __call__(self, queue: TrajectoryQueue, state: QueueState, sample: Sample, *, key: Key) -> Float[Array, " goal"]:
        """**Arguments:**

        - `queue`, `state`: where the sample was drawn from.
        - `sample`: one sample; vmap over a batch.

        **Returns:** the hindsight goal.
        """
        env, time = self.choose(queue, state, sample, key=key)
        return queue.at(state, env, time).achieved_goal


class FutureGoals(AbstractRelabelling):
    r"""A later step of the same episode, $k$ steps on with $P(k) \propto \gamma^k$: samples of the discounted state
    occupancy, truncated at the episode's newest stored step. A step with no later one takes its own goal.

    The published code builds a matrix of all pairs of steps to draw from the same law; here a draw costs the same
    whatever the length of the episode.
    """

    gamma: Scalar
    """Discount in (0, 1]."""

    def choose(
        self, queue: TrajectoryQueue, state: QueueState, sample: Sample, *, key: Key
    ) -> tuple[IntScalar, IntScalar]:
        """The same environment, `k` steps later."""
        steps_left = queue.episode_end(state, sample.env, sample.time) - sample.time
        offset = truncated_geometric(self.gamma, jnp.maximum(steps_left, 1), key=key)
        return sample.env, sample.time + jnp.minimum(offset, steps_left)


class FinalGoals(AbstractRelabelling):
    """The newest stored step of the same episode: the "final" strategy of hindsight experience replay."""

    def choose(
        self, queue: TrajectoryQueue, state: QueueState, sample: Sample, *, key: Key
    ) -> tuple[IntScalar, IntScalar]:
        """The same environment, at the end of the episode."""
        del key
        return sample.env, queue.episode_end(state, sample.env, sample.time)


class RandomGoals(AbstractRelabelling):
    """Any stored step of any environment: the "random" strategy of hindsight experience replay."""

    def choose(
        self, queue: TrajectoryQueue, state: QueueState, sample: Sample, *, key: Key
    ) -> tuple[IntScalar, IntScalar]:
        """Another environment and time, both uniform."""
        del sample
        other = queue.sample(state, key=key)
        return other.env, other.time


def relabelling_from_name(name: str, gamma: Scalar) -> AbstractRelabelling:
    """`"future"`, `"final"` or `"random"`; `gamma` is the discount of the first. **Raises** `ValueError` for another
    name."""
    relabellings = {"future": lambda: FutureGoals(gamma), "final": FinalGoals, "random": RandomGoals}
    if name not in relabellings:
        raise ValueError(
            f"Hindsight goals are named {sorted(relabellings)}, got {name!r}. {did_you_mean(str(name), relabellings)}"
        )
    return relabellings[name]()


class GoalMixture(eqx.Module):
    """Hindsight goals for a share of the samples, their commanded goals for the others: hindsight experience replay.

    ??? cite "Reference"
        ```bibtex
        @inproceedings{andrychowicz2017hindsight,
          title={Hindsight Experience Replay},
          author={Andrychowicz, Marcin and Wolski, Filip and Ray, Alex and Schneider, Jonas and Fong, Rachel and
                  Welinder, Peter and McGrew, Bob and Tobin, Josh and Abbeel, Pieter and Zaremba, Wojciech},
          booktitle={Advances in Neural Information Processing Systems},
          year={2017}
        }
        ```
    """

    hindsight: AbstractRelabelling | None
    """Where hindsight goals come from; `None` leaves all goals as commanded."""
    ratio: float = eqx.field(static=True)
    """The share, in [0, 1]."""

    def __call__(self, queue: TrajectoryQueue, state: QueueState, sample: Sample, *, key: Key) -> Float[Array, " goal"]:
        """The goal of one sample; arguments as for [`deepcrl.replay.AbstractRelabelling`][]."""
        if self.hindsight is None:
            return sample.transition.desired_goal
        if self.ratio >= 1.0:  # no draw to spend
            return self.hindsight(queue, state, sample, key=key)
        goal_key, ratio_key = jr.split(key)
        goal = self.hindsight(queue, state, sample, key=goal_key)
        return jnp.where(jr.uniform(ratio_key) < self.ratio, goal, sample.transition.desired_goal)


def goals_from_name(name: str, gamma: Scalar | None, ratio: float = 1.0) -> GoalMixture:
    """As [`deepcrl.replay.relabelling_from_name`][] for a share of the samples; `"none"` leaves all goals as
    commanded, and needs no `gamma`."""
    if name != "none" and name not in ("future", "final", "random"):
        raise ValueError(
            f"Goals of a batch are named 'final', 'future', 'none' or 'random', got {name!r}. "
            f"{did_you_mean(str(name), ('final', 'future', 'none', 'random'))}"
        )
    if name == "none" or gamma is None:
        return GoalMixture(None, ratio)
    return GoalMixture(relabelling_from_name(name, gamma), ratio)
