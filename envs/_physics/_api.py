"""What an environment asks of a physics engine: a state of arrays and a pure step."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from deepcrl._typing import BoolScalar


FORCES = ("actuator_force", "qfrc_actuator")
"""Derived quantities that belong to a substep, not to a state: those of the last one, zero after `refresh`."""


class PhysicsState(eqx.Module):
    """What a simulation needs to go on, and what observations need of it; per sample, the same in every engine."""

    qpos: Float[Array, " nq"]
    """Generalised positions, in MuJoCo's order (m, rad, unit quaternions w x y z)."""
    qvel: Float[Array, " nv"]
    """Generalised velocities: free joints' linear ones in the world's frame, angular ones in the body's."""
    warmstart: Float[Array, " nv"]
    """Accelerations that the constraint solver starts from."""
    derived: dict[str, Array]
    """Quantities that follow from the two, by MuJoCo's names (`xpos`, `cvel`, ...): those that the engine was made for,
    of the present state. Those in `FORCES` are of the last substep, zero where none came before."""
    failed: BoolScalar
    """Whether the last step ended in numbers that are not finite; positions and velocities are then those before it."""


class AbstractEngine(abc.ABC):
    """Steps one simulation. Pure; vmapped as often as the caller likes."""

    @abc.abstractmethod
    def init(self, qpos: Float[Array, " nq"], qvel: Float[Array, " nv"]) -> PhysicsState:
        """A state at these coordinates. Nothing is computed: `derived` holds zeros until `refresh`."""

    @abc.abstractmethod
    def refresh(self, state: PhysicsState, stale: BoolScalar) -> PhysicsState:
        """The same state, with `derived` computed from positions and velocities where `stale`."""

    @abc.abstractmethod
    def step(self, state: PhysicsState, ctrl: Float[Array, " nu"]) -> PhysicsState:
        """One control step: as many substeps as the engine was made for, at constant `ctrl`."""


def fresh_state(
    qpos: Float[Array, " nq"], qvel: Float[Array, " nv"], shapes: dict[str, tuple[int, ...]]
) -> PhysicsState:
    """A state whose `derived` quantities, of the given shapes, are zeros."""
    derived = {name: jnp.zeros(shape) for name, shape in shapes.items()}
    false = jnp.zeros((), bool)
    return PhysicsState(qpos=qpos, qvel=qvel, warmstart=jnp.zeros_like(qvel), derived=derived, failed=false)


def guarded(before: PhysicsState, after: PhysicsState) -> PhysicsState:
    """`after`, or `before` marked as failed where a number of `after` is not finite."""
    finite = jnp.all(jnp.isfinite(after.qpos)) & jnp.all(jnp.isfinite(after.qvel))
    for value in after.derived.values():
        finite &= jnp.all(jnp.isfinite(value))
    return PhysicsState(
        qpos=jnp.where(finite, after.qpos, before.qpos),
        qvel=jnp.where(finite, after.qvel, before.qvel),
        warmstart=jnp.where(finite, after.warmstart, 0.0),
        derived={name: jnp.where(finite, value, before.derived[name]) for name, value in after.derived.items()},
        failed=~finite,
    )
