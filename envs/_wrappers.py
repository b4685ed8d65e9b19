"""Wrappers for clients that expect another shape of the contract."""

from typing import Any, TYPE_CHECKING

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from deepcrl._typing import BoolScalar, Key, Scalar

from ._api import AbstractGoalEnv, EnvState, GoalObservation
from ._spaces import Box


if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv


def flatten_observation(obs: GoalObservation) -> Float[Array, " flat"]:
    """`observation` and `desired_goal` side by side: all that a policy without a goal input needs to see."""
    return jnp.concatenate([obs.observation, obs.desired_goal], axis=-1)


class FlatObservation(eqx.Module):
    """The same environment with one flat vector, `observation` then `desired_goal`, for generic Gymnax clients."""

    env: AbstractGoalEnv
    """The wrapped environment."""

    def observation_space(self, params: PyTree) -> Box:
        """The space of the flat vector."""
        space = self.env.observation_space(params)
        low = np.concatenate([space.observation.low, space.desired_goal.low])
        return Box(low, np.concatenate([space.observation.high, space.desired_goal.high]))

    def action_space(self, params: PyTree) -> Box:
        """The space of actions."""
        return self.env.action_space(params)

    def reset(self, key: Key, params: PyTree) -> tuple[Float[Array, " flat"], EnvState]:
        """As [`deepcrl.envs.AbstractGoalEnv`][]'s."""
        obs, state = self.env.reset(key, params)
        return flatten_observation(obs), state

    def step(
        self, key: Key, state: EnvState, action: Float[Array, " action"], params: PyTree
    ) -> tuple[Float[Array, " flat"], EnvState, Scalar, BoolScalar, BoolScalar, dict[str, Any]]:
        """As [`deepcrl.envs.AbstractGoalEnv`][]'s; `info["final_observation"]` is flat too."""
        obs, state, reward, terminated, truncated, info = self.env.step(key, state, action, params)
        info = {**info, "final_observation": flatten_observation(info["final_observation"])}
        return flatten_observation(obs), state, reward, terminated, truncated, info


class LegacyStep(eqx.Module):
    """The five-tuple of Gymnax before 1.0: `obs, state, reward, done, info = env.step(key, state, action, params)`.

    `done` cannot tell a task's end from the clock's; `info["terminated"]` and `info["truncated"]` still do.
    """

    env: AbstractGoalEnv | FlatObservation
    """The wrapped environment."""

    def observation_space(self, params: PyTree) -> Any:
        """The space of observations of the wrapped environment."""
        return self.env.observation_space(params)

    def action_space(self, params: PyTree) -> Box:
        """The space of actions."""
        return self.env.action_space(params)

    def reset(self, key: Key, params: PyTree) -> tuple[PyTree, EnvState]:
        """As the wrapped environment's."""
        return self.env.reset(key, params)

    def step(
        self, key: Key, state: EnvState, action: Float[Array, " action"], params: PyTree
    ) -> tuple[PyTree, EnvState, Scalar, BoolScalar, dict[str, Any]]:
        """One step; `done = terminated | truncated`."""
        obs, state, reward, terminated, truncated, info = self.env.step(key, state, action, params)
        return obs, state, reward, terminated | truncated, {**info, "terminated": terminated, "truncated": truncated}


def to_gymnasium(env: AbstractGoalEnv, params: PyTree = None, *, num_envs: int, seed: int = 0) -> "VectorEnv":
    """A `gymnasium.vector.VectorEnv` of `num_envs` copies, with dictionary observations in NumPy.

    It resets in the same step (`AutoresetMode.SAME_STEP`): the last observation of an episode is
    `infos["final_obs"]`, where `infos["_final_obs"]` holds.

    **Raises:** `ImportError`, with the remedy, if gymnasium is not installed.
    """
    try:
        from ._gymnasium import GoalVectorEnv
    except ImportError as error:
        raise ImportError("`to_gymnasium` needs gymnasium: `pip install 'deepcrl[gymnasium]'`.") from error
    return GoalVectorEnv(env, env.default_params if params is None else params, num_envs, seed)
