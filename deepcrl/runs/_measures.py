"""Measures: what else is computed of every lane at the end of an epoch."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Array

from ..train import States, Sweep, Trainer, TrainState


# Of one lane, pure: names of columns to arrays. What is drawn comes from `state.key` and `state.env_steps`.
Measure = Callable[[Trainer, TrainState], Mapping[str, Array]]


def measuring(programs: Sweep, measures: Sequence[Measure]) -> Callable[[States], list[dict[str, Any]]]:
    """A function from all lanes' states to a dictionary per lane of plain values (`None` for what is not finite), computed
    by one program; of no measures it gives none."""
    if not measures:
        return lambda states: []

    def of_lane(trainer: Trainer, state: TrainState) -> dict[str, Array]:
        found: dict[str, Array] = {}
        for measure in measures:
            for name, value in measure(trainer, state).items():
                if name in found or name in ("epoch", "lane", "seed"):
                    raise ValueError(f"Two measures give a column `{name}`. Give one of them another name.")
                found[name] = value
        return found

    program = programs.measured(of_lane)

    def rows(states: States) -> list[dict[str, Any]]:
        columns = {name: np.asarray(values).tolist() for name, values in program(states).items()}
        return [{name: _plain(values[lane]) for name, values in columns.items()} for lane in range(len(programs.lanes))]

    return rows


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value if not isinstance(value, float) or math.isfinite(value) else None
