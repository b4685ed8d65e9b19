"""MuJoCo in C on all cores of the CPU, by one callback for all simulations at once."""

import copy
import threading
from collections.abc import Callable
from typing import Any, TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.buffer_callback import buffer_callback
from jaxtyping import Array, Float, PyTree

from deepcrl._typing import BoolScalar

from ._api import AbstractEngine, FORCES, fresh_state, guarded, PhysicsState


if TYPE_CHECKING:
    import mujoco


class BatchPool:
    """Simulations of one model on the CPU's threads: NumPy in, NumPy out, nothing remembered between calls.

    A batch of simulations must be used by one thread at a time, and JAX may call from several (one per device): a lock
    lets them in one after another. The simulations themselves run on all cores, with the interpreter's lock released.
    """

    def __init__(self, model: "mujoco.MjModel", substeps: int, derived: tuple[str, ...]):
        self.model = model
        self.substeps = substeps
        self.derived = derived
        self.lock = threading.Lock()
        self.batches: dict[bool, Any] = {}

    def _batch(self, size: int, light: bool = False) -> Any:
        """At least `size` simulations; `light`: without contacts, to compute most derived quantities alike and sooner."""
        from mujoco import mjtDisableBit
        from mujoco.batch import Batch

        if light not in self.batches or self.batches[light].nsim < size:
            model = copy.copy(self.model) if light else self.model
            if light:
                model.opt.disableflags |= int(mjtDisableBit.mjDSBL_CONSTRAINT)
            batch = self.batches[light] = Batch(model, size)
            for name in self.derived:
                if light != (name in FORCES):
                    batch.bind(name)  # before the first call, which otherwise would not copy it
        return self.batches[light]

    def step(
        self, out: list[np.ndarray], qpos: np.ndarray, qvel: np.ndarray, warmstart: np.ndarray, ctrl: np.ndarray
    ) -> None:
        """One control step of every simulation, leaves `*axes n`; what fails comes back as not a number."""
        axes = qpos.shape[:-1]
        size = int(np.prod(axes))
        with self.lock:
            batch = self._batch(size)
            inputs = {"qpos": qpos, "qvel": qvel, "qacc_warmstart": warmstart, "ctrl": ctrl}
            for name, value in inputs.items():
                batch.bind(name)[:size] = value.reshape(size, -1)
            self._run(lambda: batch.step(_rows(batch, size), nstep=self.substeps))
            fields = [batch.bind(name)[:size] for name in ("qpos", "qvel", "qacc_warmstart")]
            if self.derived:
                light = self._derive(*fields[:2])
                fields += [(batch if name in FORCES else light).bind(name)[:size] for name in self.derived]
            for value, field in zip(out, fields, strict=True):
                value[...] = field.reshape(value.shape)
            out[0][batch.status[:size].reshape(axes) != 0] = np.nan

    def forward(
        self, out: list[np.ndarray], qpos: np.ndarray, qvel: np.ndarray, stale: np.ndarray, *derived: np.ndarray
    ) -> None:
        """The derived quantities of the simulations that are `stale`; those of the others come back as given."""
        for value, given in zip(out, derived, strict=True):
            value[...] = given
        count = int(stale.sum())
        if count:
            with self.lock:
                light = self._derive(qpos[stale], qvel[stale])
                for name, value in zip(self.derived, out, strict=True):
                    # no substep came before
                    value[stale] = 0.0 if name in FORCES else light.bind(name)[:count]

    def _derive(self, qpos: np.ndarray, qvel: np.ndarray) -> Any:
        """Light simulations, of which the first are at these positions and velocities."""
        from mujoco import mjtStage

        size = len(qpos)
        light = self._batch(size, light=True)
        light.bind("qpos")[:size] = qpos
        light.bind("qvel")[:size] = qvel
        self._run(lambda: light.forward(_rows(light, size), stage=int(mjtStage.mjSTAGE_VEL)))
        return light

    @staticmethod
    def _run(call: Callable[[], object]) -> None:
        # An exception in a callback would leave the program in an undefined state. What failed is marked in `status`.
        from mujoco.batch import SimulationError

        try:
            call()
        except SimulationError:
            pass


def _rows(batch: Any, size: int) -> np.ndarray | None:
    """The first `size` simulations, in the words of MuJoCo's batch."""
    return None if size == batch.nsim else np.arange(size)


def _on_host(function: Callable[..., None], like: PyTree, *args: Array) -> tuple[Array, ...]:
    """Calls `function(out, *args)`, which fills NumPy arrays, from compiled programs: once for all simulations of a vmap.

    A program on a CPU lends its own memory. `jax.pure_callback`, which other devices need, makes JAX arrays first: that
    takes longer than the rest of a control step, simulation left out.
    """
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), like)
    axes = args[0].ndim

    def lend(context: Any, out: tuple[Any, ...], *buffers: Any) -> None:
        function([np.asarray(buffer) for buffer in out], *map(np.asarray, buffers))

    def copied(*args: Any) -> tuple[np.ndarray, ...]:
        args = tuple(map(np.asarray, args))
        batch = args[0].shape[: args[0].ndim - axes]
        out = [np.empty((*batch, *shape.shape), shape.dtype) for shape in shapes]
        function(out, *args)
        return tuple(out)

    return jax.lax.platform_dependent(
        *args,
        cpu=buffer_callback(lend, shapes, vmap_method="broadcast_all"),
        default=lambda *args: jax.pure_callback(copied, shapes, *args, vmap_method="broadcast_all"),
    )


class NativeEngine(AbstractEngine):
    """MuJoCo's own batched simulation, called from compiled programs.

    State in, state out: simulations keep nothing between calls but their memory. One call per control step serves all
    environments of all lanes.
    """

    def __init__(self, pool: BatchPool, shapes: dict[str, tuple[int, ...]]):
        self.pool = pool
        self.shapes = shapes

    def init(self, qpos: Float[Array, " nq"], qvel: Float[Array, " nv"]) -> PhysicsState:
        """As [`AbstractEngine.init`][]."""
        return fresh_state(qpos, qvel, self.shapes)

    def refresh(self, state: PhysicsState, stale: BoolScalar) -> PhysicsState:
        """As [`AbstractEngine.refresh`][]; a call that finds nothing stale computes nothing."""
        if not self.shapes:
            return state
        values = tuple(state.derived[name] for name in self.shapes)
        values = _on_host(self.pool.forward, values, state.qpos, state.qvel, stale, *values)
        derived = dict(zip(self.shapes, values, strict=True))
        return PhysicsState(
            qpos=state.qpos, qvel=state.qvel, warmstart=state.warmstart, derived=derived, failed=state.failed
        )

    def step(self, state: PhysicsState, ctrl: Float[Array, " nu"]) -> PhysicsState:
        """As [`AbstractEngine.step`][]."""
        like = (state.qpos, state.qvel, state.warmstart, *(state.derived[name] for name in self.shapes))
        qpos, qvel, warmstart, *values = _on_host(self.pool.step, like, state.qpos, state.qvel, state.warmstart, ctrl)
        derived = dict(zip(self.shapes, values, strict=True))
        after = PhysicsState(
            qpos=qpos, qvel=qvel, warmstart=warmstart, derived=derived, failed=jnp.zeros_like(state.failed)
        )
        return guarded(state, after)
