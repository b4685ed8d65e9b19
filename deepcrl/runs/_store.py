"""The checkpoints of one run: which are kept, and saving while training goes on."""

import dataclasses
import re
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from .._errors import check_flag, check_integer
from .._tree import tree_bytes
from ..train import States
from ._checkpoint import is_key, read_about, save_checkpoint
from ._files import remove_folder, remove_unfinished


_NAME = re.compile(r"epoch_(\d{6,})")
_MAX_COPY_BYTES = 2**30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Saving:
    """What a run saves of itself."""

    save_every: int = 1
    """Epochs from one checkpoint to the next; the last epoch is always saved. 0 saves nothing."""
    keep_last: int = 2
    """How many of the newest checkpoints are kept. The one with the highest success is kept besides."""
    save_buffer: bool = True
    """Whether the replay buffer is saved. Without it a run cannot be resumed, only evaluated and exported."""

    def __post_init__(self):
        check_integer("save_every", self.save_every, 0)
        check_integer("keep_last", self.keep_last, 1)
        check_flag("save_buffer", self.save_buffer)


class CheckpointStore:
    """The folder `checkpoints` of a run."""

    def __init__(self, path: str | Path, saving: Saving | None = None):
        """**Arguments:**

        - `path`: the folder; made at the first save.
        - `saving`: what is kept.
        """
        self.path = Path(path)
        self.saving = Saving() if saving is None else saving
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="deepcrl-save")
        self._pending: Future[None] | None = None

    def epochs(self) -> list[int]:
        """The epochs after which there is a checkpoint, oldest first."""
        matches = (_NAME.fullmatch(folder.name) for folder in self.path.glob("epoch_*"))
        return sorted(int(match[1]) for match in matches if match)

    def at(self, epoch: int) -> Path:
        """The checkpoint's folder."""
        return self.path / f"epoch_{epoch:06d}"

    def last(self) -> Path | None:
        """The newest checkpoint."""
        epochs = self.epochs()
        return self.at(epochs[-1]) if epochs else None

    def best(self) -> Path | None:
        """The checkpoint with the highest mean `success_any`; the newest of equals."""
        epochs = self.epochs()
        return self.at(max(epochs, key=lambda epoch: (self._score(epoch), epoch))) if epochs else None

    def save(self, states: States, epoch: int, score: float, about: Mapping[str, Any]) -> None:
        """Saves in the background what is copied now, so that the states may be donated when this returns.

        States too large to be copied are written before this returns. Raises what went wrong in the save before.
        """
        self.wait()
        if not self.saving.save_buffer:
            states = tuple(eqx.tree_at(lambda s: s.queue, state, None) for state in states)
        small = tree_bytes(states) <= _MAX_COPY_BYTES
        states = jax.tree.map(_copy, states) if small else states
        about = {**about, "epoch": epoch, "score": score}
        self._pending = self._worker.submit(self._write, states, epoch, about)
        if not small:
            self.wait()

    def wait(self) -> None:
        """Returns when what was to be saved is on disk. **Raises** what went wrong."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def _score(self, epoch: int) -> float:
        try:
            score = read_about(self.at(epoch)).get("score")
        except ValueError:
            return -1.0  # damaged: not the best, and soon not among the last
        return float(score) if isinstance(score, int | float) and score == score else -1.0

    def _write(self, states: States, epoch: int, about: Mapping[str, Any]) -> None:
        self.path.mkdir(exist_ok=True)
        remove_unfinished(self.path)
        save_checkpoint(self.at(epoch), states, about)
        best = self.best()
        for old in self.epochs()[: -self.saving.keep_last]:
            if self.at(old) != best:
                remove_folder(self.at(old))


def _copy(leaf: Any) -> Any:
    """On the host, and not a view of memory that the next epoch is given."""
    if is_key(leaf):
        return jr.wrap_key_data(jnp.array(jr.key_data(leaf)), impl=jr.key_impl(leaf))
    return np.array(leaf)
