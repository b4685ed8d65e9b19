"""A replay rule of one's own: what was achieved a few steps later."""

import dataclasses

import jax.numpy as jnp
import jax.random as jr

import deepcrl
from deepcrl.replay import AbstractGoals


@deepcrl.register
@dataclasses.dataclass(frozen=True)
class NearGoals(AbstractGoals):
    horizon: int | None = 10

    def __call__(self, memory, sample, hypers, *, key):
        left = memory.episode_end(sample) - sample.time
        most = left if self.horizon is None else jnp.minimum(left, self.horizon)
        offset = jr.randint(key, (), 1, jnp.maximum(most, 1) + 1)
        return memory.at(sample.env, sample.time + jnp.minimum(offset, left)).achieved_goal
