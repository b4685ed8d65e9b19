r"""Temporal-difference learning with a pair of critics, per sample."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._typing import BoolScalar, Scalar


def td_target(reward: Scalar, terminated: BoolScalar, next_value: Scalar, gamma: Scalar) -> Scalar:
    r"""$y = r + \gamma\, (1 - \mathrm{terminated})\, V(s')$.

    Only an end by the task cuts the return off. An episode that the clock ended would have gone on, so its last step
    bootstraps from what was seen last (Pardo et al. 2018, "Time Limits in Reinforcement Learning").
    """
    return reward + gamma * jnp.where(terminated, 0.0, next_value)


def soft_value(values: Float[Array, "2"], log_prob: Scalar, alpha: Scalar) -> Scalar:
    r"""$\min(Q_1, Q_2) - \alpha \log \pi(a | s)$ of an action $a \sim \pi(\cdot | s)$ with these values: the state's value
    with its share of entropy (Haarnoja et al. 2018)."""
    return jnp.min(values) - alpha * log_prob


def smoothed_action(
    action: Float[Array, " action"], noise: Float[Array, " action"], scale: float, limit: float
) -> Float[Array, " action"]:
    r"""$\mathrm{clip}(a + \mathrm{clip}(\sigma \epsilon, -c, c), -1, 1)$: TD3's smoothing of the target policy.

    **Arguments:**

    - `action`: $a$, of the target policy.
    - `noise`: $\epsilon$, standard normal.
    - `scale`, `limit`: $\sigma$ and $c$.
    """
    return jnp.clip(action + jnp.clip(scale * noise, -limit, limit), -1.0, 1.0)


def td_loss(values: Float[Array, "2"], target: Scalar) -> Scalar:
    r"""$\frac12 \big( (Q_1 - y)^2 + (Q_2 - y)^2 \big)$; no gradient goes into the target."""
    return 0.5 * jnp.sum(jnp.square(values - jnp.stack([target, target])))
