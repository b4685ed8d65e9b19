"""Evaluation: roll-outs of a policy and their metrics."""

from ._rollout import (
    Episodes as Episodes,
    EvalMetrics as EvalMetrics,
    evaluate as evaluate,
    rollout_episodes as rollout_episodes,
)
