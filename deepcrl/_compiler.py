"""Options of XLA's compiler, which come and go with JAX's versions."""

from typing import Any

import jax


def compiler_knows(options: dict[str, Any]) -> bool:
    """Whether programs can be compiled with these options here."""
    try:
        jax.jit(lambda: 0, compiler_options=options).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True
