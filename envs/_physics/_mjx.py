"""MuJoCo in JAX (MJX), on any device; and its variant in Warp, on NVIDIA GPUs."""

import contextlib
import dataclasses
import functools as ft
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TYPE_CHECKING

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from deepcrl._compiler import compiler_knows
from deepcrl._typing import BoolScalar

from ._api import AbstractEngine, guarded, Layout, PhysicsState
from ._model import FORCES, of_substep, SENSORS
from ._warp import all_at_once, make_warp_data


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
    """MJX is not written for strict promotion of ranks and dtypes; the rest of the library is. And it leaves the precision
    of its products to the default, which on NVIDIA cards is TF32."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        with jax.default_matmul_precision("highest"):
            yield


class MjxEngine(AbstractEngine):
    """MJX: the simulation is part of the compiled program.

    Slow on CPUs, where it serves tests of parity; use `native` there.
    """

    def __init__(self, model: "mujoco.MjModel", impl: str, substeps: int, layout: Layout):
        from mujoco import mjx

        self.layout = layout
        self.substeps = substeps
        self.warp = impl == "warp"
        self.late = of_substep(model)
        if not self.warp and jax.default_backend() == "cpu":
            _warn_on_cpus()
        # The engine is kept, and it may be a function under trace that needs it first: no tracers.
        try:
            with jax.ensure_compile_time_eval(), lenient():
                self.model = mjx.put_model(model, impl=impl)
                self.data = make_warp_data(model, 1) if self.warp else mjx.make_data(model, impl=impl)
        except NotImplementedError as error:
            name = "warp" if self.warp else "mjx"
            raise ValueError(f"engine={name} cannot simulate this model: {error}; use engine=native.") from error
        self.compiled = model
        if SENSORS in layout.derived and self.late.any() and not self.warp:
            self._check_late_sensors(model)

    def _check_late_sensors(self, model: "mujoco.MjModel") -> None:
        from mujoco import mjtIntegrator

        reason = None
        if model.opt.integrator == mjtIntegrator.mjINT_RK4:
            reason = "reads them in the midst of a step of the integrator RK4"
        elif self.data._impl.efc_J.size == 0:
            reason = "does not compute them for a model without contacts, limits and friction in its joints"
        if reason:
            raise ValueError(
                f"`derived` asks for sensors of forces or accelerations, and MJX {reason}: use engine=native."
            )

    def refresh(self, state: PhysicsState, stale: BoolScalar) -> PhysicsState:
        """As [`AbstractEngine.refresh`][]: kinematics only, where no sensor needs more."""
        if not self.layout.derived:
            return state
        now = self._call(self._derive, state.qpos, state.qvel)
        derived = {name: jnp.where(stale, now[name], old) for name, old in state.derived.items()}
        return dataclasses.replace(state, derived=derived)

    def step(self, state: PhysicsState, ctrl: Float[Array, " nu"]) -> PhysicsState:
        """As [`AbstractEngine.step`][]."""
        return guarded(state, self._call(self._step, state, ctrl))

    def _call(self, function: Callable[..., PyTree], *args: PyTree) -> PyTree:
        """`function(data, *args)`, with data that has room for all simulations of the program."""
        if not self.warp:
            with lenient():
                return function(self.data, *args)

        def all_of_them(count: int, *args: PyTree) -> PyTree:
            with lenient():
                return jax.vmap(ft.partial(function, make_warp_data(self.compiled, count)))(*args)

        return all_at_once(all_of_them)(*args)

    def _derive(self, data: Any, qpos: Array, qvel: Array) -> dict[str, Array]:
        return self._derived(data.replace(qpos=qpos, qvel=qvel))

    def _step(self, data: Any, state: PhysicsState, ctrl: Array) -> PhysicsState:
        from mujoco import mjx

        data = data.replace(qpos=state.qpos, qvel=state.qvel, qacc_warmstart=state.warmstart, ctrl=ctrl)
        if state.act is not None:
            data = data.replace(act=state.act)
        data, _ = jax.lax.scan(lambda data, _: (mjx.step(self.model, data), None), data, length=self.substeps)
        return PhysicsState(
            qpos=data.qpos,
            qvel=data.qvel,
            act=None if state.act is None else data.act,
            warmstart=data.qacc_warmstart,
            derived=self._derived(data, stepped=True),
            failed=jnp.zeros((), bool),
        )

    def _derived(self, data: Any, stepped: bool = False) -> dict[str, Array]:
        """What is derived at the positions and velocities of `data`; of the last substep, what is left in it of that."""
        from mujoco import mjx

        shapes = self.layout.derived
        if not shapes:
            return {}
        if self.warp:  # has no function for velocities alone
            now = mjx.forward(self.model, data)
        elif SENSORS in shapes:
            now = mjx.sensor_pos(self.model, mjx.fwd_position(self.model, data))
            now = mjx.sensor_vel(self.model, mjx.fwd_velocity(self.model, now))
        else:
            now = mjx.com_vel(self.model, mjx.com_pos(self.model, mjx.kinematics(self.model, data)))

        def value(name: str) -> Array:
            last = _read(data, name) if stepped else jnp.zeros(shapes[name])
            if name == SENSORS:
                return jnp.where(self.late, last, _read(now, name))
            return (last if name in FORCES else _read(now, name)).reshape(shapes[name])

        return {name: value(name) for name in shapes}


def _read(data: Any, name: str) -> Array:
    """A field of MJX's data, with MuJoCo's name. MJX asks that fields which its variants keep apart (`cinert`) be read from
    `_impl`. MuJoCo keeps matrices as rows of nine numbers, MJX as three by three."""
    shared = {field.name for field in dataclasses.fields(data)}
    return getattr(data if name in shared else data._impl, name)
