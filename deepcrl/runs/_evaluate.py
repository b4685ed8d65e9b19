"""What policies achieve in fresh episodes."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax.random as jr
import numpy as np
from jaxtyping import Float, PyTree

from .._errors import check_integer
from ..agents import AbstractActing, AbstractAgent, Hypers
from ..agents._acting import as_acting, check_acting
from ..envs import AbstractGoalEnv
from ..eval import EvalMetrics, rollout_episodes
from ..train import Config, env_spec, EnvOptions
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
    actions: AbstractActing | str | int | None = None,
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
    acting = config.eval_actions if actions is None else as_acting("actions", actions)
    check_acting("actions", acting, policies[0].agent)
    if acting.needs_critic and not policies[0].has_critic:
        raise ValueError(
            f"`actions` = {acting} chooses by the critic, which an exported policy has not. "
            "Measure the run's folder, or choose 'stochastic' or 'deterministic'."
        )
    task, params = task_of(policies[0], env, env_options)

    @eqx.filter_jit
    def outcomes(agent: AbstractAgent, state: PyTree, hypers: Hypers) -> EvalMetrics:
        act = acting.policy(agent, state, hypers)
        return rollout_episodes(task, params, act, episodes, key=jr.key(seed), keep_obs=False).per_episode()

    metrics = [outcomes(policy.agent, policy.state, policy.hypers) for policy in policies]
    names = ("success_any", "success_end", "time_at_goal")
    return {name: np.stack([np.asarray(getattr(lane, name)) for lane in metrics]) for name in names}
