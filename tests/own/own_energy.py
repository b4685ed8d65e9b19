"""An energy of one's own, with a name of its own."""

import jax.numpy as jnp

import deepcrl
from deepcrl.losses import AbstractEnergy, SquaredL2Energy


class LogDistance(AbstractEnergy):
    def __call__(self, phi, psi):
        return -jnp.log1p(jnp.sum(jnp.square(phi - psi)))

    def pairwise(self, phi, psi):
        return -jnp.log1p(-SquaredL2Energy().pairwise(phi, psi))


deepcrl.register(LogDistance, "log_distance")
