"""Which goals a batch holds: commanded ones, or what some stored step achieved."""

import abc
import dataclasses

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from .._errors import check_number
from .._hypers import Hypers
from .._typing import IntScalar, Key, Scalar
from ._memory import Memory
from ._queue import Sample


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


class AbstractGoals(abc.ABC):
    """The interface of goal rules. Implementations are frozen dataclasses of plain values."""

    @abc.abstractmethod
    def __call__(self, memory: Memory, sample: Sample, hypers: Hypers, *, key: Key) -> Float[Array, " goal"]:
        """**Arguments:**

        - `memory`: what is stored.
        - `sample`: one step of it; vmap over a batch.
        - `hypers`: the lane's numbers.

        **Returns:** the goal that the step is learnt from with.
        """


@dataclasses.dataclass(frozen=True)
class CommandedGoals(AbstractGoals):
    """The goal that the episode had."""

    def __call__(self, memory: Memory, sample: Sample, hypers: Hypers, *, key: Key) -> Float[Array, " goal"]:
        """The commanded goal."""
        return sample.transition.desired_goal


@dataclasses.dataclass(frozen=True)
class FutureGoals(AbstractGoals):
    r"""What a later step of the same episode achieved, $k$ steps on with $P(k) \propto \gamma^k$: samples of the discounted
    state occupancy, truncated at the episode's newest stored step. A step with no later one takes its own goal.

    The published code builds a matrix of all pairs of steps to draw from the same law; here a draw costs the same
    whatever the length of the episode.
    """

    gamma: float | None = None
    """Discount in (0, 1], at 1 all later steps are equally likely; by default the lane's `hypers.gamma`."""

    def __post_init__(self):
        if self.gamma is not None:
            check_number("gamma", self.gamma, 0.0, 1.0, open_low=True)

    def __call__(self, memory: Memory, sample: Sample, hypers: Hypers, *, key: Key) -> Float[Array, " goal"]:
        """What the same environment achieved `k` steps later."""
        gamma = hypers.gamma if self.gamma is None else jnp.float32(self.gamma)
        steps_left = memory.episode_end(sample) - sample.time
        offset = truncated_geometric(gamma, jnp.maximum(steps_left, 1), key=key)
        return memory.at(sample.env, sample.time + jnp.minimum(offset, steps_left)).achieved_goal


@dataclasses.dataclass(frozen=True)
class FinalGoals(AbstractGoals):
    """What the newest stored step of the same episode achieved: the "final" strategy of hindsight experience replay."""

    def __call__(self, memory: Memory, sample: Sample, hypers: Hypers, *, key: Key) -> Float[Array, " goal"]:
        """What the episode achieved last."""
        return memory.at(sample.env, memory.episode_end(sample)).achieved_goal


@dataclasses.dataclass(frozen=True)
class RandomGoals(AbstractGoals):
    """What any stored step of any environment achieved: the "random" strategy of hindsight experience replay."""

    def __call__(self, memory: Memory, sample: Sample, hypers: Hypers, *, key: Key) -> Float[Array, " goal"]:
        """Of another environment and time, both uniform."""
        return memory.sample(key=key).transition.achieved_goal


@dataclasses.dataclass(frozen=True)
class MixedGoals(AbstractGoals):
    """Goals of one rule for a share of the samples, commanded goals for the others: hindsight experience replay.

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

    hindsight: AbstractGoals = FinalGoals()
    """Of the share."""
    ratio: float = 0.8
    """The share, in [0, 1]."""

    def __post_init__(self):
        check_number("ratio", self.ratio, 0.0, 1.0)

    def __call__(self, memory: Memory, sample: Sample, hypers: Hypers, *, key: Key) -> Float[Array, " goal"]:
        """The goal of one sample."""
        if self.ratio >= 1.0:  # no draw to spend
            return self.hindsight(memory, sample, hypers, key=key)
        goal_key, ratio_key = jr.split(key)
        goal = self.hindsight(memory, sample, hypers, key=goal_key)
        return jnp.where(jr.uniform(ratio_key) < self.ratio, goal, sample.transition.desired_goal)
