"""Lanes over several devices: every device runs its own block of them, and none waits for another. Devices that are more
than the lanes share the environments of each."""

import contextlib
import functools as ft
import math
import os
from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.tree_util as jtu
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from .._compiler import compiler_knows
from .._errors import check_integer
from .._tree import ENVS
from ._config import Config
from ._state import TrainState


AXIS = "lane"

# Where a CPU counts as several devices, YNNPACK's kernels keep their results until the whole program ends (jaxlib 0.10):
# gigabytes in an epoch of wide networks. XLA's own kernels take its place, about as fast; on one device as well, so that a
# run gives the same numbers on any number of them.
WITHOUT_YNNPACK = {"xla_cpu_experimental_ynn_fusion_type": ""}


def over_devices(function: Callable[..., Any], mesh: Mesh | None, *, donate: bool = False) -> Callable[..., Any]:
    """`jax.vmap(function)`, with its lanes spread over the devices of a mesh.

    ```python
    sweep = lanes(config, seeds=range(8), depth=(4, 16)).dealt(jax.device_count())
    train = make_train(config, hypers=sweep.hypers)
    mesh = jax.sharding.Mesh(jax.devices(), ("lane",))
    result = over_devices(train, mesh)(*sweep)
    ```

    It is `jax.shard_map`, and no lane waits for another: what the lanes of one device compute, they would compute without
    the others, and nothing is sent from device to device unless some share a lane. Under `jax.distributed` the mesh may
    span several processes.

    **Arguments:**

    - `function`: a [`deepcrl.Trainer`][] or one of its methods. Lanes of different size are laid out by size if
        `make_train` was given the hypers of all of them; see [`deepcrl.Lanes.dealt`][] for a good order.
    - `mesh`: with an axis `lane`. The first device gets the first block of lanes, all blocks are of one size. The
        devices of a second axis, `env`, share the environments of their lanes and the replay buffer: each simulates its
        part, and all make the same updates, from batches that they collect from each other. Without a mesh all lanes
        are on the default device.
    - `donate`: whether the memory of the first argument becomes the results'.

    **Returns:** a function of arrays with a leading `lane` axis, as a jitted program, which does not go into another
    `jax.jit`. Its results stay on the devices.
    """
    lanes = jax.vmap(function)
    platform = jax.default_backend() if mesh is None else mesh.devices.flat[0].platform
    jit = ft.partial(
        jax.jit,
        donate_argnums=0 if donate else (),
        compiler_options=WITHOUT_YNNPACK if platform == "cpu" and compiler_knows(WITHOUT_YNNPACK) else None,
    )
    if mesh is None:
        return jit(lanes)
    blocks = PartitionSpec(AXIS)
    # The check is of values that all devices should agree on. There are none, and loops would need casts to pass it.
    settings = {"in_specs": blocks, "out_specs": blocks, "axis_names": {AXIS}, "check_vma": False}
    program = jax.shard_map(lanes, mesh=mesh, **settings)

    def place(tree: PyTree) -> PyTree:
        is_state = lambda node: isinstance(node, TrainState)
        lay = lambda node: jax.lax.with_sharding_constraint(node, shardings(node, mesh)) if is_state(node) else node
        return jtu.tree_map(lay, tree, is_leaf=is_state)

    return jit(program if ENVS not in mesh.axis_names else lambda *args: place(program(*place(args))))


def shardings(states: TrainState, mesh: Mesh) -> TrainState:
    """Where the devices of a mesh keep every leaf of states `lane ...`."""
    places = jtu.tree_map(lambda _: NamedSharding(mesh, PartitionSpec(AXIS)), states)
    if ENVS not in mesh.axis_names:
        return places
    of_envs = lambda state: (state.env, state.obs, state.queue.data, state.queue.last_step)
    shared = NamedSharding(mesh, PartitionSpec(AXIS, ENVS))
    return eqx.tree_at(of_envs, places, jtu.tree_map(lambda _: shared, of_envs(states)))


def lane_mesh(devices: int | Literal["all"], lanes: int, config: Config) -> Mesh | None:
    """The mesh of so many devices of this process; `None` for one, which needs none.

    **Arguments:**

    - `devices`: how many, or `"all"` of them.
    - `lanes`: that will be spread over them.
    - `config`: of the lanes. Where devices are more than lanes, they share its environments.

    **Raises:** `ValueError` for more devices than there are, or a number that does not fit lanes and environments.
    """
    here = jax.local_devices()
    if devices != "all" and (isinstance(devices, bool) or not isinstance(devices, int)):
        raise TypeError(f"`devices` must be an integer or 'all', got {devices!r}.")
    count = len(here) if devices == "all" else devices
    if not 1 <= count <= len(here):
        raise ValueError(
            f"`devices` must be 1 to {len(here)}, the number of {here[0].platform} devices that this process sees, or "
            f"'all' of them; got {devices}."
        )
    share = count // lanes  # devices of one lane
    if share > 1 and count % lanes == 0:
        envs = math.gcd(config.num_envs, config.eval_envs)
        if envs % share:
            raise ValueError(
                f"The {share} devices of each lane share its environments, so `num_envs` and `eval_envs` must be multiples "
                f"of {share}; got {config.num_envs} and {config.eval_envs}. Change them, or take {lanes} of the devices."
            )
        return Mesh(np.array(here[:count]).reshape(lanes, share), (AXIS, ENVS))
    if lanes % count:
        fitting = [n for n in range(1, min(lanes, len(here)) + 1) if lanes % n == 0]
        least = lanes // count * count
        raise ValueError(
            f"`devices` must divide the number of lanes, so that all have equally many, or be a multiple of it; got "
            f"{count} devices and {lanes} lanes. Take {_either(fitting)} of the devices, or train "
            f"{_either([n for n in (least, least + count) if n])} lanes."
        )
    return None if count == 1 else Mesh(here[:count], (AXIS,))


def split_cpu(devices: int | None = None) -> None:
    """Has JAX take this machine's CPU for several devices, by default as many as it has cores for this process.

    Small networks leave cores idle. Two lanes on two devices of one core each are up to twice as fast as one after
    another on both. Call it before anything else of JAX; it leaves GPUs alone, a number that JAX was given before
    (`JAX_NUM_CPU_DEVICES`), and a JAX that runs already.

    **Arguments:**

    - `devices`: at least 1. More than cores help where the number of lanes is no multiple of the cores.
    """
    if devices is not None:
        check_integer("devices", devices)
    chosen = jax.config.jax_num_cpu_devices >= 1  # pyright: ignore[reportAttributeAccessIssue]
    if not chosen and "host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", _cores() if devices is None else devices)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def blocks_of_lanes() -> int:
    """How many devices share the lanes of the program that is being traced: more than one inside `jax.shard_map`."""
    mesh = jax.sharding.get_abstract_mesh()
    return mesh.shape[AXIS] if AXIS in mesh.manual_axes else 1


def _either(numbers: list[int]) -> str:
    return " or ".join(str(number) for number in numbers)
