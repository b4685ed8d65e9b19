"""The replay buffer as rules see it: where to draw steps, and what counts as reaching a goal."""

import dataclasses
from collections.abc import Callable

from jaxtyping import Array

from .._typing import BoolScalar, IntScalar, Key
from ._queue import QueueState, Sample, TrajectoryQueue, Transition


@dataclasses.dataclass(frozen=True, eq=False)
class Memory:
    """What is stored, and what the task says of goals. Not a pytree: it is made inside a program."""

    queue: TrajectoryQueue
    """Structure of the buffer."""
    state: QueueState
    """Its contents."""
    reached: Callable[[Array, Array], BoolScalar]
    """`reached(achieved_goal, goal)`: whether the one counts as reaching the other."""

    def sample(self, *, newest: int | None = None, key: Key) -> Sample:
        """One stored step, uniform; with `newest`, of that many newest steps of an environment."""
        return self.queue.sample(self.state, newest=newest, key=key)

    def at(self, env: IntScalar, time: IntScalar) -> Transition:
        """The step that an environment took at a time, which must still be stored."""
        return self.queue.at(self.state, env, time)

    def episode_end(self, sample: Sample) -> IntScalar:
        """The newest stored time of the sample's episode."""
        return self.queue.episode_end(self.state, sample.env, sample.time)
