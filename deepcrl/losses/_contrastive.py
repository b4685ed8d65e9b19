r"""Contrastive losses on a square matrix of energies `logits[i, j]`.

Row $i$ is the anchor $(s_i, a_i)$, column $j$ the goal $g_j$; the diagonal holds the positives, every other goal of the
batch is a negative. $B$ is the batch size. All losses are in nats.
"""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._typing import Scalar


class AbstractContrastiveLoss(eqx.Module):
    """The interface of contrastive losses: a scalar from a square matrix of energies."""

    @abc.abstractmethod
    def __call__(self, logits: Float[Array, "batch batch"]) -> Scalar:
        """The loss, a mean over the batch."""


def _off_diagonal(logits: Float[Array, "batch batch"], fill: float) -> Float[Array, "batch batch"]:
    return jnp.where(jnp.eye(logits.shape[0], dtype=bool), fill, logits)


class InfoNCE(AbstractContrastiveLoss):
    r"""Forward InfoNCE, the paper's loss: which goal of the batch belongs to this anchor?

    $$\mathcal{L} = -\frac{1}{B} \sum_i \Big( \ell_{ii} - \log \sum_j e^{\ell_{ij}} \Big)$$

    ??? cite "Reference"
        ```bibtex
        @article{oord2018representation,
          title={Representation Learning with Contrastive Predictive Coding},
          author={van den Oord, Aaron and Li, Yazhe and Vinyals, Oriol},
          journal={arXiv preprint arXiv:1807.03748},
          year={2018}
        }
        ```
    """

    def __call__(self, logits: Float[Array, "batch batch"]) -> Scalar:
        """**Arguments:**

        - `logits`: energies, anchors along rows, goals along columns.

        **Returns:** the loss in nats.
        """
        return -jnp.mean(jnp.diagonal(logits) - jax.nn.logsumexp(logits, axis=1))


class BackwardInfoNCE(AbstractContrastiveLoss):
    r"""Backward InfoNCE: which anchor of the batch belongs to this goal?

    $$\mathcal{L} = -\frac{1}{B} \sum_j \Big( \ell_{jj} - \log \sum_i e^{\ell_{ij}} \Big)$$

    Source: JaxGCRL (Bortkiewicz et al. 2024), appendix.
    """

    def __call__(self, logits: Float[Array, "batch batch"]) -> Scalar:
        """The loss in nats, as [`deepcrl.losses.InfoNCE`][] of the transposed matrix."""
        return -jnp.mean(jnp.diagonal(logits) - jax.nn.logsumexp(logits, axis=0))


class SymmetricInfoNCE(AbstractContrastiveLoss):
    r"""The sum of the forward and the backward InfoNCE.

    Source: JaxGCRL (Bortkiewicz et al. 2024), appendix; its default there. A sum, not a mean: losses of different kind
    are not on one scale.
    """

    def __call__(self, logits: Float[Array, "batch batch"]) -> Scalar:
        """The loss in nats."""
        return InfoNCE()(logits) + BackwardInfoNCE()(logits)


class BinaryNCE(AbstractContrastiveLoss):
    r"""Binary noise-contrastive estimation: is this pair a positive?

    $$\mathcal{L} = -\frac{1}{B^2} \sum_{ij} \big[ \delta_{ij} \log \sigma(\ell_{ij})
        + (1 - \delta_{ij}) \log (1 - \sigma(\ell_{ij})) \big]$$

    ??? cite "Reference"
        ```bibtex
        @inproceedings{eysenbach2022contrastive,
          title={Contrastive Learning as Goal-Conditioned Reinforcement Learning},
          author={Eysenbach, Benjamin and Zhang, Tianjun and Levine, Sergey and Salakhutdinov, Russ R.},
          booktitle={Advances in Neural Information Processing Systems},
          year={2022}
        }
        ```
    """

    def __call__(self, logits: Float[Array, "batch batch"]) -> Scalar:
        """The loss in nats a pair."""
        sign = jnp.where(jnp.eye(logits.shape[0], dtype=bool), 1.0, -1.0)
        return -jnp.mean(jax.nn.log_sigmoid(sign * logits))


class FlatNCE(AbstractContrastiveLoss):
    r"""FlatNCE: InfoNCE whose gradient does not fade when the positive already wins.

    $$\mathcal{L} = \frac{1}{B} \sum_i \log \sum_{j \neq i} e^{\ell_{ij} - \ell_{ii}}$$

    The original writes $\exp(c_i - \mathrm{sg}(c_i))$ of the term $c_i$ in the sum, whose value is always 1; its gradient
    is that of $c_i$, which is what we return, so that the value says something.

    ??? cite "Reference"
        ```bibtex
        @article{chen2021simpler,
          title={Simpler, Faster, Stronger: Breaking the log-{K} Curse on Contrastive Learners with {FlatNCE}},
          author={Chen, Junya and Gan, Zhe and Li, Xuan and Guo, Qing and Chen, Liqun and Gao, Shuyang and
                  Chung, Tagyoung and Xu, Yi and Zeng, Belinda and Lu, Wenlian and others},
          journal={arXiv preprint arXiv:2107.01152},
          year={2021}
        }
        ```
    """

    def __call__(self, logits: Float[Array, "batch batch"]) -> Scalar:
        """The loss in nats; the batch holds at least two pairs."""
        return jnp.mean(jax.nn.logsumexp(_off_diagonal(logits, -jnp.inf), axis=1) - jnp.diagonal(logits))


def logsumexp_penalty(logits: Float[Array, "batch batch"]) -> Scalar:
    r"""$\frac{1}{B} \sum_i \big( \log \sum_j e^{\ell_{ij}} \big)^2$, which pins the scale that InfoNCE leaves free.

    The paper adds it to the critic's loss with the weight 0.1 (its hyper-parameter table).
    """
    return jnp.mean(jnp.square(jax.nn.logsumexp(logits, axis=1)))


class ContrastiveMetrics(eqx.Module):
    """What a matrix of energies says of a critic."""

    accuracy: Scalar
    """Share of anchors whose own goal has the highest energy of the batch."""
    logits_pos: Scalar
    """Mean energy of positive pairs."""
    logits_neg: Scalar
    """Mean energy of negative pairs."""
    logsumexp: Scalar
    """Mean over anchors of the logsumexp over goals, in nats."""


def contrastive_metrics(logits: Float[Array, "batch batch"]) -> ContrastiveMetrics:
    """The metrics of a matrix of energies of at least two pairs."""
    batch = logits.shape[0]
    own = jnp.diagonal(logits)
    return ContrastiveMetrics(
        accuracy=jnp.mean(jnp.argmax(logits, axis=1) == jnp.arange(batch)),
        logits_pos=jnp.mean(own),
        logits_neg=jnp.sum(_off_diagonal(logits, 0.0)) / (batch * (batch - 1)),
        logsumexp=jnp.mean(jax.nn.logsumexp(logits, axis=1)),
    )
