"""A trajectory queue: a ring over time for every environment, as a small functional state machine."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
from einops import rearrange
from jaxtyping import Array, Bool, Float, Int

from .._tree import tree_bytes
from .._typing import IntScalar, Key


class Transition(eqx.Module):
    """One step of one environment; collections of them carry leading axes on every leaf."""

    observation: Float[Array, "*axes obs"]
    """What was seen before the step."""
    action: Float[Array, "*axes action"]
    """The action taken, in [-1, 1]."""
    achieved_goal: Float[Array, "*axes goal"]
    """The goal that the observation before the step achieves."""
    desired_goal: Float[Array, "*axes goal"]
    """The commanded goal of the episode."""
    reward: Float[Array, "*axes"]
    """The reward of the step."""
    terminated: Bool[Array, "*axes"]
    """Did the task end the episode at this step?"""
    truncated: Bool[Array, "*axes"]
    """Did the clock end the episode at this step?"""
    episode_id: Int[Array, "*axes"]
    """Which episode of its environment the step belongs to: grows by one from an episode to the next."""
    next_observation: Float[Array, "*axes obs"] | None = None
    """What was seen after the step and before any reset: for agents that bootstrap. The next row does not tell it where
    an episode ends, and storing it costs as many numbers as `observation`."""
    next_achieved_goal: Float[Array, "*axes goal"] | None = None
    """The goal that `next_observation` achieves, kept along with it."""


class QueueState(eqx.Module):
    """The contents of a [`deepcrl.replay.TrajectoryQueue`][]."""

    data: Transition
    """Leaves `env time ...`; the step of time t lies in slot t % length."""
    last_step: Int[Array, "env time"]
    """The newest time seen of episode e, in slot e % length."""
    num_added: IntScalar
    """Steps of each environment added so far; the newest has time `num_added - 1`."""

    @property
    def oldest(self) -> IntScalar:
        """The time of the oldest step that is still stored."""
        return jnp.maximum(self.num_added - self.last_step.shape[-1], 0)


class Sample(eqx.Module):
    """A stored step and where it lies."""

    transition: Transition
    env: IntScalar
    """The environment that took the step."""
    time: IntScalar
    """The step's time: how many steps that environment had taken before it."""


class TrajectoryQueue(eqx.Module):
    """Keeps the newest `length` steps of each of `num_envs` environments, first in, first out.

    Every method is pure. Draws are uniform over all stored steps, with replacement, and cost the same whatever is
    stored: no divisibility rule ties batch size to episode length.
    """

    num_envs: int = eqx.field(static=True)
    """Environments side by side."""
    length: int = eqx.field(static=True)
    """Steps kept per environment."""

    def __check_init__(self):
        if self.num_envs < 1 or self.length < 1:
            raise ValueError(f"`num_envs` and `length` must be at least 1, got {self.num_envs} and {self.length}.")

    def init(self, example: Transition) -> QueueState:
        """An empty queue for steps like `example` (one step, no leading axes; its values do not matter)."""

        def empty(leaf: Array) -> Array:
            return jnp.zeros((self.num_envs, self.length, *leaf.shape), leaf.dtype)

        return QueueState(
            data=jtu.tree_map(empty, example),
            last_step=jnp.zeros((self.num_envs, self.length), jnp.int32),
            num_added=jnp.zeros((), jnp.int32),
        )

    def nbytes(self, example: Transition) -> int:
        """The bytes that `init` would allocate; nothing is allocated to find out."""
        return tree_bytes(jax.eval_shape(self.init, example))

    def add(self, state: QueueState, rollout: Transition) -> QueueState:
        """**Arguments:**

        - `state`: the queue.
        - `rollout`: newer steps of every environment, leaves `time env ...`, at most `length` of them. Each step of an
          environment either continues the episode of the step before it or has the next `episode_id`.

        **Returns:** the queue with these steps in place of its oldest ones.
        """
        num_steps = rollout.reward.shape[0]
        if num_steps > self.length:
            raise ValueError(
                f"A queue of `length` {self.length} cannot take {num_steps} steps at once. Add fewer, or make it longer."
            )
        time = state.num_added + jnp.arange(num_steps, dtype=jnp.int32)
        slot = time % self.length

        def write(stored: Array, new: Array) -> Array:
            return stored.at[:, slot].set(rearrange(new, "time env ... -> env time ..."))

        def mark_newest(last_step: Int[Array, " time"], episode_id: Int[Array, " new"]) -> Int[Array, " time"]:
            # A later time of the same episode wins; an older episode that left the slot long ago is always earlier.
            return last_step.at[episode_id % self.length].max(time)

        return QueueState(
            data=jtu.tree_map(write, state.data, rollout),
            last_step=jax.vmap(mark_newest, in_axes=(0, 1))(state.last_step, rollout.episode_id),
            num_added=state.num_added + num_steps,
        )

    def num_stored(self, state: QueueState) -> IntScalar:
        """How many steps are stored, over all environments."""
        return (state.num_added - state.oldest) * self.num_envs

    def sample(self, state: QueueState, *, newest: int | None = None, key: Key) -> Sample:
        """One stored step of a queue to which something has been added; vmap over keys for a batch.

        With `newest`, one of that many newest steps of an environment.
        """
        env_key, time_key = jr.split(key)
        env = jr.randint(env_key, (), 0, self.num_envs)
        oldest = state.oldest if newest is None else jnp.maximum(state.oldest, state.num_added - newest)
        time = jr.randint(time_key, (), oldest, state.num_added)
        return Sample(self.at(state, env, time), env, time)

    def at(self, state: QueueState, env: IntScalar, time: IntScalar) -> Transition:
        """The step that environment `env` took at `time`, which must still be stored."""
        slot = time % self.length
        return jtu.tree_map(lambda leaf: leaf[env, slot], state.data)

    def episode_end(self, state: QueueState, env: IntScalar, time: IntScalar) -> IntScalar:
        """The newest stored time of the episode that environment `env` was in at `time`."""
        episode_id = state.data.episode_id[env, time % self.length]
        return state.last_step[env, episode_id % self.length]
