"""Spaces: the shape and range of observations, goals and actions."""

import jax
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float

from deepcrl._tree import is_concrete
from deepcrl._typing import BoolScalar, Key


def _frozen(bound: np.ndarray) -> np.ndarray:
    # A copy, read-only and without a negative zero: equal boxes must hash alike, for ever.
    copy = np.array(bound)
    copy[copy == 0.0] = 0.0
    copy.flags.writeable = False
    return copy


class Box:
    """A box of `float32` vectors with a lower and an upper bound per number.

    Hashable and comparable, so it may be a static field.
    """

    def __init__(self, low: object, high: object, shape: tuple[int, ...] | None = None):
        """**Arguments:**

        - `low`, `high`: the bounds, numbers or arrays, `low < high`; infinite where there is none.
        - `shape`: of the vectors; by default that of the bounds broadcast together.

        **Raises:** `ValueError` where a bound is not a number or the bounds cross; `TypeError` where one is traced.
        """
        if not (is_concrete(low) and is_concrete(high)):
            raise TypeError(
                "The bounds of a `Box` must be known when a program is built, got traced arrays. Make them of fields of "
                "the environment, not of `params`."
            )
        low_array, high_array = np.asarray(low, np.float32), np.asarray(high, np.float32)
        shape = np.broadcast_shapes(low_array.shape, high_array.shape) if shape is None else shape
        self.low, self.high = (_frozen(np.broadcast_to(bound, shape)) for bound in (low_array, high_array))
        if not np.all(self.low < self.high):
            raise ValueError(
                f"The bounds of a `Box` must have `low < high` everywhere, got low = {self.low.tolist()} and "
                f"high = {self.high.tolist()}."
            )

    @classmethod
    def unbounded(cls, size: int) -> "Box":
        """All vectors of that many numbers."""
        return cls(-np.inf, np.inf, (size,))

    @property
    def bounded(self) -> bool:
        """Whether every number has both bounds."""
        return bool(np.all(np.isfinite(self.low)) and np.all(np.isfinite(self.high)))

    def _check_bounded(self) -> None:
        if not self.bounded:
            raise ValueError(
                f"A `Box` without bounds can neither be drawn from nor scaled to: {self}. Give every number, such as the "
                "target of a joint without limits, a range of its own."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the vectors."""
        return self.low.shape

    @property
    def size(self) -> int:
        """How many numbers a vector holds."""
        return self.low.size

    def sample(self, key: Key) -> Float[Array, "..."]:
        """A vector drawn uniformly. **Raises** `ValueError` for a box without bounds."""
        self._check_bounded()
        return jr.uniform(key, self.shape, minval=self.low, maxval=self.high)

    def contains(self, x: Float[Array, "..."], tolerance: float = 1e-4) -> BoolScalar:
        """Whether `x` lies inside, up to `tolerance` times the range.

        **Raises:** `ValueError` if `x` has another shape.
        """
        if x.shape != self.shape:
            raise ValueError(f"This `Box` holds vectors of shape {self.shape}, got one of shape {x.shape}.")
        low, high = self.widened(tolerance)
        inside: Bool[Array, "..."] = (x >= low) & (x <= high)
        return jax.numpy.all(inside)

    def widened(self, tolerance: float = 1e-4) -> tuple[np.ndarray, np.ndarray]:
        """Both bounds, moved apart by `tolerance` times the range where that is finite: room for rounding."""
        slack = tolerance * np.nan_to_num(self.high - self.low, posinf=0.0)
        return self.low - slack, self.high + slack

    def from_unit(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Maps $[-1, 1]$, where policies act, onto the box; a unit box leaves `x` as it is. **Raises** `ValueError` for a
        box without bounds."""
        self._check_bounded()
        if np.all(self.low == -1.0) and np.all(self.high == 1.0):
            return x
        return x * (0.5 * (self.high - self.low)) + 0.5 * (self.high + self.low)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Box)
            and self.shape == other.shape
            and bool(np.all(self.low == other.low) and np.all(self.high == other.high))
        )

    def __hash__(self) -> int:
        return hash((self.low.tobytes(), self.high.tobytes(), self.shape))

    def __repr__(self) -> str:
        return f"Box(low={self.low.tolist()}, high={self.high.tolist()})"
