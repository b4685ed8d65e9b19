"""Which engine simulates."""

import importlib.util
from typing import Literal, TYPE_CHECKING

import jax

from deepcrl._errors import check_choice

from ._api import AbstractEngine, Layout
from ._mjx import MjxEngine
from ._model import derived_shapes, state_names
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

    - `model`: compiled.
    - `engine`: `native`, `mjx`, `warp`, or `None` for the fastest one here.
    - `substeps`: simulation steps of one control step.
    - `derived`: names of the quantities that observations need, as in `mujoco.MjData`.

    **Raises:** `ValueError` for an unknown engine, for a model whose state has parts that are not carried, and for
    quantities that are not computed; `ImportError`, with the remedy, for an engine that is not installed.
    """
    name = default_engine() if engine is None else engine
    check_choice("engine", name, ENGINES)
    carried, shapes = state_names(model), derived_shapes(model, derived)
    layout = Layout(qpos=model.nq, qvel=model.nv, act=model.na, ctrl=model.nu, derived=shapes)
    if name == "native":
        return NativeEngine(BatchPool(model, substeps, carried, derived), layout)
    if name == "warp" and importlib.util.find_spec("warp") is None:
        raise ImportError("The engine `warp` needs Warp, which the extra `cuda` brings; or choose engine=mjx.")
    return MjxEngine(model, "warp" if name == "warp" else "jax", substeps, layout)
