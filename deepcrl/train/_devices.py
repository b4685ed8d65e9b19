"""Lanes over several devices: every device runs its own block of them, and none waits for another. Devices that are more
than the lanes share the environments of each."""

import contextlib
import functools as ft
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
from ._lanes import Lanes
from ._state import TrainState


AXIS = "lane"

# Where a CPU counts as several devices, YNNPACK's kernels keep their results until the whole program ends (jaxlib 0.10):
# gigabytes in an epoch of wide networks. XLA's own kernels take its place, about as fast; on one device as well, so that a
# run gives the same numbers on any number of them.
WITHOUT_YNNPACK = {"xla_cpu_experimental_ynn_fusion_type": ""}


def over_devices(function: Callable[..., Any], mesh: Mesh | None, *, donate: bool = False) -> Callable[..., Any]:
    """A function of many lanes as a jitted program, with its lanes spread over the devices of a mesh.

    It is `jax.shard_map`, and no lane waits for another: what the lanes of one device compute, they would compute without
    the others, and nothing is sent from device to device unless some share a lane. Under `jax.distributed` the mesh may
    span several processes.

    **Arguments:**

    - `function`: of arrays with a leading `lane` axis, to such arrays.
    - `mesh`: with an axis `lane`. The first device gets the first block of lanes, all blocks are of one size. The
        devices of a second axis, `env`, share the environments of their lanes and the replay buffer: each simulates its
        part, and all make the same updates, from batches that they collect from each other. Without a mesh all lanes
        are on the default device.
    - `donate`: whether the memory of the first argument becomes the results'.

    **Returns:** a program that does not go into another `jax.jit`. Its results stay on the devices.
    """
    platform = jax.default_backend() if mesh is None else mesh.devices.flat[0].platform
    jit = ft.partial(
        jax.jit,
        donate_argnums=0 if donate else (),
        compiler_options=WITHOUT_YNNPACK if platform == "cpu" and compiler_knows(WITHOUT_YNNPACK) else None,
    )
    if mesh is None:
        return jit(function)
    blocks = PartitionSpec(AXIS)
    # The check is of values that all devices should agree on. There are none, and loops would need casts to pass it.
    settings = {"in_specs": blocks, "out_specs": blocks, "axis_names": {AXIS}, "check_vma": False}
    program = jax.shard_map(function, mesh=mesh, **settings)

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


def lane_mesh(devices: int | Literal["all"], lanes: Lanes) -> Mesh | None:
    """The mesh of so many devices of this process; `None` for one, which needs none.

    **Arguments:**

    - `devices`: how many, or `"all"`: as many of them as can have equally many lanes.
    - `lanes`: that will be spread over them. Where devices are more than lanes, they share the environments of each.

    **Raises:** `ValueError` for more devices than there are, or a number that does not fit lanes and environments.
    """
    here = jax.local_devices()
    if devices != "all":
        check_integer("devices", devices)
        if devices > len(here):
            raise ValueError(
                f"`devices` must be 1 to {len(here)}, the number of {here[0].platform} devices that this process sees, or "
                f"'all' of them; got {devices}."
            )
    sizes = [len(group) for group in lanes.groups]
    fitting = [n for n in range(1, len(here) + 1) if not any(size % n for size in sizes)]
    if len(set(sizes)) == 1:  # else no number of devices is a multiple of all
        fitting += [n for n in range(2 * sizes[0], len(here) + 1, sizes[0]) if _can_share(lanes, n // sizes[0])]
    count = max(fitting) if devices == "all" else devices
    if count not in fitting:
        raise ValueError(
            f"Lanes of one size are spread over the devices, equally many each, and devices that are more than the lanes "
            f"share the environments of each, equally many too: {count} do not fit {sizes} lanes of each size. Take "
            f"{' or '.join(map(str, fitting))}, or train other seeds."
        )
    if count > max(sizes):
        return Mesh(np.array(here[:count]).reshape(sizes[0], -1), (AXIS, ENVS))
    return None if count == 1 else Mesh(here[:count], (AXIS,))


def _can_share(lanes: Lanes, devices: int) -> bool:
    return not any(lane.config.num_envs % devices or lane.config.eval_envs % devices for lane in lanes)


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
