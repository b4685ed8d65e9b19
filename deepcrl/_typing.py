"""Shared array types.

Axis names mean the same everywhere: `lane` (one training run under vmap), `env`, `time`, `batch`, `obs`, `goal`,
`action`, `width`, `block`, `layer`, `repr`, `row col` (maze cells), `xy`, `seed`, `task`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import jax
from jaxtyping import Array, Bool, Float, Int


Policy: TypeAlias = Callable[..., Array]
"""What acts: `policy(observation, goal, *, key) -> action in [-1, 1]`, per sample."""

if TYPE_CHECKING:
    # Type checkers know nothing of shapes: to them these are arrays.
    Key: TypeAlias = jax.Array
    Scalar: TypeAlias = jax.Array
    IntScalar: TypeAlias = jax.Array
    BoolScalar: TypeAlias = jax.Array
else:
    from jaxtyping import PRNGKeyArray

    Key: TypeAlias = PRNGKeyArray
    Scalar: TypeAlias = Float[Array, ""]
    IntScalar: TypeAlias = Int[Array, ""]
    BoolScalar: TypeAlias = Bool[Array, ""]
