"""Which engine simulates."""

import importlib.util
from typing import Literal, TYPE_CHECKING

import jax

from deepcrl._errors import check_choice

from ._api import AbstractEngine
from ._mjx import MjxEngine
from ._native import BatchPool, NativeEngine


if TYPE_CHECKING:
    import mujoco


ENGINES = ("native", "mjx", "warp")
EngineName = Literal["native", "mjx", "warp"]


def default_engine() -> EngineName:
    """The fastest one here: `native` without an accelerator, `warp` on NVIDIA where it is installed, else `mjx`."""
    if jax.default_backend() == "cpu":
        return "native"
    warp = jax.default_backend() == "gpu" and importlib.util.find_spec("warp") is not None
    return "warp" if warp else "mjx"


def make_engine(
    model: "mujoco.MjModel", engine: str | None, *, substeps: int, derived: tuple[str, ...] = ()
) -> AbstractEngine:
    """An engine for a model.

    **Arguments:**

    - `model`: compiled; of its options, MuJoCo's own reset of simulations that fail is switched off.
    - `engine`: `native`, `mjx`, `warp`, or `None` for the fastest one here.
    - `substeps`: simulation steps of one control step.
    - `derived`: names of the quantities that observations need, as in `mujoco.MjData`.

    **Raises:** `ValueError` for an unknown engine; `ImportError`, with the remedy, for one that is not installed.
    """
    import mujoco

    name = default_engine() if engine is None else engine
    check_choice("engine", name, ENGINES)
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
    example = mujoco.MjData(model)
    shapes = {field: getattr(example, field).shape for field in derived}
    if name == "native":
        # The compiled program waits for its callbacks; with asynchronous dispatch it may wait on the thread they need.
        jax.config.update("jax_cpu_enable_async_dispatch", False)
        return NativeEngine(BatchPool(model, substeps, derived), shapes)
    if name == "warp" and importlib.util.find_spec("warp") is None:
        raise ImportError("The engine `warp` needs Warp: `pip install 'deepcrl[cuda]'`, or choose engine=mjx.")
    return MjxEngine(model, "warp" if name == "warp" else "jax", substeps, shapes)
