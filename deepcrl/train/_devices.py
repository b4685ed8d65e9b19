"""Lanes over several devices: every device runs its own block of them, and none waits for another."""

import contextlib
import os
from collections.abc import Callable
from typing import Any, Literal

import jax
from jax.sharding import Mesh, PartitionSpec

from .._errors import check_integer


AXIS = "lane"


def over_devices(function: Callable[..., Any], mesh: Mesh | None) -> Callable[..., Any]:
    """`jax.vmap(function)`, with its lanes spread over the devices of a mesh.

    ```python
    sweep = lanes(config, seeds=range(8), depth=(4, 16)).dealt(jax.device_count())
    train = make_train(config, hypers=sweep.hypers)
    mesh = jax.sharding.Mesh(jax.devices(), ("lane",))
    result = over_devices(train, mesh)(*sweep)
    ```

    It is `jax.shard_map`, and nothing is sent from device to device: what the lanes of one device compute, they would
    compute without the others. Under `jax.distributed` the mesh may span several processes.

    **Arguments:**

    - `function`: a [`deepcrl.Trainer`][] or one of its methods. Lanes of different size are laid out by size if
        `make_train` was given the hypers of all of them; see [`deepcrl.Lanes.dealt`][] for a good order.
    - `mesh`: with one axis, `lane`. The first device gets the first block of lanes, all blocks are of one size. Without
        a mesh this is `jax.vmap(function)`.

    **Returns:** a function of arrays with a leading `lane` axis, as a jitted program. Its results stay on the devices.
    """
    lanes = jax.vmap(function)
    if mesh is None:
        return lanes
    blocks = PartitionSpec(AXIS)
    # The check is of values that all devices should agree on. There are none, and loops would need casts to pass it.
    return jax.jit(jax.shard_map(lanes, mesh=mesh, in_specs=blocks, out_specs=blocks, check_vma=False))


def lane_mesh(devices: int | Literal["all"], lanes: int) -> Mesh | None:
    """The mesh of so many devices of this process; `None` for one, which needs none.

    **Arguments:**

    - `devices`: how many, or `"all"` of them.
    - `lanes`: that will be spread over them.

    **Raises:** `ValueError` for more devices than there are, or a number that does not divide `lanes`.
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
    if lanes % count:
        fitting = [n for n in range(1, min(lanes, len(here)) + 1) if lanes % n == 0]
        least = lanes // count * count
        raise ValueError(
            f"`devices` must divide the number of lanes, so that all have equally many; got {count} devices and {lanes} "
            f"lanes. Take {_either(fitting)} of the devices, or train {_either([n for n in (least, least + count) if n])} "
            "lanes."
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
