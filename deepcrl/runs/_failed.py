"""The step in which a simulation of a run broke down, to be taken once more."""

import dataclasses
from pathlib import Path

from jaxtyping import Array, Float, PyTree

from ..envs import AbstractGoalEnv
from ._open import open_run


@dataclasses.dataclass(frozen=True, eq=False)
class FailedStep:
    """What `env.step_env(key, inner, action, params)` breaks down on."""

    env: AbstractGoalEnv
    """The training environment."""
    params: PyTree
    """Its parameters."""
    inner: PyTree
    """Its `inner` state before the step: for a robot, `inner.physics` has positions and velocities."""
    action: Float[Array, " action"]
    """The action, in the environment's units."""
    count: int
    """How many steps of the lane had failed by then, this one included."""


def load_failed_step(run: str | Path, lane: int = 0) -> FailedStep:
    """The latest step of a lane whose simulation came to numbers that are not finite, from the run's newest checkpoint.

    ```python
    step = load_failed_step("runs/first", lane=2)
    after, reward, ended = step.env.step_env(jax.random.key(0), step.inner, step.action, step.params)
    ```

    **Arguments:**

    - `run`: the run's folder.
    - `lane`: which lane.

    **Raises:** `ValueError` for a folder without a run or checkpoint, for a lane that is not there, and for one of which no
    step failed.
    """
    opened = open_run(run)
    opened.check_lane(lane)
    failures, trainer = opened.parts(("failures",))[lane]["failures"], opened.sweep.trainer_of(lane)
    if not int(failures.count):
        raise ValueError(f"No step of lane {lane} of the run {run} failed, up to its newest checkpoint.")
    return FailedStep(
        env=trainer.env,
        params=trainer.env_params,
        inner=failures.inner,
        action=failures.action,
        count=int(failures.count),
    )
