"""A trajectory queue and replay rules, as pure functions on a state."""

import functools as _ft

from .._registry import register
from ._batch import Batch as Batch, NextStep as NextStep
from ._goals import (
    AbstractGoals as AbstractGoals,
    CommandedGoals as CommandedGoals,
    FinalGoals as FinalGoals,
    FutureGoals as FutureGoals,
    MixedGoals as MixedGoals,
    RandomGoals as RandomGoals,
    truncated_geometric as truncated_geometric,
)
from ._memory import Memory as Memory
from ._queue import (
    QueueState as QueueState,
    Sample as Sample,
    TrajectoryQueue as TrajectoryQueue,
    Transition as Transition,
)
from ._rules import (
    AbstractReplay as AbstractReplay,
    AbstractReward as AbstractReward,
    AbstractSteps as AbstractSteps,
    GoalReward as GoalReward,
    hindsight_replay as hindsight_replay,
    NewestSteps as NewestSteps,
    Replay as Replay,
    TaskReward as TaskReward,
    UniformSteps as UniformSteps,
)


register(Replay, "replay")
register(hindsight_replay, "hindsight")
register(_ft.partial(FutureGoals, gamma=1.0), "uniform_future")
for _name, _part in {
    "uniform": UniformSteps,
    "newest": NewestSteps,
    "future": FutureGoals,
    "final": FinalGoals,
    "random": RandomGoals,
    "commanded": CommandedGoals,
    "mixed": MixedGoals,
    "task": TaskReward,
    "goal": GoalReward,
}.items():
    register(_part, _name)
