"""The contract of goal-reaching environments: Gymnax 1.0's, with observations as in Gymnasium's `GoalEnv`."""

import abc
import dataclasses
import operator
from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PyTree

from deepcrl._errors import check_choice, check_integer, did_you_mean
from deepcrl._tree import tree_where
from deepcrl._typing import BoolScalar, IntScalar, Key, Scalar

from ._spaces import Box


GOAL_RESETS = ("resample", "cached")


class GoalObservation(eqx.Module):
    """What a goal-reaching agent sees; spaces have the same three names."""

    observation: Any
    """The observation, without the goal: `Float[Array, " obs"]`."""
    achieved_goal: Any
    """The goal that the present state achieves: `Float[Array, " goal"]`."""
    desired_goal: Any
    """The commanded goal: `Float[Array, " goal"]`."""


class EnvState(eqx.Module):
    """The state of an environment in an episode."""

    inner: PyTree
    """What the environment itself carries: physics, goal."""
    first: PyTree
    """With `goal_reset="cached"`, the `inner` that every episode starts from; else `None`."""
    time: IntScalar
    """Steps taken in this episode."""
    episode_id: IntScalar
    """How many episodes came before this one."""


class Moved(eqx.Module):
    """Where a step led, before any reset."""

    inner: PyTree
    reward: Scalar
    terminated: BoolScalar
    truncated: BoolScalar

    @property
    def ended(self) -> Array:
        return self.terminated | self.truncated


class AbstractGoalEnv(eqx.Module):
    """An environment: structure only, no state. Subclass it by the hooks below; `reset` and `step` are final.

    Everything is per sample, to be vmapped, and pure: `params` is a pytree of arrays and may be vmapped too. Where
    `params` may be left out, `default_params` stand in.

    **Arguments** of every environment:

    - `episode_length`: steps after which an episode is truncated.
    - `goal_reset`: `"resample"` draws a fresh start and goal for every episode; `"cached"` repeats the first one of each
      environment for ever, as the runs published with Brax's auto-reset wrapper did.
    """

    episode_length: int = eqx.field(default=300, static=True, kw_only=True)
    goal_reset: Literal["resample", "cached"] = eqx.field(default="resample", static=True, kw_only=True)

    def __check_init__(self):
        check_integer("episode_length", self.episode_length)
        check_choice("goal_reset", self.goal_reset, GOAL_RESETS)
        kind, name = type(self), type(self).__name__
        if callable(kind.default_params):
            raise TypeError(f"`{name}.default_params` must be a property, got a method: put `@property` above it.")
        if kind.reset is not AbstractGoalEnv.reset or kind.step is not AbstractGoalEnv.step:
            raise TypeError(f"`{name}` must not have a `reset` or `step` of its own: write `reset_env` and `step_env`.")

    @property
    @abc.abstractmethod
    def default_params(self) -> PyTree:
        """The parameters that `make` returns: a pytree of arrays."""

    @abc.abstractmethod
    def observation_space(self, params: PyTree = None) -> GoalObservation:
        """The spaces: a [`deepcrl.envs.GoalObservation`][] of three [`deepcrl.envs.Box`][]es of one axis each."""

    @abc.abstractmethod
    def action_space(self, params: PyTree = None) -> Box:
        """The space of actions; policies act in [-1, 1] and are scaled to it."""

    @abc.abstractmethod
    def reset_env(self, key: Key, params: PyTree) -> PyTree:
        """A fresh `inner` state: start and commanded goal."""

    @abc.abstractmethod
    def step_env(
        self, key: Key, inner: PyTree, action: Float[Array, " action"], params: PyTree
    ) -> tuple[PyTree, Scalar, BoolScalar]:
        """The next `inner` state, the reward, and whether the task ended the episode (not the clock)."""

    @abc.abstractmethod
    def observe(self, inner: PyTree, params: PyTree) -> GoalObservation:
        """What the agent sees of an `inner` state."""

    @abc.abstractmethod
    def distance(
        self, achieved_goal: Float[Array, " goal"], desired_goal: Float[Array, " goal"], params: PyTree
    ) -> Scalar:
        """How far one goal is from the other, in the environment's own unit (m for the mazes)."""

    @abc.abstractmethod
    def success(
        self, achieved_goal: Float[Array, " goal"], desired_goal: Float[Array, " goal"], params: PyTree
    ) -> BoolScalar:
        """Whether achieving the one goal counts as reaching the other."""

    def failed(self, inner: PyTree, params: PyTree) -> BoolScalar:
        """Whether the simulation broke down in the step to `inner`, so that training counts it. `step_env` must have ended
        the episode, with finite numbers. By default never."""
        return jnp.zeros((), bool)

    def refresh_env(self, inner: PyTree, stale: BoolScalar, params: PyTree) -> PyTree:
        """`inner` with what follows from it computed anew where `stale`: after a reset or `set_state`.

        For environments whose state carries costly quantities that observations need, so that `reset_env`, which is called
        for more environments than ended, need not compute them. By default there are none.
        """
        return inner

    def reset(self, key: Key, params: PyTree = None) -> tuple[GoalObservation, EnvState]:
        """The first observation and state of an environment, with `episode_id` 0."""
        params = self.default_params if params is None else params
        inner = self.refresh_env(self.reset_env(key, params), jnp.ones((), bool), params)
        zero = jnp.zeros((), jnp.int32)
        first = inner if self.goal_reset == "cached" else None
        return self.observe(inner, params), EnvState(inner=inner, first=first, time=zero, episode_id=zero)

    def step(
        self, key: Key, state: EnvState, action: Float[Array, " action"], params: PyTree = None
    ) -> tuple[GoalObservation, EnvState, Scalar, BoolScalar, BoolScalar, dict[str, Any]]:
        """One step, with a reset behind it where the episode ends.

        **Returns:** `(obs, state, reward, terminated, truncated, info)`. Where `terminated` (by the task) or `truncated`
        (by the clock) holds, `obs` and `state` are already those of the next episode, and `info["final_observation"]`
        is what was seen last in the old one; at every other step it equals `obs`. `info["success"]`,
        `info["distance"]` (to the commanded goal) and `info["failed"]` (the simulation broke down) speak of the state
        after the step and before the reset.
        """
        params = self.default_params if params is None else params
        step_key, reset_key = jr.split(key)
        moved = self._move(step_key, state, action, params)
        return self._settle(state, moved, self._restart(reset_key, state, moved, params), params)

    def _move(self, key: Key, state: EnvState, action: Float[Array, " action"], params: PyTree) -> Moved:
        inner, reward, terminated = self.step_env(key, state.inner, action, params)
        return Moved(inner, reward, terminated, state.time + 1 >= self.episode_length)

    def _restart(self, key: Key, state: EnvState, moved: Moved, params: PyTree) -> PyTree:
        """`inner` of the next episode, where this one ended."""
        fresh = self.reset_env(key, params) if state.first is None else state.first
        return self.refresh_env(tree_where(moved.ended, fresh, moved.inner), moved.ended, params)

    def _settle(
        self, state: EnvState, moved: Moved, inner: PyTree, params: PyTree
    ) -> tuple[GoalObservation, EnvState, Scalar, BoolScalar, BoolScalar, dict[str, Any]]:
        final = self.observe(moved.inner, params)
        next_state = EnvState(
            inner=inner,
            first=state.first,
            time=jnp.where(moved.ended, 0, state.time + 1),
            episode_id=state.episode_id + moved.ended.astype(jnp.int32),
        )
        info = {
            "final_observation": final,
            "success": self.success(final.achieved_goal, final.desired_goal, params),
            "distance": self.distance(final.achieved_goal, final.desired_goal, params),
            "failed": self.failed(moved.inner, params),
        }
        return self.observe(inner, params), next_state, moved.reward, moved.terminated, moved.truncated, info

    def set_state(self, state: EnvState, params: PyTree = None, **fields: Any) -> tuple[GoalObservation, EnvState]:
        """The same state with some fields of `state.inner` put to given values, and what is seen then.

        For example `env.set_state(state, params, position=[1.0, 2.0])` in a point maze, or `qpos=...` for a robot.
        Clock and episode go on.

        **Raises:** `ValueError` for an unknown field or a wrong shape.
        """
        params = self.default_params if params is None else params
        inner = state.inner
        known = _field_paths(inner)
        for name, value in fields.items():
            if name not in known:
                raise ValueError(f"This environment's state has no field {name!r}. {did_you_mean(name, known)}")
            old = known[name](inner)
            array = jnp.asarray(value, old.dtype)
            if array.shape != old.shape:
                raise ValueError(f"The field {name!r} of the state has shape {old.shape}, got {array.shape}.")
            inner = eqx.tree_at(known[name], inner, array)
        inner = self.refresh_env(inner, jnp.ones((), bool), params)
        return self.observe(inner, params), dataclasses.replace(state, inner=inner)


def _field_paths(inner: PyTree) -> dict[str, Callable[[PyTree], Array]]:
    """How to get at each array of a state by the name of its field, in modules within it too."""
    paths: dict[str, Callable[[PyTree], Array]] = {}
    for name in (field.name for field in dataclasses.fields(inner)):
        part = getattr(inner, name)
        if isinstance(part, eqx.Module):
            for below, path in _field_paths(part).items():
                paths[below] = lambda tree, name=name, path=path: path(getattr(tree, name))
        else:
            paths[name] = operator.attrgetter(name)
    return paths
