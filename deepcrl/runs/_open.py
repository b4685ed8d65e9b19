"""A run's folder, opened: what was planned, what was logged, what was learnt."""

import functools as ft
from pathlib import Path
from typing import Any, Literal

from ..train import Config, lane_state, Lanes, States, Sweep, Trainer, TrainState
from ._checkpoint import load_checkpoint, read_about
from ._plan import Plan, read_plan
from ._policy import load_policy, Policy, save_policy
from ._rows import read_rows, Row
from ._store import CheckpointStore


Epoch = int | Literal["last", "best"]


class Run:
    """What [`deepcrl.open_run`][] returns. Nothing in the folder is changed, and a run may be open while it goes on.

    Epochs are counted from 1. An `epoch` is one with a checkpoint: a number, `"last"`, or `"best"`, the one with the
    highest mean `success_any` of those that are kept.
    """

    def __init__(self, path: str | Path):
        """Reads `config.json` alone."""
        self.path = Path(path)
        self.plan: Plan = read_plan(path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}: {self.config.env}, {len(self.lanes)} lane(s), checkpoints {self.epochs})"

    @property
    def config(self) -> Config:
        """The settings that all lanes share where they are not given others."""
        return self.plan.config

    @property
    def lanes(self) -> Lanes:
        """What each lane is."""
        return self.plan.lanes

    @property
    def rows(self) -> list[Row]:
        """What was logged and measured so far: one row per epoch and lane."""
        return read_rows(self.path)

    @property
    def store(self) -> CheckpointStore:
        """Its checkpoints."""
        return CheckpointStore(self.path / "checkpoints", self.plan.saving)

    @property
    def epochs(self) -> list[int]:
        """The epochs with a checkpoint."""
        return self.store.epochs()

    @ft.cached_property
    def sweep(self) -> Sweep:
        """The programs of all lanes, with their trainers."""
        return Sweep(self.lanes)

    @property
    def trainer(self) -> Trainer:
        """The training function of the first lane; of another one: `run.sweep.trainer_of(lane)`."""
        return self.sweep.trainer_of(0)

    def states(self, epoch: Epoch = "last") -> States:
        """The states of all lanes after an epoch, group by group. **Raises** as `state`."""
        return load_checkpoint(self.checkpoint(epoch), self.sweep.shapes())

    def state(self, lane: int = 0, *, epoch: Epoch = "last") -> TrainState:
        """The state of one lane after an epoch.

        **Raises:** `ValueError` for an epoch without checkpoint, a lane that is not there, and a damaged checkpoint.
        """
        self.check_lane(lane)
        return lane_state(self.lanes, self.states(epoch), lane)

    def policy(self, lane: int | None = None, *, epoch: Epoch = "last") -> Policy:
        """The policy of a lane, by default of the one with the highest success after that epoch. **Raises** as `state`."""
        policies = self.policies(epoch)
        if lane is None:
            return max(policies, key=lambda policy: policy.success or 0.0)
        self.check_lane(lane)
        return policies[lane]

    def policies(self, epoch: Epoch = "last") -> list[Policy]:
        """The policies of all lanes. **Raises** as `state`."""
        learnt, number = self.parts(("agent", "hypers"), epoch), self._number(epoch)
        success = {row["lane"]: row["success_any"] for row in self.rows if row["epoch"] == number}
        return [
            Policy.of(
                self.sweep.trainer_of(place),
                lane.config,
                **learnt[place],
                lane=place,
                epoch=number,
                success=success.get(place),
            )
            for place, lane in enumerate(self.lanes)
        ]

    def parts(self, names: tuple[str, ...], epoch: Epoch = "last") -> list[dict[str, Any]]:
        """Fields of the state of every lane, by name; the rest of the checkpoint is not read. **Raises** as `state`."""
        wanted = tuple({name: getattr(state, name) for name in names} for state in self.sweep.shapes())
        loaded = load_checkpoint(self.checkpoint(epoch), wanted, partial=True)
        return [lane_state(self.lanes, loaded, place) for place in range(len(self.lanes))]

    def checkpoint(self, epoch: Epoch = "last") -> Path:
        """The folder of a checkpoint. **Raises** `ValueError` if it is not there."""
        store = self.store
        path = store.last() if epoch == "last" else store.best() if epoch == "best" else store.at(int(epoch))
        if path is None:
            raise ValueError(
                f"The run {self.path} has no checkpoint: it saved nothing, or its first epoch has not ended."
            )
        if not path.is_dir():
            raise ValueError(
                f"The run {self.path} has no checkpoint of epoch {epoch}; it has those of {store.epochs()}."
            )
        return path

    def check_lane(self, lane: int) -> None:
        """Raises `ValueError` for a lane that is not there."""
        if not 0 <= lane < len(self.lanes):
            raise ValueError(f"`lane` must be one of the run's {len(self.lanes)}, from 0; got {lane}.")

    def _number(self, epoch: Epoch) -> int:
        return int(read_about(self.checkpoint(epoch))["epoch"])


def open_run(path: str | Path) -> Run:
    """Opens the folder of a run.

    ```python
    run = deepcrl.open_run("runs/first")
    run.config, run.lanes.table(), run.rows  # pandas.DataFrame(run.rows)
    run.policy()(observation, goal)
    run.trainer.evaluate(run.state(lane=2, epoch="best"))
    ```

    **Raises:** `ValueError` for a folder without a run.
    """
    return Run(path)


def load_policies(path: str | Path, *, best: bool = True) -> list[Policy]:
    """The policies of all lanes of a run, or the one of a policy's folder.

    **Arguments:**

    - `path`: a run's folder or a policy's.
    - `best`: a run's checkpoint with the highest success, or else its newest.

    **Raises:** `ValueError` for a folder that has neither, or no checkpoint yet.
    """
    if (Path(path) / "config.json").is_file():
        return open_run(path).policies("best" if best else "last")
    if not (Path(path) / "checkpoint.json").is_file():
        raise ValueError(f"{path} holds neither a run nor a policy.")
    return [load_policy(path)]


def export_policy(run: str | Path, out: str | Path, *, best: bool = False, lane: int | None = None) -> Policy:
    """Writes one policy of a run to a small folder of its own, for [`deepcrl.load_policy`][].

    **Arguments:**

    - `run`: the run's folder.
    - `out`: the policy's folder, which must not be there yet.
    - `best`: the checkpoint with the highest success instead of the newest.
    - `lane`: which lane; by default the one with the highest success at that checkpoint.

    **Returns:** the policy.

    **Raises:** `ValueError` for a folder without a run or checkpoint, and for a lane that is not there.
    """
    policy = open_run(run).policy(lane, epoch="best" if best else "last")
    save_policy(policy, out)
    return policy
