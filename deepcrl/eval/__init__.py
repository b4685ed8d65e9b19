"""Evaluation: roll-outs of a policy and their metrics, with intervals."""

from ._cells import far_cells as far_cells, success_by_cell as success_by_cell
from ._rollout import (
    Episodes as Episodes,
    EvalMetrics as EvalMetrics,
    evaluate as evaluate,
    rollout_episodes as rollout_episodes,
)
from ._statistics import (
    bootstrap_difference as bootstrap_difference,
    bootstrap_interval as bootstrap_interval,
    interquartile_mean as interquartile_mean,
)
