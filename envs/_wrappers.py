"""Our environments as the clients of Gymnax and of Gymnasium expect them."""

import dataclasses
from typing import Any, TYPE_CHECKING

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from deepcrl._typing import Key

from ._api import AbstractGoalEnv, EnvState, GoalObservation
from ._registry import names
from ._spaces import Box


if TYPE_CHECKING:
    from ._gymnasium import GoalGymEnv, GoalVectorEnv


class GymnaxParams(eqx.Module):
    """The parameters of a [`deepcrl.envs.to_gymnax`][] environment."""

    inner: PyTree
    """Those of the environment itself."""
    max_steps_in_episode: int = eqx.field(static=True)
    """The episode's length: where clients of Gymnax look for it, and may change it."""

    def replace(self, **changes: Any) -> "GymnaxParams":
        """A copy with other fields, as Gymnax's parameters have it."""
        return dataclasses.replace(self, **changes)


class GymnaxEnv:
    """See [`deepcrl.envs.to_gymnax`][]. Hashed by identity, as Gymnax's own environments are."""

    def __init__(self, env: AbstractGoalEnv, params: PyTree, legacy: bool):
        self._env, self._params, self._legacy = env, params, legacy

    @property
    def default_params(self) -> GymnaxParams:
        return GymnaxParams(self._params, self._env.episode_length)

    @property
    def name(self) -> str:
        return type(self._env).__name__

    @property
    def num_actions(self) -> int:
        return self.action_space().shape[0]

    def action_space(self, params: GymnaxParams | None = None) -> Any:
        return _gymnax_box(self._env.action_space(self._at(params)[1]))

    def observation_space(self, params: GymnaxParams | None = None) -> Any:
        space = self._env.observation_space(self._at(params)[1])
        low, high = (
            np.concatenate([getattr(box, bound) for box in (space.observation, space.desired_goal)])
            for bound in ("low", "high")
        )
        return _gymnax_box(Box(low, high))

    def reset(self, key: Key, params: GymnaxParams | None = None) -> tuple[Float[Array, " flat"], EnvState]:
        env, inner = self._at(params)
        obs, state = env.reset(key, inner)
        return _flat(obs), state

    def step(
        self, key: Key, state: EnvState, action: Float[Array, " action"], params: GymnaxParams | None = None
    ) -> tuple[Any, ...]:
        env, inner = self._at(params)
        obs, state, reward, terminated, truncated, info = env.step(key, state, action, inner)
        ends = {"terminated": terminated, "truncated": truncated}
        info = {**info, **ends, "final_observation": _flat(info["final_observation"])}
        flags = (terminated | truncated,) if self._legacy else (terminated, truncated)
        return _flat(obs), state, reward, *flags, info

    def _at(self, params: GymnaxParams | None) -> tuple[AbstractGoalEnv, PyTree]:
        params = self.default_params if params is None else params
        if params.max_steps_in_episode == self._env.episode_length:
            return self._env, params.inner
        return dataclasses.replace(self._env, episode_length=params.max_steps_in_episode), params.inner


def _flat(obs: GoalObservation) -> Float[Array, " flat"]:
    return jnp.concatenate([obs.observation, obs.desired_goal])


def _gymnax_box(box: Box) -> Any:
    try:
        from gymnax.environments import spaces  # pyright: ignore[reportMissingImports]
    except ImportError:  # a client that does without Gymnax reads ours alike
        return box
    return spaces.Box(box.low, box.high, box.shape, jnp.float32)


def to_gymnax(env: AbstractGoalEnv, params: PyTree = None, *, legacy: bool = False) -> GymnaxEnv:
    """The environment as clients of Gymnax know it, such as rejax and PureJaxRL: `reset`, `step`, `default_params` with
    `max_steps_in_episode`, `action_space`, `observation_space`, `num_actions` and `name`.

    Clients of Gymnax know nothing of goals, so an observation is one vector, `observation` then `desired_goal`. Spaces are
    Gymnax's own where it is installed.

    ```python
    agent = rejax.SAC.create(env=to_gymnax(*make("point_room", reward="dense"), legacy=True))
    ```

    **Arguments:**

    - `env`, `params`: the environment; `env.default_params` by default.
    - `legacy`: `step` returns the five values of Gymnax before 1.0, with `done = terminated | truncated`. `done` cannot
        tell a task's end from the clock's; `info["terminated"]` and `info["truncated"]` do, in both forms.
    """
    return GymnaxEnv(env, env.default_params if params is None else params, legacy)


def to_gymnasium(
    env: AbstractGoalEnv, params: PyTree = None, *, num_envs: int | None = None, seed: int = 0
) -> "GoalGymEnv | GoalVectorEnv":
    """The environment as clients of Gymnasium know it, with dictionary observations in NumPy.

    **Arguments:**

    - `env`, `params`: the environment; `env.default_params` by default.
    - `num_envs`: copies, side by side in one `gymnasium.vector.VectorEnv`; one `gymnasium.Env` if `None`.
    - `seed`: of the starts and goals, until a `reset` is given another.

    **Returns:** with `num_envs`, a vector that resets in the same step (`AutoresetMode.SAME_STEP`): the last observation of
    an episode is `infos["final_obs"]`, where `infos["_final_obs"]` holds. Without, an environment with the
    `compute_reward(achieved_goal, desired_goal, info)` of Gymnasium's `GoalEnv`, as hindsight needs it: 1 where the goal
    is reached, else 0, in `step` too; `info["reward"]` is the task's own.

    **Raises:** `ImportError`, with the remedy, if gymnasium is not installed.
    """
    ours = _ours("to_gymnasium")
    params = env.default_params if params is None else params
    return ours.GoalGymEnv(env, params, seed) if num_envs is None else ours.GoalVectorEnv(env, params, num_envs, seed)


def register_in_gymnasium() -> None:
    """Gives Gymnasium every registered name, such as `deepcrl/point_u_maze-v0`, for `gymnasium.make` and
    `gymnasium.make_vec`; their keyword arguments are the options of [`deepcrl.envs.make`][]. What they make is
    [`deepcrl.envs.to_gymnasium`][]'s. A second call adds what was registered since.

    **Raises:** `ImportError`, with the remedy, if gymnasium is not installed.
    """
    ours = _ours("register_in_gymnasium")
    for name in names():
        ours.register(name)


def _ours(caller: str) -> Any:
    try:
        from . import _gymnasium
    except ImportError as error:
        raise ImportError(
            f"`{caller}` needs gymnasium: install the extra `gymnasium` of deepcrl, or gymnasium itself."
        ) from error
    return _gymnasium
