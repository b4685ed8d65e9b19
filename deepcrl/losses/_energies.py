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


class MRNEnergy(AbstractEnergy):
    r"""The negative quasimetric of metric residual networks, on the embeddings themselves:

    $$f = -\max_{k \le d/2} (\phi_k - \psi_k)_+ - \Big( \sum_{k > d/2} (\phi_k - \psi_k)^2 \Big)^{1/2},$$

    with a floor of $10^{-4}$ under the root. The first half of the $d$ features tells the way there from the way back,
    the second does not; $-f$ satisfies the triangle inequality. This is the form of JaxGCRL (2024); the paper behind it
    has learned heads in front, for which our encoders stand.

    ??? cite "Reference"
        ```bibtex
        @inproceedings{liu2023metric,
          title={Metric Residual Networks for Sample Efficient Goal-Conditioned Reinforcement Learning},
          author={Liu, Bo and Feng, Yihao and Liu, Qiang and Stone, Peter},
          booktitle={AAAI Conference on Artificial Intelligence},
          year={2023}
        }
        ```
    """

    def __call__(self, phi: Float[Array, " repr"], psi: Float[Array, " repr"]) -> Scalar:
        """The energy of one pair, of an even number of features."""
        half = self._half(phi.shape[0])
        one_way = jnp.max(jax.nn.relu(phi[:half] - psi[:half]))
        return NormEnergy()(phi[half:], psi[half:]) - one_way

    def pairwise(self, phi: Float[Array, "batch repr"], psi: Float[Array, "batch repr"]) -> Float[Array, "batch batch"]:
        """All pairs; for the first half, memory holds `batch x batch x repr / 2` numbers."""
        half = self._half(phi.shape[1])
        one_way = jnp.max(jax.nn.relu(phi[:, None, :half] - psi[None, :, :half]), axis=-1)
        return NormEnergy().pairwise(phi[:, half:], psi[:, half:]) - one_way

    @staticmethod
    def _half(size: int) -> int:
        if size % 2:
            raise ValueError(
                f"The `mrn` energy splits embeddings in halves, got {size} features. Use an even `repr_dim`."
            )
        return size // 2
