"""A pair of critics of one shape, side by side."""

from typing import Unpack

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from .._typing import IntScalar, Key
from ._networks import Encoder, Sizes


class TwinCritic(eqx.Module):
    r"""$Q_1(s, g, a)$ and $Q_2(s, g, a)$: two [`deepcrl.nn.Encoder`][]s with weights of their own, as one of stacked
    weights. The lesser of the two values is what policies are judged by.

    ??? cite "Reference"
        ```bibtex
        @inproceedings{fujimoto2018addressing,
          title={Addressing Function Approximation Error in Actor-Critic Methods},
          author={Fujimoto, Scott and van Hoof, Herke and Meger, David},
          booktitle={International Conference on Machine Learning},
          year={2018}
        }
        ```
    """

    encoders: Encoder  # every array has a leading axis of 2

    def __init__(
        self,
        observation_size: int,
        goal_size: int,
        action_size: int,
        *,
        key: Key,
        **sizes: Unpack[Sizes],
    ):
        """**Arguments:** sizes of observation, goal and action, then as [`deepcrl.nn.Encoder`][]."""
        in_size = observation_size + goal_size + action_size

        def make(key: Key) -> Encoder:
            return Encoder(in_size, 1, key=key, **sizes)

        self.encoders = eqx.filter_vmap(make)(jr.split(key))

    def __call__(
        self,
        observation: Float[Array, " obs"],
        goal: Float[Array, " goal"],
        action: Float[Array, " action"],
        active_blocks: IntScalar | None = None,
    ) -> Float[Array, "2"]:
        """Both values of one observation, goal and action."""
        x = jnp.concatenate([observation, goal, action])
        return eqx.filter_vmap(lambda encoder: encoder(x, active_blocks)[0])(self.encoders)
