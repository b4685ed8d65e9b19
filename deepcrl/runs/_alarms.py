"""Alarms: metrics of an epoch that a healthy run does not show. They are told, and stop nothing.

Every rule is an interval that a metric must stay in, and where the interval ends follows from a formula. A metric that an
agent does not have, or that is not finite (which marks the lane as diverged), raises no alarm.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

from ..nn._networks import LOG_STD_MIN


@dataclasses.dataclass(frozen=True)
class Alarm:
    """The first epoch of a lane in which a metric left its interval."""

    epoch: int
    """After which epoch, from 1."""
    lane: int
    """Which lane."""
    seed: int
    """Its seed."""
    kind: str
    """`"alpha"`, `"logits"`, `"policy"` or `"physics"`."""
    metric: str
    """The name of the metric."""
    value: float
    """What it was."""
    message: str
    """What that means."""

    def __str__(self) -> str:
        where = f"lane {self.lane} (seed {self.seed}), epoch {self.epoch}"
        return f"{where}: {self.message}: {self.metric} = {self.value:.4g}"


@dataclasses.dataclass(frozen=True)
class _Rule:
    kind: str
    metrics: tuple[str, ...]
    low: float
    high: float
    message: str


_RULES = (
    # Below, the gradient of log alpha, alpha times nats, drowns in Adam's epsilon of 1e-8: alpha cannot come back. Above,
    # one nat of entropy outweighs ten times the largest return of rewards up to 1 at gamma = 0.99.
    _Rule("alpha", ("alpha/alpha",), 1e-8, 1e3, "the entropy weight runs away"),
    # Distances come from squares: of 1e8, whose neighbours in float32 are 8 apart, so that a distance below about 3 and
    # none at all are the same. Of any energy, the loss then knows no more than the third decimal.
    _Rule(
        "logits",
        ("critic/logits_pos", "critic/logits_neg", "critic/logsumexp"),
        -1e4,
        1e4,
        "the scale of the critic's logits runs away",
    ),
    # The least noise of a tanh-Gaussian policy where tanh is steepest: the states make no difference either.
    _Rule("policy", ("action_std",), math.exp(LOG_STD_MIN), math.inf, "the policy is dead, all actions are the same"),
    _Rule(
        "physics",
        ("failed_steps", "failed_episodes"),
        0.0,
        0.0,
        "simulations came to numbers that are not finite and were reset",
    ),
)


def alarms(rows: Iterable[Mapping[str, Any]], before: Iterable[Alarm] = ()) -> list[Alarm]:
    """The alarms of a run's metrics: the first of every lane and kind, in the order of the rows.

    **Arguments:**

    - `rows`: of metrics, as `rows` of a run has them ([`deepcrl.open_run`][]).
    - `before`: alarms of earlier rows, which are not repeated.
    """
    known = {(alarm.lane, alarm.kind) for alarm in before}
    new: list[Alarm] = []
    for row in rows:
        for rule in _RULES:
            metric = next((name for name in rule.metrics if _outside(row.get(name), rule)), None)
            if metric is None or (row["lane"], rule.kind) in known:
                continue
            known.add((row["lane"], rule.kind))
            new.append(
                Alarm(row["epoch"], row["lane"], row["seed"], rule.kind, metric, float(row[metric]), rule.message)
            )
    return new


def _outside(value: int | float | None, rule: _Rule) -> bool:
    return value is not None and math.isfinite(value) and not rule.low <= value <= rule.high
