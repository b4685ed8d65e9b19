"""What agents share in learning: Adam with a step size of the lane's own, and averaged target networks."""

import jax
import jax.tree_util as jtu
import optax
from jaxtyping import PyTree

from .._typing import Scalar


_ADAM = optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8)  # step sizes differ per lane and are applied apart


def init_adam(params: PyTree) -> PyTree:
    """Adam's state for fresh parameters."""
    return _ADAM.init(params)


def adam_step(params: PyTree, grads: PyTree, opt_state: PyTree, learning_rate: Scalar) -> tuple[PyTree, PyTree]:
    """The next parameters and the next state of Adam."""
    with jax.numpy_dtype_promotion("standard"):  # optax raises a Python float to an integer step count
        updates, opt_state = _ADAM.update(grads, opt_state)
    return jtu.tree_map(lambda p, u: p - learning_rate * u, params, updates), opt_state


def polyak(target: PyTree, online: PyTree, tau: Scalar) -> PyTree:
    r"""Averaged target networks: $\theta' \leftarrow (1 - \tau)\, \theta' + \tau\, \theta$."""
    return jtu.tree_map(lambda t, o: (1.0 - tau) * t + tau * o, target, online)
