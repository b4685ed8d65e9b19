"""How networks are stepped: optimisers as parts of an agent, and averaged target networks."""

import abc
import dataclasses

import jax
import jax.tree_util as jtu
import optax
from jaxtyping import PyTree

from .._errors import check_integer, check_number
from .._typing import Scalar


class AbstractOptimizer(abc.ABC):
    """The interface of optimisers. Implementations are frozen dataclasses of plain values around a transformation of
    optax's, which gives the direction; the step size is a number of the lane and is applied apart."""

    @abc.abstractmethod
    def transform(self) -> optax.GradientTransformation:
        """Gradients to updates, of step size 1 and to be subtracted."""

    def init(self, params: PyTree) -> PyTree:
        """The optimiser's state for fresh parameters."""
        with jax.numpy_dtype_promotion("standard"):
            return self.transform().init(params)

    def step(self, params: PyTree, grads: PyTree, state: PyTree, learning_rate: Scalar) -> tuple[PyTree, PyTree]:
        """The next parameters and the optimiser's next state."""
        with jax.numpy_dtype_promotion("standard"):  # optax raises a Python float to an integer step count
            updates, state = self.transform().update(grads, state, params)
        return jtu.tree_map(lambda p, u: p - learning_rate * u, params, updates), state


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adam(AbstractOptimizer):
    """Adam (Kingma and Ba 2015); by default with the paper's constants and nothing else.

    Everything beyond that is optax's own: clipping of the gradient, decay of the weights (AdamW), a warm-up.
    """

    b1: float = 0.9
    """Decay of the gradient's mean."""
    b2: float = 0.999
    """Decay of its mean square."""
    eps: float = 1e-8
    """Added to the root of the mean square."""
    clip_norm: float | None = None
    """The largest Euclidean norm of a network's gradient; by default not limited."""
    weight_decay: float = 0.0
    """Share of the weights that a step of size 1 takes off."""
    warmup_updates: int = 0
    """Updates over which the step size grows linearly to its full value."""

    def __post_init__(self):
        for name in ("b1", "b2"):
            check_number(name, getattr(self, name), 0.0, 1.0)
        for name in ("eps", "weight_decay"):
            check_number(name, getattr(self, name), 0.0)
        if self.clip_norm is not None:
            check_number("clip_norm", self.clip_norm, 0.0, open_low=True)
        check_integer("warmup_updates", self.warmup_updates, 0)

    def transform(self) -> optax.GradientTransformation:
        """Of optax's parts, those that are asked for."""
        adam = optax.scale_by_adam(b1=self.b1, b2=self.b2, eps=self.eps)
        parts = [adam] if self.clip_norm is None else [optax.clip_by_global_norm(self.clip_norm), adam]
        if self.weight_decay:
            parts.append(optax.add_decayed_weights(self.weight_decay))
        if self.warmup_updates:
            parts.append(optax.scale_by_schedule(optax.linear_schedule(0.0, 1.0, self.warmup_updates)))
        return adam if len(parts) == 1 else optax.chain(*parts)


def polyak(target: PyTree, online: PyTree, tau: Scalar) -> PyTree:
    r"""Averaged target networks: $\theta' \leftarrow (1 - \tau)\, \theta' + \tau\, \theta$."""
    return jtu.tree_map(lambda t, o: (1.0 - tau) * t + tau * o, target, online)
