"""What an environment asks of a physics engine: a state of arrays and a pure step."""

import abc
import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from deepcrl._typing import BoolScalar


class PhysicsState(eqx.Module):
    """What a simulation needs to go on, and what observations need of it; per sample, the same in every engine."""

    qpos: Float[Array, " nq"]
    """Generalised positions, in MuJoCo's order (m, rad, unit quaternions w x y z)."""
    qvel: Float[Array, " nv"]
    """Generalised velocities: free joints' linear ones in the world's frame, angular ones in the body's."""
    act: Float[Array, " na"] | None
    """Activations of those actuators that have such a state (muscles, servos with a time constant); zero at the start.
    `None` where the model has none."""
    warmstart: Float[Array, " nv"]
    """Accelerations that the constraint solver starts from."""
    derived: dict[str, Array]
    """Quantities that follow from the others, by MuJoCo's names (`xpos`, `cvel`, ...): those that the engine was made for,
    of the present state. Forces and accelerations are of the last substep, zero where none came before."""
    failed: BoolScalar
    """Whether the last step ended in numbers that are not finite; positions and velocities are then those before it."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """How long the vectors of a model are, and the shapes of what is derived."""

    qpos: int
    qvel: int
    act: int
    ctrl: int
    derived: dict[str, tuple[int, ...]]


class AbstractEngine(abc.ABC):
    """Steps one simulation. Pure; vmapped as often as the caller likes."""

    layout: Layout

    def init(self, qpos: Float[Array, " nq"], qvel: Float[Array, " nv"]) -> PhysicsState:
        """A state at these coordinates. Nothing is computed: `derived` holds zeros until `refresh`."""
        return PhysicsState(
            qpos=qpos,
            qvel=qvel,
            act=jnp.zeros(self.layout.act) if self.layout.act else None,
            warmstart=jnp.zeros_like(qvel),
            derived={name: jnp.zeros(shape) for name, shape in self.layout.derived.items()},
            failed=jnp.zeros((), bool),
        )

    @abc.abstractmethod
    def refresh(self, state: PhysicsState, stale: BoolScalar) -> PhysicsState:
        """The same state, with `derived` computed from positions and velocities where `stale`."""

    @abc.abstractmethod
    def step(self, state: PhysicsState, ctrl: Float[Array, " nu"]) -> PhysicsState:
        """One control step: as many substeps as the engine was made for, at constant `ctrl`."""


def guarded(before: PhysicsState, after: PhysicsState) -> PhysicsState:
    """`after`, or `before` marked as failed where a number of `after` is not finite."""
    finite = jnp.ones((), bool)
    for value in jax.tree.leaves((after.qpos, after.qvel, after.act, after.derived)):
        finite &= jnp.all(jnp.isfinite(value))
    kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), after, before)
    return dataclasses.replace(kept, warmstart=jnp.where(finite, after.warmstart, 0.0), failed=~finite)
