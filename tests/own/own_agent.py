"""An agent of one's own: contrastive RL with matrices for networks, and with numbers that lanes may differ in."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

import deepcrl
from deepcrl.agents import AbstractAgent, lane_number
from deepcrl.losses import AbstractContrastiveLoss, AbstractEnergy, InfoNCE, NormEnergy
from deepcrl.replay import AbstractReplay, FutureGoals, Replay


class Matrices(eqx.Module):
    phi: jax.Array
    psi: jax.Array
    policy: jax.Array


class LinearMetrics(eqx.Module):
    loss: jax.Array


@deepcrl.register
@dataclasses.dataclass(frozen=True, kw_only=True)
class Linear(AbstractAgent):
    repr_dim: int = 4
    energy: AbstractEnergy = NormEnergy()
    loss: AbstractContrastiveLoss = InfoNCE()
    replay: AbstractReplay = Replay(goals=FutureGoals(gamma=0.9))
    step_size: float = lane_number(0.05)
    noise: float = lane_number(0.3)

    def init(self, spec, *, key):
        draw = lambda key, rows, columns: jr.normal(key, (rows, columns)) / columns**0.5
        phi_key, psi_key, policy_key = jr.split(key, 3)
        return Matrices(
            phi=draw(phi_key, self.repr_dim, spec.observation_size + spec.action_size),
            psi=draw(psi_key, self.repr_dim, spec.goal_size),
            policy=draw(policy_key, spec.action_size, spec.observation_size + spec.goal_size),
        )

    def act(self, state, observation, goal, hypers, *, key, deterministic=False):
        mode = jnp.tanh(state.policy @ jnp.concatenate([observation, goal]))
        return mode if deterministic else jnp.clip(mode + hypers.noise * jr.normal(key, mode.shape), -1.0, 1.0)

    def value(self, state, observation, goal, hypers, action=None):
        if action is None:
            action = self.act(state, observation, goal, hypers, key=jr.key(0), deterministic=True)
        return self.energy(state.phi @ jnp.concatenate([observation, action]), state.psi @ goal)

    def update(self, state, batch, hypers, *, key):
        def loss(state):
            phi = jnp.concatenate([batch.observation, batch.action], axis=1) @ state.phi.T
            critic = self.loss(self.energy.pairwise(phi, batch.goal @ state.psi.T))
            fixed = eqx.tree_at(lambda s: (s.phi, s.psi), state, replace_fn=jax.lax.stop_gradient)
            values = jax.vmap(self.value, (None, 0, 0, None))(fixed, batch.observation, batch.goal, hypers)
            return critic - jnp.mean(values), critic

        (_, critic), grads = eqx.filter_value_and_grad(loss, has_aux=True)(state)
        return jax.tree.map(lambda p, g: p - hypers.step_size * g, state, grads), LinearMetrics(critic)
