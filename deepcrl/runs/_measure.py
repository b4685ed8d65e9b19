"""What policies achieve in fresh episodes."""

import dataclasses
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Float, PyTree

from .._errors import check_integer
from ..eval import Episodes, rollout_episodes
from ..train import Config, env_spec
from ..train._acting import acting_policy, Actions, check_actions
from ._policy import Policy


def evaluate_policies(
    policies: Sequence[Policy],
    *,
    env: str | None = None,
    episodes: int = 1000,
    seed: int = 0,
    actions: Actions | None = None,
) -> dict[str, Float[np.ndarray, "lane episode"]]:
    """What each of several policies of one run achieves in fresh episodes.

    **Arguments:**

    - `policies`: one or more, of one run.
    - `env`: the name of the task; by default the one that the run evaluates on.
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
    if isinstance(actions, int) and any(
        isinstance(x, jax.ShapeDtypeStruct) for x in jax.tree.leaves(policies[0].state)
    ):
        raise ValueError(
            f"`actions` = {actions} takes the best of {actions} samples by the critic, which an exported policy has not. "
            "Measure the run's folder, or choose 'stochastic' or 'deterministic'."
        )
    if env is not None:
        config = dataclasses.replace(config, eval_env=env)
    task, params = config.make_eval_env()
    if env_spec(task, params) != policies[0].spec:
        raise ValueError(f"The task has sizes {env_spec(task, params)}, the policy {policies[0].spec}.")

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
