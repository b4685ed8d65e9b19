"""Boxes: to draw places from, and as spaces."""

import equinox as eqx
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from deepcrl._typing import Key

from .._spaces import Box


class UniformBox(eqx.Module):
    """A uniform distribution of points in an upright box; its numbers may be vmapped."""

    centre: Float[Array, " xyz"]
    """The box's middle, in m."""
    reach: Float[Array, " xyz"]
    """Half its sides, in m."""

    def draw(self, *, key: Key) -> Float[Array, " xyz"]:
        """A point, in m."""
        return self.centre + self.reach * jr.uniform(key, (3,), minval=-1.0, maxval=1.0)


def space(*parts: tuple[float, int]) -> Box:
    """Symmetric bounds: (greatest value, how many numbers) one after another. Generous: nothing is clipped to it."""
    high = np.concatenate([np.full(count, most) for most, count in parts])
    return Box(-high, high)
