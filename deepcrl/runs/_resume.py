"""What makes a stopped run go on as if it had not stopped: the same config, the newest checkpoint, whole epochs."""

import dataclasses
from typing import Any

from ..train import Config, States
from ._checkpoint import load_checkpoint, read_about
from ._plan import Plan
from ._store import CheckpointStore


# Fields that may differ between a checkpoint and the run that goes on from it: they change no number of any epoch, as
# long as an epoch takes as many steps as before, which is checked apart.
_SAFE = ("total_env_steps", "epochs", "debug_checks")


def extended(config: Config, total_env_steps: int) -> Config:
    """The config of a longer run whose first epochs are those of `config`.

    **Raises:** `ValueError` unless the new budget holds at least one more epoch.
    """
    epochs = (total_env_steps - config.prefill_env_steps) // config.env_steps_per_epoch
    if epochs <= config.epochs:
        least = config.actual_env_steps + config.env_steps_per_epoch
        raise ValueError(
            f"`total_env_steps` = {total_env_steps} does not hold one more epoch of {config.env_steps_per_epoch} steps: "
            f"the run has {config.actual_env_steps} in {config.epochs} epochs. Raise it to at least {least}."
        )
    # Rounded down to whole epochs: what is left over would make each of them longer.
    total = config.prefill_env_steps + epochs * config.env_steps_per_epoch
    return dataclasses.replace(config, total_env_steps=total, epochs=epochs)


def restore_states(store: CheckpointStore, plan: Plan, template: States) -> tuple[int, States] | None:
    """The newest checkpoint's epoch and states, or `None` if there is no checkpoint."""
    path = store.last()
    if path is None:
        return None
    about = read_about(path)
    try:
        saved, lanes, epoch = dict(about["config"]), list(about["lanes"]), int(about["epoch"])
        then = Config.from_dict(saved)  # a field that an older version did not have yet is at its default
    except (KeyError, TypeError) as error:
        raise ValueError(f"The checkpoint {path} is not of a run: {type(error).__name__}: {error}.") from error
    check_same(then.to_dict(), plan.config.to_dict())
    if lanes != plan.to_dict()["lanes"]:
        raise ValueError(f"`lanes` of the run were {lanes}, now they are {plan.to_dict()['lanes']}. Put them back.")
    if plan.config.steps_per_epoch != then.steps_per_epoch or plan.config.epochs < epoch:
        raise ValueError(
            f"`total_env_steps` and `epochs` must give epochs of {then.steps_per_epoch} roll-outs and at least {epoch} of "
            f"them, as the checkpoint has; now they give {plan.config.steps_per_epoch} and {plan.config.epochs}. Put them "
            "back, and raise the budget by `deepcrl resume RUN --total-env-steps N`."
        )
    return epoch, load_checkpoint(path, template)


def check_same(saved: dict[str, Any], now: dict[str, Any], prefix: str = "") -> None:
    """Raises `ValueError` with the name of the first field that differs and may not."""
    for name in [*saved, *(name for name in now if name not in saved)]:
        field, before, after = prefix + name, saved.get(name), now.get(name)
        if before == after or field in _SAFE:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            check_same(before, after, f"{field}.")
        raise ValueError(
            f"`{field}` was {before!r} when the checkpoint was made and is {after!r} in `config.json` now, so the run "
            "would not go on as it began. Put it back, or train anew in another folder."
        )
