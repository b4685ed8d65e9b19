"""Evaluation roll-outs: what a policy achieves in the first episode of fresh environments."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._typing import Key, Policy
from ..envs import AbstractGoalEnv, EnvState, GoalObservation, VectorEnv


class EvalMetrics(eqx.Module):
    """Means over evaluation environments, of the first episode of each."""

    success_any: Float[Array, "*axes"]
    """Share of episodes with success at any step."""
    time_at_goal: Float[Array, "*axes"]
    """Steps with success per episode: the paper's metric (there of 1000 steps)."""
    success_end: Float[Array, "*axes"]
    """Share of episodes with success at their last step."""
    distance: Float[Array, "*axes"]
    """Distance to the goal after the last step, in the environment's unit."""
    episode_length: Float[Array, "*axes"]
    """Steps per episode."""
    failed_episodes: Float[Array, "*axes"]
    """Share of episodes that a simulation's break-down ended."""


class Episodes(eqx.Module):
    """The first episode of each of some environments; steps after its end are marked by `alive`."""

    obs: GoalObservation | None
    """What was seen before each step, leaves `time env ...`; `None` if it was not kept."""
    alive: Bool[Array, "*time env"]
    """Whether the first episode was still going on before the step."""
    success: Bool[Array, "*time env"]
    """Success after the step."""
    distance: Float[Array, "*time env"]
    """Distance to the goal after the step."""
    failed: Bool[Array, "*time env"]
    """Whether the simulation broke down in the step."""

    def metrics(self) -> EvalMetrics:
        """The means over environments."""
        return jax.tree.map(jnp.mean, self.per_episode())

    def per_episode(self) -> EvalMetrics:
        """The metrics of every single episode, leaves `env`."""
        success = self.success & self.alive
        steps: Int[Array, " env"] = jnp.sum(self.alive, axis=0)
        last = (steps - 1)[None, :]
        return EvalMetrics(
            success_any=jnp.any(success, axis=0).astype(jnp.float32),
            time_at_goal=jnp.sum(success, axis=0).astype(jnp.float32),
            success_end=jnp.take_along_axis(success, last, axis=0)[0].astype(jnp.float32),
            distance=jnp.take_along_axis(self.distance, last, axis=0)[0],
            episode_length=steps.astype(jnp.float32),
            failed_episodes=jnp.any(self.failed & self.alive, axis=0).astype(jnp.float32),
        )


def rollout_episodes(
    env: AbstractGoalEnv, params: PyTree, policy: Policy, num_envs: int, *, key: Key, keep_obs: bool = True
) -> Episodes:
    """Runs a policy for one full episode length in freshly reset environments.

    **Arguments:**

    - `env`, `params`: the environment.
    - `policy`: `policy(observation, goal, *, key) -> action in [-1, 1]`, per sample.
    - `num_envs`: how many environments, side by side.
    - `keep_obs`: whether to return what was seen.

    **Returns:** the first episode of every environment.
    """
    reset_key, steps_key = jr.split(key)
    envs = VectorEnv(env, num_envs)
    obs, state = envs.reset(reset_key, params)
    action_space = envs.action_space(params)

    def step(
        carry: tuple[GoalObservation, EnvState, Bool[Array, " env"]], key: Key
    ) -> tuple[tuple[GoalObservation, EnvState, Bool[Array, " env"]], Episodes]:
        obs, state, alive = carry
        act_key, step_key = jr.split(key)
        action = jax.vmap(lambda o, g, k: action_space.from_unit(policy(o, g, key=k)))(
            obs.observation, obs.desired_goal, jr.split(act_key, num_envs)
        )
        new_obs, state, _, terminated, truncated, info = envs.step(step_key, state, action, params)
        seen = obs if keep_obs else None
        told = {name: info[name] for name in ("success", "distance", "failed")}
        record = Episodes(obs=seen, alive=alive, **told)
        return (new_obs, state, alive & ~(terminated | truncated)), record

    alive = jnp.ones(num_envs, bool)
    keys = jr.split(steps_key, env.episode_length)
    _, episodes = jax.lax.scan(step, (obs, state, alive), keys, length=env.episode_length)
    return episodes


def evaluate(env: AbstractGoalEnv, params: PyTree, policy: Policy, num_envs: int, *, key: Key) -> EvalMetrics:
    """The metrics of [`deepcrl.eval.rollout_episodes`][]."""
    return rollout_episodes(env, params, policy, num_envs, key=key, keep_obs=False).metrics()
