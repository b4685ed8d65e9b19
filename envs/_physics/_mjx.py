"""MuJoCo in JAX (MJX), on any device; and its variant in Warp, on NVIDIA GPUs."""

import contextlib
import dataclasses
import os
import warnings
from collections.abc import Iterator
from typing import Any, TYPE_CHECKING

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from deepcrl._compiler import compiler_knows
from deepcrl._typing import BoolScalar

from ._api import AbstractEngine, fresh_state, guarded, PhysicsState


if TYPE_CHECKING:
    import mujoco


def cpu_options() -> dict[str, bool]:
    """Options of the compiler that MJX needs on a CPU, those of them that this version of JAX has.

    XLA's fusion emitters (from jax 0.7, gone in 0.12) compute a body's place anew for every use of it further down the
    chain, ten times the work for each body (jax-ml/jax#33761).
    """
    return {name: False for name in ("xla_cpu_use_fusion_emitters",) if compiler_knows({name: False})}


def _warn_on_cpus() -> None:
    given = os.environ.get("XLA_FLAGS", "")
    settings = [f"XLA_FLAGS=--{name}=false" for name in cpu_options() if f"--{name}=false" not in given]
    if os.environ.get("NPROC") != "1":
        # jaxlib's batched Cholesky factorisation waits, in a thread of XLA's pool, for others of that pool: two that run at
        # once may wait for each other for ever.
        settings.append("NPROC=1")
    if settings:
        warnings.warn(
            f"MJX on a CPU needs {' '.join(settings)} in the environment before JAX starts: otherwise a program may never "
            "end, and a step of an arm take seconds. Or choose engine=native.",
            stacklevel=3,
        )


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
            _warn_on_cpus()
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
