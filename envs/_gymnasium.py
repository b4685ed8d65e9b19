"""Gymnasium environments around ours. Imported only where they are asked for."""

from typing import Any

import gymnasium as gym
import jax
import jax.random as jr
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv as GymVectorEnv
from gymnasium.vector.utils import batch_space
from jaxtyping import PyTree

from deepcrl._errors import check_integer
from deepcrl._tree import tree_where

from ._api import AbstractGoalEnv, GoalObservation
from ._registry import make
from ._spaces import Box
from ._vector import VectorEnv


_NAMES = ("observation", "achieved_goal", "desired_goal")


def _spaces(env: AbstractGoalEnv, params: PyTree) -> tuple[Any, gym.spaces.Box]:
    space, action = env.observation_space(params), env.action_space(params)
    observations = gym.spaces.Dict({name: _to_gym_box(getattr(space, name)) for name in _NAMES})
    return observations, gym.spaces.Box(action.low, action.high, dtype=np.float32)


def _to_gym_box(box: Box) -> gym.spaces.Box:
    # Inclusive bounds up to the rounding of float32, as `Box.contains` has it.
    return gym.spaces.Box(*box.widened(), dtype=np.float32)


def _to_numpy(obs: GoalObservation) -> dict[str, np.ndarray]:
    return {name: np.array(getattr(obs, name)) for name in _NAMES}  # copies: wrappers write into them


class GoalVectorEnv(GymVectorEnv):
    """See [`deepcrl.envs.to_gymnasium`][]."""

    def __init__(self, env: AbstractGoalEnv, params: PyTree, num_envs: int, seed: int):
        """Compiles on the first `reset` and the first `step`."""
        check_integer("num_envs", num_envs)
        self.num_envs = num_envs
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space, self.single_action_space = _spaces(env, params)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._key = jr.key(seed)
        self._seen = None  # the last observation and state
        envs = VectorEnv(env, num_envs)
        self._reset = jax.jit(lambda key: envs.reset(key, params))
        self._choose = jax.jit(jax.vmap(tree_where))
        self._step = jax.jit(lambda key, state, action: envs.step(key, state, action, params))

    def _next_key(self) -> jax.Array:
        self._key, key = jr.split(self._key)
        return key

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Resets all environments, or those where `options["reset_mask"]` holds; `seed`, one integer, starts the random
        stream anew."""
        if isinstance(seed, list):
            raise TypeError("All environments draw from one stream: `seed` must be one integer, got a list.")
        if seed is not None:
            self._key = jr.key(seed)
        seen = self._reset(self._next_key())
        mask = (options or {}).get("reset_mask")
        if mask is not None:
            if self._seen is None:
                raise RuntimeError("Call `reset` without a `reset_mask` first.")
            if np.shape(mask) != (self.num_envs,) or np.asarray(mask).dtype != bool:
                raise ValueError(f"`reset_mask` must hold {self.num_envs} booleans, got {mask!r}.")
            seen = self._choose(np.asarray(mask), seen, self._seen)
        self._seen = seen
        return _to_numpy(seen[0]), {}

    def step(
        self, actions: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Steps all environments; `actions` has shape `(num_envs, action)`."""
        if self._seen is None:
            raise RuntimeError("Call `reset` before the first `step`.")
        actions = np.asarray(actions, np.float32)
        if actions.shape != self.action_space.shape:
            raise ValueError(f"`actions` must have shape {self.action_space.shape}, got {actions.shape}.")
        obs, state, reward, terminated, truncated, info = self._step(self._next_key(), self._seen[1], actions)
        self._seen = (obs, state)
        terminated, truncated = np.array(terminated), np.array(truncated)
        ended, everywhere = terminated | truncated, np.ones(self.num_envs, bool)
        infos: dict[str, Any] = {}
        for name in ("success", "distance"):
            infos |= {name: np.array(info[name]), f"_{name}": everywhere}
        if ended.any():
            # As Gymnasium has it: an array of objects, one observation where an episode ended and `None` elsewhere.
            final, final_obs = _to_numpy(info["final_observation"]), np.full(self.num_envs, None, dtype=object)
            for i in np.flatnonzero(ended):
                final_obs[i] = {name: values[i] for name, values in final.items()}
            infos |= {"final_obs": final_obs, "_final_obs": ended}
        return _to_numpy(obs), np.array(reward), terminated, truncated, infos


class GoalGymEnv(gym.Env):
    """See [`deepcrl.envs.to_gymnasium`][]."""

    def __init__(self, env: AbstractGoalEnv, params: PyTree, seed: int):
        """Compiles on the first `reset`, the first `step` and the first `compute_reward`."""
        self.observation_space, self.action_space = _spaces(env, params)
        self._state, self._seed = None, seed
        one = VectorEnv(env, 1)
        self._reset = jax.jit(lambda key: jax.tree.map(lambda leaf: leaf[0], one.reset(key, params)))

        def step(key: jax.Array, state: PyTree, action: jax.Array) -> PyTree:
            state = jax.tree.map(lambda leaf: leaf[None], state)
            return jax.tree.map(lambda leaf: leaf[0], one.step(key, state, action[None], params))

        self._step = jax.jit(step)
        self._success = jax.jit(jax.vmap(lambda achieved, desired: env.success(achieved, desired, params)))

    def _next_key(self) -> jax.Array:
        return jr.key(int(self.np_random.integers(2**31)))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """A fresh start and goal; `seed` starts the random stream anew."""
        super().reset(seed=self._seed if seed is None else seed)
        self._seed = None  # the stream goes on
        obs, self._state = self._reset(self._next_key())
        return _to_numpy(obs), {}

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """One step; the observation of a last step is the episode's own, and a `reset` must follow."""
        if self._state is None:
            raise RuntimeError("Call `reset` before the first `step` of an episode.")
        action = np.asarray(action, np.float32)
        if action.shape != self.action_space.shape:
            raise ValueError(f"`action` must have shape {self.action_space.shape}, got {action.shape}.")
        _, state, reward, terminated, truncated, info = self._step(self._next_key(), self._state, action)
        terminated, truncated, success = bool(terminated), bool(truncated), bool(info["success"])
        self._state = None if terminated or truncated else state
        infos = {"success": success, "distance": float(info["distance"]), "reward": float(reward)}
        return _to_numpy(info["final_observation"]), float(success), terminated, truncated, infos

    def compute_reward(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Any) -> Any:
        """1 where the goal is reached, else 0, for goals of shape `(goal,)` or `(batch, goal)`; `info` is not looked at."""
        achieved_goal, desired_goal = np.asarray(achieved_goal, np.float32), np.asarray(desired_goal, np.float32)
        reached = self._success(np.atleast_2d(achieved_goal), np.atleast_2d(desired_goal))
        return np.array(reached, np.float32) if achieved_goal.ndim > 1 else float(reached[0])


def register(name: str) -> None:
    """See [`deepcrl.envs.register_in_gymnasium`][]."""
    name_there, here = f"deepcrl/{name}-v0", "deepcrl.envs._gymnasium"
    if name_there not in gym.registry:
        gym.register(
            name_there,
            entry_point=f"{here}:make_one",
            vector_entry_point=f"{here}:make_vector",
            kwargs={"name": name},
        )


def make_one(name: str, **options: Any) -> GoalGymEnv:
    """What `gymnasium.make` calls."""
    return GoalGymEnv(*make(name, **options), seed=0)


def make_vector(name: str, num_envs: int = 1, **options: Any) -> GoalVectorEnv:
    """What `gymnasium.make_vec` calls."""
    return GoalVectorEnv(*make(name, **options), num_envs, seed=0)
