"""How to cite what a config uses. The entries stand in the docstrings of the parts, and nowhere else."""

import dataclasses
import re
import textwrap
from collections.abc import Iterator
from typing import Any

from .agents import AbstractAgent
from .nn import ResidualTrunk, TwinCritic
from .train import Config


_ENTRY = re.compile(r"```bibtex\n(.*?)```", re.DOTALL)


def citation(config: Config) -> None:
    """Prints the BibTeX entries of exactly what a config uses: the algorithm, its losses and its networks.

    ```python
    deepcrl.citation(Config(env="point_u_maze"))
    ```

    **Raises:** `RuntimeError` where Python runs without docstrings (`python -OO`), which hold the entries.
    """
    agents = [agent for agent in (config.agent, config.collector) if agent is not None]
    parts = [part for agent in agents for part in _parts(agent)]
    if parts[0].__doc__ is None:
        raise RuntimeError("Citations stand in docstrings, which `python -OO` leaves out. Run without `-OO`.")
    entries = [textwrap.dedent(entry).strip() for part in parts for entry in _ENTRY.findall(part.__doc__ or "")]
    print("\n\n".join(dict.fromkeys(entries)))


def _parts(agent: AbstractAgent) -> Iterator[type[Any]]:
    """The classes that an agent's config uses."""
    yield from _held(agent)
    if agent.replay.keeps_next:
        yield TwinCritic
    if "trunk" in vars(agent):
        yield ResidualTrunk


def _held(part: Any) -> Iterator[type[Any]]:
    """The class of a part, and those of all parts that it holds."""
    yield type(part)
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if dataclasses.is_dataclass(value):
            yield from _held(value)
