"""Many environments of one kind, stepped as one."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, PyTree

from deepcrl._errors import check_integer
from deepcrl._tree import spread_envs
from deepcrl._typing import Key

from ._api import AbstractGoalEnv, EnvState, GoalObservation, Moved
from ._spaces import Box


class VectorEnv(eqx.Module):
    """`num_envs` environments of one kind, side by side: the methods are Gymnax's, every leaf has a leading `env` axis.

    A `jax.vmap` of `env.step` draws the start of an episode for every environment in every step, which costs as much as
    the step itself or more. Here episodes are drawn only in steps in which some end, and only a share of them where few do.
    """

    env: AbstractGoalEnv
    """The environment of which there are many."""
    num_envs: int = eqx.field(static=True)
    """How many."""

    def __check_init__(self):
        check_integer("num_envs", self.num_envs)

    def action_space(self, params: PyTree = None) -> Box:
        """The space of the actions of one environment, also where a program is being traced."""
        with jax.ensure_compile_time_eval():  # bounds made by `jnp` have values there too
            return self.env.action_space(self.env.default_params if params is None else params)

    def reset(self, key: Key, params: PyTree = None) -> tuple[GoalObservation, EnvState]:
        """The first observation and state of every environment, each with a key of its own."""
        params = self.env.default_params if params is None else params
        return spread_envs(jax.vmap(self.env.reset, in_axes=(0, None))(jr.split(key, self.num_envs), params))

    def step(
        self, key: Key, state: EnvState, action: Float[Array, "env action"], params: PyTree = None
    ) -> tuple[
        GoalObservation, EnvState, Float[Array, " env"], Bool[Array, " env"], Bool[Array, " env"], dict[str, Any]
    ]:
        """[`deepcrl.envs.AbstractGoalEnv`][]'s `step` of every environment, each with a key of its own."""
        params = self.env.default_params if params is None else params
        step_keys, reset_keys = jnp.unstack(jax.vmap(jr.split)(jr.split(key, self.num_envs)), axis=1)
        moved = jax.vmap(self.env._move, in_axes=(0, 0, 0, None))(step_keys, state, action, params)
        inner = self._restart_ended(reset_keys, state, moved, params)
        return jax.vmap(self.env._settle, in_axes=(0, 0, 0, None))(state, moved, inner, params)

    def _restart_ended(self, keys: Array, state: EnvState, moved: Moved, params: PyTree) -> PyTree:
        """`inner` of all environments, those that ended at the start of their next episode."""
        restart = jax.vmap(self.env._restart, in_axes=(0, 0, 0, None))
        few = max(1, self.num_envs // 8)

        def some() -> PyTree:
            # Beyond the last: reads the last, writes nothing.
            (ids,) = jnp.nonzero(moved.ended, size=few, fill_value=self.num_envs)
            some_keys, some_states, some_moved = jax.tree.map(lambda leaf: leaf[ids], (keys, state, moved))
            fresh = restart(some_keys, some_states, some_moved, params)
            return jax.tree.map(lambda old, new: old.at[ids].set(new, mode="drop"), moved.inner, fresh)

        ended = jnp.sum(moved.ended)
        case = jnp.where(ended > few, 2, jnp.minimum(ended, 1))
        return jax.lax.switch(case, (lambda: moved.inner, some, lambda: restart(keys, state, moved, params)))
