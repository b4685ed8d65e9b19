"""Settings by the name of a task: those that we trained with on two cores, and the published ones.

The published ones are of Wang et al. 2025, table of hyper-parameters; budgets are the environment steps and evaluations of
the runs behind the paper's first figure.
"""

from collections.abc import Iterable
from typing import Any

from .._errors import did_you_mean
from ..agents import CRL, Sample
from ..envs import UnknownEnvironmentError


_MILLION = 1_000_000

# Environment steps in millions; there is one epoch per million.
_BUDGETS = {
    "humanoid": 100,
    "ant_big_maze": 100,
    "ant_u4_maze": 100,
    "arm_push_easy": 100,
    "arm_push_hard": 100,
    "arm_binpick_hard": 100,
    "ant_hardest_maze": 200,
    "ant_u5_maze": 400,
    "humanoid_u_maze": 400,
    "humanoid_big_maze": 400,
}
# Which tasks were evaluated in which other layout is documented for the big maze only; the rest is the likely reading.
_EVAL_ENVS = {
    f"{name}_maze": f"{name}_maze_eval" for name in ("ant_big", "ant_u4", "ant_u5", "humanoid_u", "humanoid_big")
}


def paper_settings(task: str, known_envs: Iterable[str]) -> dict[str, Any]:
    """The fields of a `Config` for the task of that name. **Raises** as `Config.paper`."""
    known_envs = list(known_envs)
    published = task.replace("point_", "ant_", 1) if task.startswith("point_") else task
    if published not in _BUDGETS:
        points = [name.replace("ant_", "point_", 1) for name in _BUDGETS if name.startswith("ant_")]
        raise ValueError(
            f"The paper has no settings for the task {task!r}. {did_you_mean(str(task), [*_BUDGETS, *points])}"
        )
    if task not in known_envs:
        raise UnknownEnvironmentError(
            f"{task!r} is a task of the paper, but this version has no environment of that name. "
            f"Environments: {', '.join(known_envs)}."
        )
    eval_env = _EVAL_ENVS.get(published)
    # The bare tasks keep the commanded goal out of a humanoid's observation; the published ones did not.
    options = {"paper_observation": True} if published.startswith("humanoid") else {}
    return {
        "env": task,
        "env_options": options,
        "eval_env_options": options if options and eval_env else None,
        "eval_env": eval_env and eval_env.replace("ant_", "point_", 1) if task.startswith("point_") else eval_env,
        "agent": CRL(),
        "total_env_steps": _BUDGETS[published] * _MILLION,
        "epochs": _BUDGETS[published],
        "num_envs": 512,
        "rollout_length": 62,
        "batch_size": 512,
        "utd_ratio": 800 / (512 * 62),
        "buffer_length": 10_000,
        "prefill_length": 1_000,
        "episode_length": 1_000,
        "goal_reset": "cached",
        "eval_envs": 128,
    }


# Tasks that are learnt by these settings on two cores, as the README's figures show.
_LAPTOP: dict[str, dict[str, Any]] = {
    "point_u_maze": {
        "agent": CRL(width=64, random_goals=0.5, loss="binary_nce", energy="dot", logsumexp_penalty=0.0),
        "eval_actions": Sample(),
        "total_env_steps": 1_000_000,
        "epochs": 10,
    },
}


def laptop_settings(task: str) -> dict[str, Any]:
    """The fields of a `Config` for the task of that name. **Raises** `ValueError` for a task that has none yet."""
    if task not in _LAPTOP:
        raise ValueError(
            f"There are no settings for a laptop of the task {task!r} yet. {did_you_mean(str(task), _LAPTOP)} Take the "
            "published ones (`paper`), or the bare defaults."
        )
    return {"env": task, **_LAPTOP[task]}
