"""MuJoCo in JAX (MJX), on any device; and its variant in Warp, on NVIDIA GPUs."""

import contextlib
import dataclasses
import os
import warnings
from collections.abc import Iterator
from typing import Any, TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from deepcrl._compiler import compiler_knows
from deepcrl._typing import BoolScalar

from ._api import AbstractEngine, fresh_state, guarded, PhysicsState


if TYPE_CHECKING:
    import mujoco


WITHOUT_FUSION_EMITTERS = {"xla_cpu_use_fusion_emitters": False}


@contextlib.contextmanager
def lenient() -> Iterator[None]:
    """MJX is not written for strict promotion of ranks and dtypes; the rest of the library is."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


class MjxEngine(AbstractEngine):
    """MJX: the simulation is part of the compiled program.

    Slow on CPUs, where it serves tests of parity; use `native` there.
    """

    def __init__(self, model: "mujoco.MjModel", impl: str, substeps: int, shapes: dict[str, tuple[int, ...]]):
        from mujoco import mjx

        if impl == "jax" and jax.default_backend() == "cpu":
            _warn_of_long_chains(model)
        # The engine is kept, and it may be a function under trace that needs it first: no tracers.
        with jax.ensure_compile_time_eval(), lenient():
            self.model = mjx.put_model(model, impl=impl)
            self.data = mjx.make_data(model, impl=impl)
        self.substeps = substeps
        self.shapes = shapes

    def init(self, qpos: Float[Array, " nq"], qvel: Float[Array, " nv"]) -> PhysicsState:
        """As [`AbstractEngine.init`][]."""
        return fresh_state(qpos, qvel, self.shapes)

    def refresh(self, state: PhysicsState, stale: BoolScalar) -> PhysicsState:
        """As [`AbstractEngine.refresh`][]: kinematics only, no collisions and no solver."""
        if not self.shapes:
            return state
        with lenient():
            data = self._kinematics(self.data.replace(qpos=state.qpos, qvel=state.qvel))
            now = self._derived(data)
            derived = {name: jnp.where(stale, now[name], old) for name, old in state.derived.items()}
        return PhysicsState(
            qpos=state.qpos, qvel=state.qvel, warmstart=state.warmstart, derived=derived, failed=state.failed
        )

    def step(self, state: PhysicsState, ctrl: Float[Array, " nu"]) -> PhysicsState:
        """As [`AbstractEngine.step`][]."""
        from mujoco import mjx

        with lenient():
            data = self.data.replace(qpos=state.qpos, qvel=state.qvel, qacc_warmstart=state.warmstart, ctrl=ctrl)
            data, _ = jax.lax.scan(lambda data, _: (mjx.step(self.model, data), None), data, length=self.substeps)
            if self.shapes:
                data = self._kinematics(data)
            after = PhysicsState(
                qpos=data.qpos,
                qvel=data.qvel,
                warmstart=data.qacc_warmstart,
                derived=self._derived(data),
                failed=jnp.zeros((), bool),
            )
        return guarded(state, after)

    def _derived(self, data: Any) -> dict[str, Array]:
        # MJX asks that fields which its variants keep apart (`cinert`) be read from `_impl`. MuJoCo keeps matrices as rows
        # of nine numbers, MJX as three by three.
        shared = {field.name for field in dataclasses.fields(data)}
        return {
            name: getattr(data if name in shared else data._impl, name).reshape(shape)
            for name, shape in self.shapes.items()
        }

    def _kinematics(self, data: Any) -> Any:
        from mujoco import mjx

        data = mjx.com_pos(self.model, mjx.kinematics(self.model, data))
        return mjx.com_vel(self.model, data)


def _warn_of_long_chains(model: "mujoco.MjModel") -> None:
    # These kernels for CPUs (from jax 0.7; gone in 0.12, and the option with them) compute a body's place anew for every
    # use of it further down the chain, ten times the work for each body (jax-ml/jax#33761).
    length = np.zeros(model.nbody, int)
    for body in range(1, model.nbody):  # parents come first
        length[body] = length[model.body_parentid[body]] + 1
    flag = "--xla_cpu_use_fusion_emitters=false"
    if length.max() > 5 and flag not in os.environ.get("XLA_FLAGS", "") and compiler_knows(WITHOUT_FUSION_EMITTERS):
        warnings.warn(
            f"MJX with a chain of {length.max()} bodies takes seconds for a step on a CPU, as this version of JAX compiles "
            f"it. Choose engine=native, or set XLA_FLAGS={flag} before JAX starts, or compile by "
            f"`jax.jit(..., compiler_options={WITHOUT_FUSION_EMITTERS})`.",
            stacklevel=2,
        )
