"""The step in which a simulation of a run broke down, to be taken once more."""

import dataclasses
from pathlib import Path

from jaxtyping import Array, Float, PyTree

from ..envs import AbstractGoalEnv
from ..train import lane_state, Sweep
from ._checkpoint import load_checkpoint
from ._folder import RunFolder


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
    folder = RunFolder.of_run(run)
    plan, checkpoint = folder.read_plan(), folder.store().last()
    if checkpoint is None:
        raise ValueError(f"The run {run} has no checkpoint: it saved nothing, or its first epoch has not ended.")
    if not 0 <= lane < len(plan.lanes):
        raise ValueError(f"`lane` must be one of the run's {len(plan.lanes)}, from 0; got {lane}.")
    programs = Sweep(plan.lanes)
    wanted = tuple({"failures": state.failures} for state in programs.shapes())
    loaded = load_checkpoint(checkpoint, wanted, partial=True)
    failures, trainer = lane_state(plan.lanes, loaded, lane)["failures"], programs.trainer_of(lane)
    if not int(failures.count):
        raise ValueError(f"No step of lane {lane} of the run {run} failed, up to its newest checkpoint.")
    return FailedStep(
        env=trainer.env,
        params=trainer.env_params,
        inner=failures.inner,
        action=failures.action,
        count=int(failures.count),
    )
