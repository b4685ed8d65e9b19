"""Rules that tie the fields of a config together."""

from typing import Any

from ..envs import AbstractGoalEnv
from ..envs._registry import factory_for


def check_tasks(config: Any) -> None:
    """Raises unless both tasks are environments, or names that take the options that they are given."""
    for field, env, options in config.tasks():
        if isinstance(env, str):
            _check_options(config, field, env, options)
        elif not isinstance(env, AbstractGoalEnv):
            raise TypeError(f"`{field}` must be a task's name or an `AbstractGoalEnv`, got {env!r}.")
        elif options:
            raise ValueError(f"`{field}_options` go with a named task; give them to the environment object: {options}.")


def _check_options(config: Any, field: str, env: str, options: Any) -> None:
    try:
        factory_for(env, dict(options))
    except ValueError as error:
        if field == "env" or config.eval_env_options is not None:
            raise
        raise ValueError(
            f"{error} These are the options of the task that is trained on; give the other one its own: "
            "`eval_env_options`, such as {}."
        ) from error


def check_buffer(config: Any) -> None:
    """Raises `ValueError` unless the buffer holds a roll-out and a batch."""
    if config.buffer_length < config.rollout_length:
        raise ValueError(
            f"`buffer_length` must hold a roll-out of {config.rollout_length} steps, got {config.buffer_length}."
        )
    if config.batch_size > config.num_envs * config.buffer_length:
        raise ValueError(
            f"`batch_size` must not exceed what the buffer holds, `num_envs` x `buffer_length` = "
            f"{config.num_envs * config.buffer_length} transitions; got {config.batch_size}."
        )


def check_budget(config: Any) -> None:
    """Raises `ValueError` unless the budget holds the prefill and whole epochs with updates in them."""
    if config.total_env_steps >= 2**31:
        raise ValueError(f"`total_env_steps` must be below 2^31 = {2**31}, got {config.total_env_steps}.")
    if config.exact_updates_per_step < 0.5:
        raise ValueError(
            f"`utd_ratio` x `rollout_length` x `num_envs` = {config.exact_updates_per_step:g} updates per roll-out "
            f"must be at least 0.5. Raise `utd_ratio` (got {config.utd_ratio:g}) or make roll-outs longer."
        )
    if config.steps_per_epoch < 1:
        least = config.prefill_env_steps + config.epochs * config.env_steps_per_step
        raise ValueError(
            f"`total_env_steps` = {config.total_env_steps} does not hold the prefill of {config.prefill_env_steps} "
            f"steps and one roll-out of {config.env_steps_per_step} for each of {config.epochs} epochs. "
            f"Raise it to at least {least}, or lower `epochs`, `num_envs`, `rollout_length` or `prefill_length`."
        )


def check_episode(config: Any, episode_length: int | None) -> None:
    """Raises `ValueError` unless the buffer holds an episode of that many steps; `None` is not known yet."""
    if episode_length is not None and config.buffer_length < episode_length:
        raise ValueError(
            f"`buffer_length` (steps kept per environment) must hold an episode of {episode_length} steps, got "
            f"{config.buffer_length}. Raise it, or lower `episode_length`."
        )
