"""Measures that experiments name in their files: pure functions of one lane, computed at the end of every epoch."""

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._errors import check_integer, check_number
from .._random import stream
from ..eval import far_cells, success_by_cell
from ..train import Trainer, TrainState


class AbstractMeasure(abc.ABC):
    """The interface of measures that files can name. Implementations are frozen dataclasses of plain values; register your
    own by [`deepcrl.register`][]. Python's `run(..., measures=)` takes any function like this."""

    @abc.abstractmethod
    def __call__(self, trainer: Trainer, state: TrainState) -> Mapping[str, Array]:
        """Names of columns to scalars; draws come from `state.key`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SuccessByCell(AbstractMeasure):
    """Of a task in a maze: `success_cells`, the mean over all free cells of the share of episodes with success, each cell
    the goal of as many episodes, and `success_far`, the mean over the far cells alone."""

    episodes: int = 8
    """For each cell."""
    far: float = 0.6
    """Far cells are those whose shortest path from the start is at least this share of the longest, in [0, 1]."""

    def __post_init__(self):
        check_integer("episodes", self.episodes)
        check_number("far", self.far, 0.0, 1.0)

    def __call__(self, trainer: Trainer, state: TrainState) -> dict[str, Array]:
        """Both means."""
        env: Any = trainer.eval_env
        params = trainer.eval_env_params
        key = stream(state.key, "success_by_cell", state.env_steps)
        cells = success_by_cell(env, params, trainer.policy(state), self.episodes, key=key)
        far = tuple(np.array(far_cells(env.maze, self.far)).T)
        return {"success_cells": jnp.nanmean(cells), "success_far": jnp.mean(cells[far])}
