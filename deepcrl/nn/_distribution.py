"""The tanh-squashed Gaussian of the paper's policy."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from .._typing import Key, Scalar


_TANH_FLOOR = 1e-6  # under the logarithm of 1 - a^2, as in the published code
_LARGEST_ACTION = 1.0 - 1e-6  # the pre-image of 1 is infinite


class TanhGaussian(eqx.Module):
    r"""$a = \tanh(x)$ with $x \sim \mathcal{N}(\mu, \sigma^2)$, independent per dimension.

    $$\log \pi(a) = \sum_d \log \mathcal{N}(x_d; \mu_d, \sigma_d) - \log(1 - a_d^2 + 10^{-6})$$
    """

    mean: Float[Array, " action"]
    r"""$\mu$."""
    log_std: Float[Array, " action"]
    r"""$\log \sigma$."""

    @property
    def mode(self) -> Float[Array, " action"]:
        r"""The deterministic action $\tanh(\mu)$."""
        return jnp.tanh(self.mean)

    def sample(self, *, key: Key) -> Float[Array, " action"]:
        """One action."""
        return self.sample_and_log_prob(key=key)[0]

    def sample_and_log_prob(self, *, key: Key) -> tuple[Float[Array, " action"], Scalar]:
        """One action and its log density in nats. The pre-image is at hand, so nothing is inverted."""
        noise = jr.normal(key, self.mean.shape)
        pre_image = self.mean + jnp.exp(self.log_std) * noise
        return jnp.tanh(pre_image), self._log_prob(pre_image, noise)

    def log_prob(self, action: Float[Array, " action"]) -> Scalar:
        """The log density in nats of an action in [-1, 1]; within 1e-6 of the ends it counts as that far from them."""
        pre_image = jnp.arctanh(jnp.clip(action, -_LARGEST_ACTION, _LARGEST_ACTION))
        return self._log_prob(pre_image, (pre_image - self.mean) * jnp.exp(-self.log_std))

    def _log_prob(self, pre_image: Float[Array, " action"], noise: Float[Array, " action"]) -> Scalar:
        gaussian = -0.5 * jnp.square(noise) - self.log_std - 0.5 * jnp.log(2.0 * jnp.pi)
        # 1 - a^2 from the pre-image: near |a| = 1 one rounding of `a` itself is worth 6 % of the floor.
        decay = jnp.exp(-2.0 * jnp.abs(pre_image))
        one_minus_square = 4.0 * decay / jnp.square(1.0 + decay)
        return jnp.sum(gaussian - jnp.log(one_minus_square + _TANH_FLOOR))
