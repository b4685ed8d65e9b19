"""Replay rules: the batches that an agent asks for. Which steps, which goals, which reward."""

import abc
import dataclasses

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from .._errors import check_integer
from .._hypers import Hypers
from .._registry import as_part
from .._typing import Key, Scalar
from ._batch import Batch, NextStep
from ._goals import AbstractGoals, CommandedGoals, FinalGoals, FutureGoals, MixedGoals
from ._memory import Memory
from ._queue import Sample, Transition


class AbstractSteps(abc.ABC):
    """The interface of rules for steps. Implementations are frozen dataclasses of plain values."""

    @abc.abstractmethod
    def __call__(self, memory: Memory, *, key: Key) -> Sample:
        """One stored step."""


@dataclasses.dataclass(frozen=True)
class UniformSteps(AbstractSteps):
    """Every stored step is as likely as another."""

    def __call__(self, memory: Memory, *, key: Key) -> Sample:
        """Any step."""
        return memory.sample(key=key)


@dataclasses.dataclass(frozen=True)
class NewestSteps(AbstractSteps):
    """One of the newest steps of any environment, each as likely as another: nearly on-policy."""

    count: int = 1_000
    """How many of each environment."""

    def __post_init__(self):
        check_integer("count", self.count)

    def __call__(self, memory: Memory, *, key: Key) -> Sample:
        """One of the newest."""
        return memory.sample(newest=self.count, key=key)


class AbstractReward(abc.ABC):
    """The interface of rules for rewards. Implementations are frozen dataclasses of plain values."""

    @abc.abstractmethod
    def __call__(self, memory: Memory, step: Transition, goal: Float[Array, " goal"]) -> Scalar:
        """The reward of a step with its next observation, under a goal."""


@dataclasses.dataclass(frozen=True)
class TaskReward(AbstractReward):
    """The reward that the task gave, which is for the commanded goal."""

    def __call__(self, memory: Memory, step: Transition, goal: Float[Array, " goal"]) -> Scalar:
        """As it was stored."""
        return step.reward


@dataclasses.dataclass(frozen=True)
class GoalReward(AbstractReward):
    """1 if what the step led to counts as reaching the goal, else 0: for relabelled and commanded goals alike."""

    def __call__(self, memory: Memory, step: Transition, goal: Float[Array, " goal"]) -> Scalar:
        """1 or 0."""
        return memory.reached(step.next_achieved_goal, goal).astype(jnp.float32)  # pyright: ignore[reportArgumentType]


class AbstractReplay(abc.ABC):
    """The interface of replay rules. Implementations are frozen dataclasses of plain values; an agent has one in its field
    `replay`, and the training loop asks it for batches."""

    @property
    @abc.abstractmethod
    def keeps_next(self) -> bool:
        """Whether the buffer must store what each step led to, for `Batch.next`."""

    @abc.abstractmethod
    def __call__(self, memory: Memory, hypers: Hypers, *, key: Key) -> Batch:
        """One sample, to be vmapped over keys.

        **Arguments:**

        - `memory`: what is stored.
        - `hypers`: the lane's numbers.
        """


@dataclasses.dataclass(frozen=True, kw_only=True)
class Replay(AbstractReplay):
    """A replay rule made of three small ones.

    **Raises:** `ValueError` for relabelled goals with the task's reward, which is for commanded goals.
    """

    steps: AbstractSteps = UniformSteps()
    """Which stored steps a batch holds."""
    goals: AbstractGoals = FutureGoals()
    """Which goals they are learnt from with."""
    reward: AbstractReward | None = None
    """The reward in `Batch.next`; `None` for agents that need neither reward nor next observation."""

    def __post_init__(self):
        for name, kind in (("steps", AbstractSteps), ("goals", AbstractGoals), ("reward", AbstractReward)):
            if getattr(self, name) is not None or name != "reward":
                object.__setattr__(self, name, as_part(name, kind, getattr(self, name)))
        if isinstance(self.reward, TaskReward) and not isinstance(self.goals, CommandedGoals):
            raise ValueError(
                f"`reward=TaskReward()` is the reward for commanded goals; {type(self.goals).__name__} are others. "
                "Take `reward=GoalReward()`."
            )

    @property
    def keeps_next(self) -> bool:
        """Whether there is a reward."""
        return self.reward is not None

    def __call__(self, memory: Memory, hypers: Hypers, *, key: Key) -> Batch:
        """One sample."""
        step_key, goal_key = jr.split(key)
        sample = self.steps(memory, key=step_key)
        goal = self.goals(memory, sample, hypers, key=goal_key)
        step = sample.transition
        led_to = None
        if self.reward is not None:
            led_to = NextStep(
                observation=step.next_observation,  # pyright: ignore[reportArgumentType]
                reward=self.reward(memory, step, goal),
                terminated=step.terminated,
            )
        return Batch(observation=step.observation, action=step.action, goal=goal, next=led_to)


def hindsight_replay(goals: AbstractGoals | None = None, ratio: float = 0.8) -> Replay:
    """Hindsight experience replay for agents that bootstrap: `SAC(replay=hindsight_replay())`.

    **Arguments:**

    - `goals`: of the relabelled samples; by default [`deepcrl.replay.FinalGoals`][].
    - `ratio`: their share, in [0, 1]; the others keep their commanded goals. All get the sparse reward of their goal.
    """
    return Replay(goals=MixedGoals(FinalGoals() if goals is None else goals, ratio), reward=GoalReward())
