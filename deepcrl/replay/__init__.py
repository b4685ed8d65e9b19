"""A trajectory queue and hindsight relabelling, as pure functions on a state."""

from ._queue import (
    QueueState as QueueState,
    Sample as Sample,
    TrajectoryQueue as TrajectoryQueue,
    Transition as Transition,
)
from ._relabel import (
    AbstractRelabelling as AbstractRelabelling,
    FinalGoals as FinalGoals,
    FutureGoals as FutureGoals,
    GoalMixture as GoalMixture,
    goals_from_name as goals_from_name,
    RandomGoals as RandomGoals,
    relabelling_from_name as relabelling_from_name,
    truncated_geometric as truncated_geometric,
)
