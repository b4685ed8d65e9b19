"""MuJoCo in C on all cores of the CPU, by one callback for all simulations at once."""

import copy
import dataclasses
import threading
from collections.abc import Callable
from typing import Any, TYPE_CHECKING

import jax
import numpy as np
from jax.experimental.buffer_callback import buffer_callback
from jaxtyping import Array, Float, PyTree

from deepcrl._typing import BoolScalar

from ._api import AbstractEngine, guarded, Layout, PhysicsState
from ._model import FORCES, of_substep, SENSORS


if TYPE_CHECKING:
    import mujoco


_FIELDS = {"qacc_warmstart": "warmstart"}  # of a `PhysicsState`, where MuJoCo calls them otherwise


class BatchPool:
    """Simulations of one model on the CPU's threads: NumPy in, NumPy out, nothing remembered between calls.

    A batch of simulations must be used by one thread at a time, and JAX may call from several (one per device): a lock
    lets them in one after another. The simulations themselves run on all cores, with the interpreter's lock released.
    """

    def __init__(self, model: "mujoco.MjModel", substeps: int, state: tuple[str, ...], derived: tuple[str, ...]):
        self.model = model
        self.substeps = substeps
        self.state = state
        self.derived = derived
        self.late = of_substep(model)
        self.lock = threading.Lock()
        self.batches: dict[bool, Any] = {}

    def _batch(self, size: int, light: bool = False) -> Any:
        """At least `size` simulations; `light`: to compute what follows from positions and velocities, without contacts
        where no sensor may need them."""
        from mujoco import mjtDisableBit
        from mujoco.batch import Batch

        if light not in self.batches or self.batches[light].nsim < size:
            model = copy.copy(self.model)
            model.opt.disableflags |= int(mjtDisableBit.mjDSBL_AUTORESET)  # what fails is told by its numbers
            if light and SENSORS not in self.derived:
                model.opt.disableflags |= int(mjtDisableBit.mjDSBL_CONSTRAINT)
            batch = self.batches[light] = Batch(model, size)
            for name in self.derived:
                if name == SENSORS or light != (name in FORCES):
                    batch.bind(name)  # before the first call, which otherwise would not copy it
        return self.batches[light]

    def step(self, out: list[np.ndarray], ctrl: np.ndarray, *state: np.ndarray) -> None:
        """One control step of every simulation, leaves `*axes n`; what fails comes back as not a number."""
        axes = ctrl.shape[:-1]
        size = int(np.prod(axes))
        with self.lock:
            batch = self._batch(size)
            for name, value in zip((*self.state, "ctrl"), (*state, ctrl), strict=True):
                batch.bind(name)[:size] = value.reshape(size, -1)
            self._run(lambda: batch.step(_rows(batch, size), nstep=self.substeps))
            fields = [batch.bind(name)[:size] for name in self.state]
            fields += self._derive(*fields[:2], last=batch)
            for value, field in zip(out, fields, strict=True):
                value[...] = field.reshape(value.shape)
            out[0][batch.status[:size].reshape(axes) != 0] = np.nan

    def forward(
        self, out: list[np.ndarray], qpos: np.ndarray, qvel: np.ndarray, stale: np.ndarray, *derived: np.ndarray
    ) -> None:
        """The derived quantities of the simulations that are `stale`; those of the others come back as given."""
        for value, given in zip(out, derived, strict=True):
            value[...] = given
        if stale.any():
            with self.lock:
                for value, field in zip(out, self._derive(qpos[stale], qvel[stale]), strict=True):
                    value[stale] = field

    def _derive(self, qpos: np.ndarray, qvel: np.ndarray, last: Any = None) -> list[Any]:
        """The derived quantities at these positions and velocities; those of a substep are of the `last`, zero without."""
        from mujoco import mjtStage

        if not self.derived:
            return []
        size = len(qpos)
        light = self._batch(size, light=True)
        light.bind("qpos")[:size] = qpos
        light.bind("qvel")[:size] = qvel
        self._run(lambda: light.forward(_rows(light, size), stage=int(mjtStage.mjSTAGE_VEL)))

        fields = []
        for name in self.derived:
            now = 0.0 if name in FORCES else light.bind(name)[:size]
            if name in (*FORCES, SENSORS):
                then = 0.0 if last is None else last.bind(name)[:size]
                now = np.where(self.late, then, now) if name == SENSORS else then
            fields.append(now)
        return fields

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

    def __init__(self, pool: BatchPool, layout: Layout):
        self.pool = pool
        self.layout = layout

    def refresh(self, state: PhysicsState, stale: BoolScalar) -> PhysicsState:
        """As [`AbstractEngine.refresh`][]; a call that finds nothing stale computes nothing."""
        if not self.layout.derived:
            return state
        values = tuple(state.derived[name] for name in self.layout.derived)
        values = _on_host(self.pool.forward, values, state.qpos, state.qvel, stale, *values)
        return dataclasses.replace(state, derived=dict(zip(self.layout.derived, values, strict=True)))

    def step(self, state: PhysicsState, ctrl: Float[Array, " nu"]) -> PhysicsState:
        """As [`AbstractEngine.step`][]."""
        fields = {_FIELDS.get(name, name): getattr(state, _FIELDS.get(name, name)) for name in self.pool.state}
        like = (*fields.values(), *(state.derived[name] for name in self.layout.derived))
        values = _on_host(self.pool.step, like, ctrl, *fields.values())
        derived = dict(zip(self.layout.derived, values[len(fields) :], strict=True))
        after = dataclasses.replace(state, **dict(zip(fields, values, strict=False)), derived=derived)
        return guarded(state, after)
