"""How to cite what a config uses. The entries stand in the docstrings of the parts, and nowhere else."""

import re
import textwrap
from collections.abc import Iterator
from typing import Any

from .agents import AbstractAgent
from .losses import energy_from_name, loss_from_name
from .nn import ResidualTrunk, TwinCritic
from .replay import Replay
from .train import Config


_ENTRY = re.compile(r"```bibtex\n(.*?)```", re.DOTALL)


def citation(config: Config) -> None:
    """Prints the BibTeX entries of exactly what a config uses: the algorithm, its losses and its networks.

    ```python
    deepcrl.citation(Config(env="point_u_maze"))
    ```

    **Raises:** `RuntimeError` where Python runs without docstrings (`python -OO`), which hold the entries.
    """
    parts = list(_parts(config.agent))
    if parts[0].__doc__ is None:
        raise RuntimeError("Citations stand in docstrings, which `python -OO` leaves out. Run without `-OO`.")
    entries = [textwrap.dedent(entry).strip() for part in parts for entry in _ENTRY.findall(part.__doc__ or "")]
    print("\n\n".join(dict.fromkeys(entries)))


def _parts(agent: AbstractAgent) -> Iterator[type[Any]]:
    """The classes that an agent's config uses."""
    yield type(agent)
    settings = vars(agent)
    if "loss" in settings:
        yield type(loss_from_name(settings["loss"]))
        yield type(energy_from_name(settings["energy"]))
    if isinstance(agent.replay, Replay):
        yield type(agent.replay.goals)
    if agent.replay.keeps_next:
        yield TwinCritic
    if "trunk" in settings:
        yield type(settings["trunk"].block)
        yield ResidualTrunk
