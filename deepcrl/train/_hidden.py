"""An error for programs that would draw weights for widths that they do not know."""

import dataclasses
from typing import Any, NoReturn

from jax.extend.core import Primitive
from jax.interpreters import batching, mlir
from jaxtyping import Array

from ..agents import Hypers


# `jax.vmap` traces the program for hidden sizes beside the one that is used, so the error must wait until a program is
# compiled. A host callback would wait until it runs, and keep it out of the compilation cache.
_hidden_width = Primitive("deepcrl_hidden_width")


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise ValueError(
        "Initial weights depend on a lane's `width`, which a `jax.jit` around `train` or `train.init` hides. Leave that "
        "`jit` out, give `make_train(config, hypers=...)` the hypers of all lanes that it will be vmapped over, or, for a "
        "single run, build the width: `CRL(width=...)`."
    )


def _batched(args: tuple[Array], axes: tuple[int]) -> tuple[Array, int]:
    return _hidden_width.bind(*args), axes[0]


_hidden_width.def_impl(_refuse)
_hidden_width.def_abstract_eval(lambda width: width)
mlir.register_lowering(_hidden_width, _refuse)
batching.primitive_batchers[_hidden_width] = _batched


def refuse_hidden_width(hypers: Hypers) -> Hypers:
    """The same numbers; compiled with a width among them, an error. Where lanes are laid out by width, none is left."""
    return hypers if hypers.width is None else dataclasses.replace(hypers, width=_hidden_width.bind(hypers.width))
