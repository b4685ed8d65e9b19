"""What policies achieve in fresh episodes."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Float, PyTree

from .._errors import check_integer
from ..envs import AbstractGoalEnv
from ..eval import Episodes, rollout_episodes
from ..train import Config, env_spec, EnvOptions
from ..train._acting import acting_policy, Actions, check_actions
from ._policy import Policy


def task_of(
    policy: Policy, env: str | None = None, env_options: EnvOptions | Mapping[str, Any] | None = None
) -> tuple[AbstractGoalEnv, PyTree]:
    """The task that a policy is measured or filmed in, and its parameters.

    It is what the run evaluates on, and what it was trained with, episode length included, unless said otherwise.

    **Arguments:**

    - `policy`: of a run.
    - `env`: the name of another task.
    - `env_options`: other options of the task.

    **Raises:** `ValueError` for a task of other sizes, or one that does not take the options.
    """
    config = Config.from_dict(policy.config)
    given = {"eval_env": env, "eval_env_options": env_options}
    config = dataclasses.replace(config, **{name: value for name, value in given.items() if value is not None})
    task, params = config.make_eval_env()
    if (sizes := env_spec(task, params)) != policy.spec:
        raise ValueError(
            f"A policy of {policy.env} cannot act in {env or policy.eval_env}: it is for {policy.spec}, the task has "
            f"{sizes}. Name a task of the same sizes (`env`), or a policy that was trained on this one."
        )
    return task, params


def evaluate_policies(
    policies: Sequence[Policy],
    *,
    env: str | None = None,
    env_options: EnvOptions | Mapping[str, Any] | None = None,
    episodes: int = 1000,
    seed: int = 0,
    actions: Actions | None = None,
) -> dict[str, Float[np.ndarray, "lane episode"]]:
    """What each of several policies of one run achieves in fresh episodes.

    **Arguments:**

    - `policies`: one or more, of one run.
    - `env`, `env_options`: the task and its options, as for [`deepcrl.runs.task_of`][].
    - `episodes`: of each policy, side by side.
    - `seed`: of starts, goals and chance; the same for all policies.
    - `actions`: `"stochastic"`, `"deterministic"`, or the best by the critic of that many samples; by default as the
        run's own evaluations act, its `eval_actions`.

    **Returns:** per episode, `success_any` and `success_end`, 0 or 1, and `time_at_goal` in steps.

    **Raises:** `ValueError` for a task of other sizes, and for samples to choose from where there is no critic: an
    exported policy has none.
    """
    check_integer("episodes", episodes)
    config = Config.from_dict(policies[0].config)
    actions = config.eval_actions if actions is None else actions
    check_actions("actions", actions, policies[0].agent)
    if isinstance(actions, int) and not policies[0].has_critic:
        raise ValueError(
            f"`actions` = {actions} takes the best of {actions} samples by the critic, which an exported policy has not. "
            "Measure the run's folder, or choose 'stochastic' or 'deterministic'."
        )
    task, params = task_of(policies[0], env, env_options)

    @jax.jit
    def outcomes(arrays: PyTree) -> Episodes:
        def lane(arrays: PyTree) -> Episodes:
            state, hypers = eqx.combine(arrays, rest)
            act = acting_policy(policies[0].agent, state, hypers, actions)
            return rollout_episodes(task, params, act, episodes, key=jr.key(seed), keep_obs=False)

        return jax.vmap(lane)(arrays)

    parts, rests = zip(
        *[eqx.partition((policy.state, policy.hypers), eqx.is_array) for policy in policies], strict=True
    )
    rest = rests[0]
    episodes_of_lanes = outcomes(jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts))
    metrics = jax.vmap(Episodes.per_episode)(episodes_of_lanes)
    return {name: np.asarray(getattr(metrics, name)) for name in ("success_any", "success_end", "time_at_goal")}
