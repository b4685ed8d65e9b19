"""A Gymnasium vector environment around ours. Imported only where it is asked for."""

from typing import Any

import gymnasium as gym
import jax
import jax.random as jr
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from jaxtyping import PyTree

from deepcrl._errors import check_integer

from ._api import AbstractGoalEnv, GoalObservation
from ._spaces import Box
from ._vector import VectorEnv as JaxVectorEnv


def _to_gym_box(box: Box) -> gym.spaces.Box:
    # Inclusive bounds up to the rounding of float32, as `Box.contains` has it.
    slack = 1e-4 * (box.high - box.low)
    return gym.spaces.Box(box.low - slack, box.high + slack, dtype=np.float32)


def _to_numpy(obs: GoalObservation) -> dict[str, np.ndarray]:
    names = ("observation", "achieved_goal", "desired_goal")
    return {name: np.asarray(getattr(obs, name)) for name in names}


class GoalVectorEnv(VectorEnv):
    """See [`deepcrl.envs.to_gymnasium`][]."""

    def __init__(self, env: AbstractGoalEnv, params: PyTree, num_envs: int, seed: int):
        """Compiles on the first `reset` and the first `step`."""
        check_integer("num_envs", num_envs)
        space, action = env.observation_space(params), env.action_space(params)
        names = ("observation", "achieved_goal", "desired_goal")
        self.num_envs = num_envs
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space = gym.spaces.Dict({name: _to_gym_box(getattr(space, name)) for name in names})
        self.single_action_space = gym.spaces.Box(action.low, action.high, dtype=np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._key = jr.key(seed)
        self._state = None
        envs = JaxVectorEnv(env, num_envs)
        self._reset = jax.jit(lambda key: envs.reset(key, params))
        self._step = jax.jit(lambda key, state, action: envs.step(key, state, action, params))

    def _next_key(self) -> jax.Array:
        self._key, key = jr.split(self._key)
        return key

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Resets all environments; `seed`, one integer, starts the random stream anew."""
        if isinstance(seed, list):
            raise TypeError("All environments draw from one stream: `seed` must be one integer, got a list.")
        if seed is not None:
            self._key = jr.key(seed)
        obs, self._state = self._reset(self._next_key())
        return _to_numpy(obs), {}

    def step(
        self, actions: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Steps all environments; `actions` has shape `(num_envs, action)`."""
        if self._state is None:
            raise RuntimeError("Call `reset` before the first `step`.")
        actions = np.asarray(actions, np.float32)
        if actions.shape != self.action_space.shape:
            raise ValueError(f"`actions` must have shape {self.action_space.shape}, got {actions.shape}.")
        obs, self._state, reward, terminated, truncated, info = self._step(self._next_key(), self._state, actions)
        terminated, truncated = np.asarray(terminated), np.asarray(truncated)
        ended, everywhere = terminated | truncated, np.ones(self.num_envs, bool)
        infos: dict[str, Any] = {}
        for name in ("success", "distance"):
            infos |= {name: np.asarray(info[name]), f"_{name}": everywhere}
        if ended.any():
            # As Gymnasium has it: an array of objects, one observation where an episode ended and `None` elsewhere.
            final, final_obs = _to_numpy(info["final_observation"]), np.full(self.num_envs, None, dtype=object)
            for i in np.flatnonzero(ended):
                final_obs[i] = {name: values[i] for name, values in final.items()}
            infos |= {"final_obs": final_obs, "_final_obs": ended}
        return _to_numpy(obs), np.asarray(reward), terminated, truncated, infos
