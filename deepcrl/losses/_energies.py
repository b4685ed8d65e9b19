r"""Energies: how alike an embedding $\phi$ of state and action and an embedding $\psi$ of a goal are.

Larger is more alike. Each energy has a form for one pair and one for all pairs of two batches; the two agree.
"""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._typing import Scalar


# Squared distances below this count as this: the root's gradient stays finite where embeddings coincide.
SQUARED_FLOOR = 1e-8


class AbstractEnergy(eqx.Module):
    """The interface of energies: one pair by `__call__`, all pairs by `pairwise`."""

    @abc.abstractmethod
    def __call__(self, phi: Float[Array, " repr"], psi: Float[Array, " repr"]) -> Scalar:
        """The energy of one pair."""

    @abc.abstractmethod
    def pairwise(self, phi: Float[Array, "batch repr"], psi: Float[Array, "batch repr"]) -> Float[Array, "batch batch"]:
        """`logits[i, j]`, the energy of `phi[i]` and `psi[j]`: anchors along rows, goals along columns."""


def _matmul(x: Float[Array, "batch repr"], y: Float[Array, "batch repr"]) -> Float[Array, "batch batch"]:
    # Full precision: the three terms of a squared distance cancel, and bfloat16 or TF32 products leave noise.
    return jnp.matmul(x, y.T, precision=jax.lax.Precision.HIGHEST)


def _squared_distances(x: Float[Array, "batch repr"], y: Float[Array, "batch repr"]) -> Float[Array, "batch batch"]:
    # A common shift changes no distance, and brings the norms, hence what cancels, down to the spread of the batch.
    centre = jax.lax.stop_gradient(jnp.mean(y, axis=0, keepdims=True))
    x, y = x - centre, y - centre
    norms = jnp.sum(jnp.square(x), axis=1)[:, None] + jnp.sum(jnp.square(y), axis=1)[None, :]
    distances = jnp.maximum(norms - 2.0 * _matmul(x, y), 0.0)
    # Positives may be far closer than the batch is wide, where the product has cancelled: they are computed directly.
    positives = jnp.sum(jnp.square(x - y), axis=1)
    return jnp.where(jnp.eye(x.shape[0], dtype=bool), positives[:, None], distances)


class NormEnergy(AbstractEnergy):
    r"""The negative un-squared Euclidean distance, the paper's energy:
    $f = -\lVert \phi - \psi \rVert_2$, with a floor of $10^{-4}$ under the distance.

    The formula of the paper lacks the minus sign; the authors' code has it. JaxGCRL calls this energy `norm`
    (its `l2` is the squared distance).
    """

    def __call__(self, phi: Float[Array, " repr"], psi: Float[Array, " repr"]) -> Scalar:
        """The energy of one pair."""
        return -jnp.sqrt(jnp.maximum(jnp.sum(jnp.square(phi - psi)), SQUARED_FLOOR))

    def pairwise(self, phi: Float[Array, "batch repr"], psi: Float[Array, "batch repr"]) -> Float[Array, "batch batch"]:
        """All pairs, by one matrix product at full precision."""
        return -jnp.sqrt(jnp.maximum(_squared_distances(phi, psi), SQUARED_FLOOR))


class SquaredL2Energy(AbstractEnergy):
    r"""The negative squared Euclidean distance: $f = -\lVert \phi - \psi \rVert_2^2$."""

    def __call__(self, phi: Float[Array, " repr"], psi: Float[Array, " repr"]) -> Scalar:
        """The energy of one pair."""
        return -jnp.sum(jnp.square(phi - psi))

    def pairwise(self, phi: Float[Array, "batch repr"], psi: Float[Array, "batch repr"]) -> Float[Array, "batch batch"]:
        """All pairs, by one matrix product at full precision."""
        return -_squared_distances(phi, psi)


class L1Energy(AbstractEnergy):
    r"""The negative Manhattan distance: $f = -\sum_k |\phi_k - \psi_k|$."""

    def __call__(self, phi: Float[Array, " repr"], psi: Float[Array, " repr"]) -> Scalar:
        """The energy of one pair."""
        return -jnp.sum(jnp.abs(phi - psi))

    def pairwise(self, phi: Float[Array, "batch repr"], psi: Float[Array, "batch repr"]) -> Float[Array, "batch batch"]:
        """All pairs; no matrix product gives them, so memory holds `batch x batch x repr` numbers."""
        return -jnp.sum(jnp.abs(phi[:, None, :] - psi[None, :, :]), axis=-1)


class DotEnergy(AbstractEnergy):
    r"""The inner product: $f = \phi^\top \psi$, as in the original contrastive RL (Eysenbach et al. 2022)."""

    def __call__(self, phi: Float[Array, " repr"], psi: Float[Array, " repr"]) -> Scalar:
        """The energy of one pair."""
        return jnp.sum(phi * psi)

    def pairwise(self, phi: Float[Array, "batch repr"], psi: Float[Array, "batch repr"]) -> Float[Array, "batch batch"]:
        """All pairs, by one matrix product at full precision."""
        return _matmul(phi, psi)


class CosineEnergy(AbstractEnergy):
    r"""The cosine of the angle between the embeddings of one pair:
    $f = \phi^\top \psi \,/\, (\lVert\phi\rVert_2 \lVert\psi\rVert_2)$, with a floor under both norms."""

    def __call__(self, phi: Float[Array, " repr"], psi: Float[Array, " repr"]) -> Scalar:
        """The energy of one pair."""
        return jnp.sum(self._unit(phi) * self._unit(psi))

    def pairwise(self, phi: Float[Array, "batch repr"], psi: Float[Array, "batch repr"]) -> Float[Array, "batch batch"]:
        """All pairs; every row is normalised by its own norm."""
        return _matmul(jax.vmap(self._unit)(phi), jax.vmap(self._unit)(psi))

    @staticmethod
    def _unit(x: Float[Array, " repr"]) -> Float[Array, " repr"]:
        return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(jnp.square(x)), SQUARED_FLOOR))
