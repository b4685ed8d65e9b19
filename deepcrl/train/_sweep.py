"""Lanes that differ in anything, as one program: those alike but for numbers and seeds are a group, with networks of just
their size; the groups stand side by side. What a program costs is the sum over its lanes."""

import functools as ft
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from jaxtyping import PyTree

from .._hypers import Hypers
from .._typing import IntScalar
from ..eval import EvalMetrics
from ._config import Config
from ._devices import AXIS, over_devices, shardings
from ._lanes import Lanes, lanes as make_lanes
from ._state import Metrics, TrainState
from ._trainer import make_train, Trainer


States = tuple[TrainState, ...]  # of each group, leaves `lane ...`


class SweepResult(eqx.Module):
    """What a sweep returns."""

    lanes: Lanes = eqx.field(static=True)
    """What each lane is."""
    states: States
    """The last states, group by group, leaves `lane ...`; see `state`."""
    metrics: Metrics
    """Of all epochs, leaves `lane epoch`, in the order of the lanes."""

    def state(self, lane: int) -> TrainState:
        """The last state of one lane, by its place."""
        return lane_state(self.lanes, self.states, lane)

    def select(self, **settings: Any) -> "SweepResult":
        """The lanes with these settings, for example `result.select(depth=16, gamma=0.99)`, in their order.

        **Arguments:** settings that the lanes were given, and `seed`.

        **Raises:** `ValueError` for an unknown name, or for settings that no lane has.
        """
        places = self.lanes.select(**settings)
        chosen = Lanes(tuple(self.lanes.lanes[place] for place in places))
        states = [self.state(place) for place in places]
        grouped = tuple(_stack([states[place] for place in group]) for group in chosen.groups)
        return SweepResult(lanes=chosen, states=grouped, metrics=_at(self.metrics, places))

    def rows(self) -> list[dict[str, Any]]:
        """One dictionary per lane and epoch, for `pandas.DataFrame(result.rows())`: `lane`, `seed`, the settings that it
        was given, `epoch` (from 1) and all metrics by flat names."""
        columns = {name: np.asarray(leaf).tolist() for name, leaf in self.metrics.columns().items()}
        return [
            {**row, "epoch": epoch + 1, **{name: values[row["lane"]][epoch] for name, values in columns.items()}}
            for row in Lanes(self.lanes.lanes).table()
            for epoch in range(np.shape(self.metrics.env_steps)[-1])
        ]


class Sweep:
    """What `train.sweep(lanes)` returns: the parts of the training function for all lanes, each one program.

    States are tuples, one of each group of lanes that differ in numbers and seeds alone; leaves have a leading `lane` axis.
    Metrics come in the order of the lanes, as NumPy arrays.
    """

    def __init__(self, lanes: Lanes, mesh: Mesh | None = None, trainers: Sequence[Trainer] | None = None):
        """**Arguments:**

        - `lanes`: of the sweep.
        - `mesh`: of devices, with an axis `lane` over which every group is spread, equally many lanes each; a second axis
            `env` of devices that share the environments of their lanes. It may span several processes. By default all is on
            the default device.
        - `trainers`: of the groups, where they are made already.

        **Raises:** `ValueError` for a group that cannot be spread so, and as [`deepcrl.make_train`][].
        """
        self.lanes, self.mesh = lanes, mesh
        if mesh is not None and any(len(group) % mesh.shape[AXIS] for group in lanes.groups):
            sizes = [len(group) for group in lanes.groups]
            raise ValueError(
                f"Lanes of one size are spread over the devices, equally many each: there are {sizes} of each size, and "
                f"{mesh.shape[AXIS]} devices along the mesh's axis `lane`. Take a number that divides all of them."
            )
        firsts = [lanes.lanes[group[0]].config for group in lanes.groups]
        self.trainers = tuple(map(make_train, firsts)) if trainers is None else tuple(trainers)
        self._seeds = tuple(lanes.seeds[np.array(group)] for group in lanes.groups)
        self._hypers = tuple(map(lanes.hypers_of, lanes.groups))
        self._order = np.argsort(np.concatenate(lanes.groups))

    def init(self) -> States:
        """The states before the first epoch."""
        return self.program("init")(self._seeds, self._hypers)

    def epoch(self, states: States) -> tuple[States, Metrics]:
        """One epoch of every lane. The memory of the states that are given becomes that of the new ones."""
        states, metrics = self.program("epoch", donate=True)(states)
        return states, self.in_order(metrics)

    def evaluate(self, states: States) -> EvalMetrics:
        """Every lane's policy in fresh episodes; the same states give the same numbers."""
        return self.in_order(self.program("evaluate")(states))

    def measured(self, measure: Callable[[Trainer, TrainState], PyTree]) -> Callable[[States], PyTree]:
        """The program that computes a pure function of every lane's trainer and state: its arrays, leaves `lane`."""

        def each(states: States) -> tuple[PyTree, ...]:
            return self._each(lambda trainer, state: _measured(trainer, ft.partial(measure, trainer), state), states)

        program = over_devices(each, self.mesh)
        return lambda states: self.in_order(program(states))

    def __call__(self) -> SweepResult:
        """All epochs of all lanes, as one program."""
        states, metrics = self.program("train")(self._seeds, self._hypers)
        return SweepResult(lanes=self.lanes, states=states, metrics=self.in_order(metrics))

    def trainer_of(self, lane: int) -> Trainer:
        """The trainer of one lane, by its place."""
        return next(trainer for group, trainer in self.grouped if lane in group)

    def shapes(self) -> States:
        """The states as `jax.ShapeDtypeStruct`s, with their places on the devices."""
        shapes = jax.eval_shape(self._parts["init"], self._seeds, self._hypers)
        if self.mesh is None:
            return shapes
        place = lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
        return jtu.tree_map(place, shapes, tuple(shardings(state, self.mesh) for state in shapes))

    def state_bytes(self) -> int:
        """Bytes of all states together."""
        return sum(len(group) * trainer.state_bytes() for group, trainer in self.grouped)

    # -- programs --------------------------------------------------------------------------------------------------

    @property
    def grouped(self) -> list[tuple[tuple[int, ...], Trainer]]:
        """The places of each group's lanes, and its trainer."""
        return list(zip(self.lanes.groups, self.trainers, strict=True))

    @ft.cached_property
    def _parts(self) -> dict[str, Callable[..., Any]]:
        """From the groups' arguments, leaves `lane`, to what they give."""

        def init(seeds: tuple[Any, ...], hypers: tuple[Hypers, ...]) -> States:
            fresh = lambda trainer, *lane: jax.vmap(trainer.fresh)(*lane)
            return self._each(
                lambda trainer, *lane: _every(trainer, trainer.prefill, fresh(trainer, *lane)), seeds, hypers
            )

        def epoch(states: States) -> tuple[States, tuple[Metrics, ...]]:
            both = self._each(lambda trainer, state: _every(trainer, trainer.one_epoch, state), states)
            return tuple(state for state, _ in both), tuple(metrics for _, metrics in both)

        def evaluate(states: States) -> tuple[EvalMetrics, ...]:
            return self._each(lambda trainer, state: _measured(trainer, trainer.one_evaluation, state), states)

        def train(seeds: tuple[Any, ...], hypers: tuple[Hypers, ...]) -> tuple[States, tuple[Metrics, ...]]:
            fresh = lambda trainer, *lane: jax.vmap(trainer.fresh)(*lane)
            both = self._each(
                lambda trainer, *lane: _every(trainer, trainer.whole, fresh(trainer, *lane)), seeds, hypers
            )
            return tuple(state for state, _ in both), tuple(metrics for _, metrics in both)

        return {"init": init, "epoch": epoch, "evaluate": evaluate, "train": train}

    def _each(self, of_group: Callable[..., Any], *args: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(of_group(trainer, *parts) for trainer, *parts in zip(self.trainers, *args, strict=True))

    @ft.cache  # noqa: B019
    def program(self, name: str, *, donate: bool = False) -> Callable[..., Any]:
        """The jitted program of `"init"`, `"epoch"`, `"evaluate"` or `"train"`, from and to what the groups have; with
        `donate`, the memory of its first argument becomes the results'."""
        return over_devices(self._parts[name], self.mesh, donate=donate)

    def in_order(self, groups: tuple[PyTree, ...]) -> Any:
        """What each group gives of its lanes, leaves `lane`, in the order of all lanes."""
        # By NumPy: JAX would have the devices talk to each other.
        merge = lambda *leaves: np.concatenate([_on_host(leaf) for leaf in leaves])[self._order]
        return jtu.tree_map(merge, *groups)


def sweep(
    config: Config,
    *,
    seeds: Iterable[int] = (0,),
    zipped: bool = False,
    mesh: Mesh | None = None,
    **settings: Iterable[Any],
) -> SweepResult:
    """Trains the cross product of seeds and settings, all lanes in one program, each with networks of its own size.

    ```python
    result = sweep(Config(env="ant_u4_maze"), seeds=range(4), depth=(4, 16, 64), width=(64, 256))
    result.select(depth=16).metrics.success_any  # (lane, epoch)
    ```

    On a CPU, lanes run one after another, and each computes bit for bit what it computes alone.

    **Arguments:** as for [`deepcrl.lanes`][] and [`deepcrl.Sweep`][].

    **Returns:** a [`deepcrl.SweepResult`][].
    """
    return Sweep(make_lanes(config, seeds=seeds, zipped=zipped, **settings), mesh)()


def lane_state(lanes: Lanes, states: tuple[Any, ...], lane: int) -> Any:
    """What is one lane's, by its place, of the groups' states or of parts of them.

    **Raises:** `ValueError` for a lane that is not there.
    """
    for group, state in zip(lanes.groups, states, strict=True):
        if lane in group:
            return _at(state, group.index(lane))
    raise ValueError(f"`lane` must be one of {len(lanes)} lanes, from 0; got {lane}.")


def _every(trainer: Trainer, run: Callable[[TrainState], Any], states: TrainState) -> Any:
    """`run` of every lane of a group, from its state to its next state, or to that and what else: side by side in a batch,
    or one after another in a loop, whose body is the program of one lane and whose states change in place."""
    if trainer.config.layout == "batched":
        return jax.vmap(run)(states)
    single = lambda new: new if isinstance(new, tuple) else (new, None)

    def step(states: TrainState, lane: IntScalar) -> tuple[TrainState, Any]:
        new, extra = single(run(jtu.tree_map(lambda leaf: leaf[lane], states)))
        return jtu.tree_map(lambda leaf, value: leaf.at[lane].set(value), states, new), extra

    states, extra = jax.lax.scan(step, states, jnp.arange(jtu.tree_leaves(states)[0].shape[0]))
    return states if extra is None else (states, extra)


def _measured(trainer: Trainer, measure: Callable[[TrainState], Any], states: TrainState) -> Any:
    return jax.vmap(measure)(states) if trainer.config.layout == "batched" else jax.lax.map(measure, states)


def _on_host(leaf: jax.Array) -> np.ndarray:
    if leaf.is_fully_addressable:
        return np.asarray(leaf)
    return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))


def _at(tree: PyTree, place: Any) -> Any:
    return jtu.tree_map(lambda leaf: leaf[place if isinstance(place, int) else np.array(place)], tree)


def _stack(trees: list[Any]) -> Any:
    return jtu.tree_map(lambda *leaves: jnp.stack(leaves), *trees)
