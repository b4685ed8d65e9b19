"""A checker for environments that users bring, to be run before any training."""

import dataclasses
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
from jaxtyping import PyTree

from ._api import AbstractGoalEnv, EnvState, GoalObservation
from ._spaces import Box
from ._vector import VectorEnv


_FIELDS = ("observation", "achieved_goal", "desired_goal")


class InvalidEnvironmentError(ValueError):
    """An environment breaks the contract; the message lists every breach found."""


@dataclasses.dataclass(frozen=True)
class CheckReport:
    """What [`deepcrl.envs.check`][] saw of an environment under uniformly random actions."""

    env_steps: int
    """How many steps were taken in all."""
    episodes: int
    """How many episodes ended."""
    mean_episode_length: float
    """In steps, over the episodes that ended; not a number if none did."""
    success_rate: float
    """Share of steps with success: what chance alone achieves."""
    distinct_starts: int
    """Number of different first observations."""
    distinct_goals: int
    """Number of different commanded goals."""


def check(env: AbstractGoalEnv, params: PyTree = None, *, num_envs: int = 16, seed: int = 0) -> CheckReport:
    """Tests an environment against the contract: shapes, ranges, jit, vmap, scan, auto-reset, NaN under random actions.

    **Arguments:**

    - `env`: the environment.
    - `params`: its parameters, `env.default_params` by default.
    - `num_envs`: environments run side by side, for a little over two episodes each, at most 1,000 steps.
    - `seed`: of the random actions and resets.

    **Returns:** what was seen, if all is well.

    **Raises:** `InvalidEnvironmentError`, with every breach that was found.
    """
    check_shapes(env, params)  # with shapes wrong, running says nothing more
    params = env.default_params if params is None else params
    num_steps = min(2 * env.episode_length + 10, 1000)
    first, trace = _run(env, params, num_envs, num_steps, seed)
    if problems := _check_run(env, params, first, trace):
        raise _invalid(env, problems)
    distinct_starts, distinct_goals = (
        len(np.unique(values, axis=0)) for values in (first.observation, first.desired_goal)
    )
    if distinct_starts == distinct_goals == 1 < num_envs:
        warnings.warn(
            "All keys gave one start and one goal. Unless the task has no others, use the key of `reset_env`.",
            stacklevel=2,
        )
    lengths = trace["length"][trace["ended"]]
    return CheckReport(
        env_steps=num_envs * num_steps,
        episodes=int(trace["ended"].sum()),
        mean_episode_length=float(lengths.mean()) if lengths.size else float("nan"),
        success_rate=float(trace["success"].mean()),
        distinct_starts=distinct_starts,
        distinct_goals=distinct_goals,
    )


def check_shapes(env: AbstractGoalEnv, params: PyTree = None) -> None:
    """Compares the shapes and dtypes of all that an environment returns with its spaces. Every hook is traced, none is run.

    **Raises:** `InvalidEnvironmentError`, with every breach that was found.
    """
    params = env.default_params if params is None else params
    problems = [
        f"`default_params` must hold arrays only, got {leaf!r}."
        for leaf in jtu.tree_leaves(params)
        if not isinstance(leaf, jax.Array | np.ndarray)
    ]
    if problems := problems + _check_shapes(env, params):
        raise _invalid(env, problems)


def _invalid(env: AbstractGoalEnv, problems: list[str]) -> InvalidEnvironmentError:
    listed = "\n".join(f"- {problem}" for problem in problems)
    return InvalidEnvironmentError(f"`{type(env).__name__}` breaks the contract of goal environments:\n{listed}")


def _check_shapes(env: AbstractGoalEnv, params: PyTree) -> list[str]:
    space, action_space = env.observation_space(params), env.action_space(params)
    if not isinstance(space, GoalObservation):
        return [f"`observation_space` must return a `GoalObservation` of three `Box`es, got {space!r}."]
    problems = []
    for name in (*_FIELDS, "action"):
        box = action_space if name == "action" else getattr(space, name)
        if not isinstance(box, Box) or len(box.shape) != 1:
            problems.append(f"the space of `{name}` must be a `Box` with one axis, got {box!r}.")
    if problems:
        return problems
    if not action_space.bounded:
        problems.append(f"the space of `action` must have both bounds for every number, got {action_space!r}.")
    if space.achieved_goal.shape != space.desired_goal.shape:
        problems.append("the spaces of `achieved_goal` and `desired_goal` must have one shape.")
    return problems + _check_hooks(env, params, space, action_space)


def _check_hooks(env: AbstractGoalEnv, params: PyTree, space: GoalObservation, action_space: Box) -> list[str]:
    """The hooks one by one: `reset` and `step` would stop at the first breach, far from the hook that made it."""

    def trace(hook: str, *args: PyTree) -> PyTree:
        try:
            return jax.eval_shape(getattr(env, hook), *args)
        except Exception as error:  # whatever a user's hook may raise
            what = str(error).splitlines()[0] if str(error) else ""
            raise _invalid(env, [f"`{hook}` raised {type(error).__name__}: {what}"]) from error

    key, action = jr.key(0), jax.ShapeDtypeStruct(action_space.shape, jnp.float32)
    inner = trace("reset_env", key, params)
    result = trace("step_env", key, inner, action, params)
    if not isinstance(result, tuple) or len(result) != 3:
        return [f"`step_env` must return (inner, reward, terminated), got {result!r}."]
    new_inner, reward, terminated = result
    problems = _check_state(inner, new_inner)
    if problems:  # the new state may not be fit to be observed
        return problems
    for call, state in (("reset", inner), ("step", new_inner)):
        obs = trace("observe", state, params)
        if not isinstance(obs, GoalObservation):
            return [f"`observe` must return a `GoalObservation`, got {obs!r}."]
        for name in _FIELDS:
            leaf, box = getattr(obs, name), getattr(space, name)
            if leaf.shape != box.shape or leaf.dtype != jnp.float32:
                problems.append(
                    f"`{name}` of `{call}` must be float32 of shape {box.shape}, as its space says; got {leaf.dtype} of "
                    f"shape {leaf.shape}."
                )
    goals = [jax.ShapeDtypeStruct(box.shape, jnp.float32) for box in (space.achieved_goal, space.desired_goal)]
    scalars = {
        "reward": (reward, jnp.float32),
        "terminated": (terminated, jnp.bool_),
        "success": (trace("success", *goals, params), jnp.bool_),
        "distance": (trace("distance", *goals, params), jnp.float32),
    }
    for name, (leaf, dtype) in scalars.items():
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            problems.append(f"`{name}` must be a scalar {np.dtype(dtype)}, got {leaf!r}.")
        elif leaf.shape != () or leaf.dtype != dtype:
            problems.append(f"`{name}` must be a scalar {np.dtype(dtype)}, got {leaf.dtype} of shape {leaf.shape}.")
    return problems


def _check_state(inner: PyTree, new_inner: PyTree) -> list[str]:
    if jtu.tree_structure(inner) != jtu.tree_structure(new_inner):
        return [
            "`step_env` must return a state of the same structure as `reset_env`; "
            f"it went from {jtu.tree_structure(inner)} to {jtu.tree_structure(new_inner)}."
        ]
    before, after = (jtu.tree_leaves_with_path(state) for state in (inner, new_inner))
    return [
        f"`step_env` must keep shapes and dtypes of the state; `{jtu.keystr(path)}` went from "
        f"{old.dtype}{list(old.shape)} to {new.dtype}{list(new.shape)}."
        for (path, old), (_, new) in zip(before, after, strict=True)
        if (old.shape, old.dtype) != (new.shape, new.dtype)
    ]


def _run(
    env: AbstractGoalEnv, params: PyTree, num_envs: int, num_steps: int, seed: int
) -> tuple[GoalObservation, dict[str, Any]]:
    envs = VectorEnv(env, num_envs)
    action_space = envs.action_space(params)

    def step(carry: tuple[EnvState, GoalObservation], key: jax.Array):
        state, before = carry
        action_key, step_key = jr.split(key)
        action = jax.vmap(action_space.sample)(jr.split(action_key, num_envs))
        obs, new_state, reward, terminated, truncated, info = envs.step(step_key, state, action, params)
        trace = {
            "obs": obs,
            "final": info["final_observation"],
            "reward": reward,
            "changed": jnp.any(info["final_observation"].observation != before.observation, axis=1),
            "ended": terminated | truncated,
            "success": info["success"],
            "distance": info["distance"],
            "length": state.time + 1,
        }
        return (new_state, obs), trace

    @jax.jit
    def run(key: jax.Array):
        reset_key, steps_key = jr.split(key)
        obs, state = envs.reset(reset_key, params)
        _, trace = jax.lax.scan(step, (state, obs), jr.split(steps_key, num_steps))
        return obs, trace

    return jax.tree.map(np.asarray, run(jr.key(seed)))


def _check_run(env: AbstractGoalEnv, params: PyTree, first: GoalObservation, trace: dict[str, Any]) -> list[str]:
    problems = []
    space = env.observation_space(params)
    for name in _FIELDS:
        box = getattr(space, name)
        seen = np.concatenate(
            [getattr(part, name).reshape(-1, box.size) for part in (first, trace["obs"], trace["final"])]
        )
        bad = ~np.isfinite(seen)
        if bad.any():
            problems.append(
                f"`{name}` was not finite in {bad.any(axis=1).mean():.2%} of the steps under random actions."
            )
            continue
        low, high = box.widened()
        outside = (seen < low) | (seen > high)
        if outside.any():
            worst = int(outside.sum(axis=0).argmax())
            problems.append(
                f"`{name}` left its space in {outside.any(axis=1).mean():.2%} of the steps; number {worst} went from "
                f"{seen[:, worst].min():g} to {seen[:, worst].max():g}, its space is [{box.low[worst]:g}, "
                f"{box.high[worst]:g}]."
            )
    for name in ("reward", "distance"):
        if not np.isfinite(trace[name]).all():
            problems.append(f"`{name}` was not finite in {(~np.isfinite(trace[name])).mean():.2%} of the steps.")
    if not trace["changed"].any():
        problems.append("no random action changed the observation.")
    return problems
