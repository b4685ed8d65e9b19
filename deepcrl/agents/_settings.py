"""What agents read off their own configs: whether they are legal, their numbers as arrays, the sizes of their networks."""

import math
from typing import Any

from .._errors import check_choice, check_flag, check_integer, check_number
from .._typing import IntScalar
from ..nn import blocks_of_depth, Trunk
from ._api import Hypers


_DEPTHS = ("actor_depth", "critic_depth")
_RANGES = {"gamma": (0.0, 1.0), "tau": (0.0, 1.0), "target_entropy": (-1e6, 1e6)}


def check_settings(agent: Any, hindsight: tuple[str, ...]) -> None:
    """Raises unless the fields that all configs name alike are legal, given the kinds of `hindsight` that there are."""
    if not isinstance(agent.trunk, Trunk):
        raise TypeError(f"`trunk` must be a `Trunk`, such as `Trunk(norm='rms')`, got {agent.trunk!r}.")
    for name in ("depth", *_DEPTHS):
        depth = getattr(agent, name, None)
        if depth is not None:
            blocks_of_depth(depth, name, agent.trunk.block_depth)
    check_integer("width", agent.width)
    check_flag("remat", agent.remat)
    check_choice("hindsight", agent.hindsight, hindsight)
    for name, value in _numbers(agent).items():
        low, high = _RANGES.get(name, (0.0, math.inf))
        check_number(name, value, low, high, open_low=name == "gamma")


def own_hypers(agent: Any) -> Hypers:
    """The numbers of an agent's config as arrays: every field that [`deepcrl.agents.Hypers`][] has too, but `width`."""
    return Hypers.of(**dict(zip(_DEPTHS, depths(agent), strict=True)), **_numbers(agent))


def _numbers(agent: Any) -> dict[str, float]:
    names = Hypers.__dataclass_fields__.keys() - {*_DEPTHS, "width"}
    return {name: value for name, value in vars(agent).items() if name in names}


def depths(agent: Any) -> tuple[int, int]:
    """Dense layers of the policy and of the critic that a config builds: `depth`, where it does not say otherwise."""
    actor_depth, critic_depth = (getattr(agent, name, None) or agent.depth for name in _DEPTHS)
    return actor_depth, critic_depth


def network_sizes(agent: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the policy and the critic's networks are built with, apart from the sizes of the task."""
    blocks = (blocks_of_depth(depth, layers_per_block=agent.trunk.block_depth) for depth in depths(agent))
    shared = {"width": agent.width, "trunk": agent.trunk, "remat": agent.remat}
    actor_sizes, critic_sizes = ({"num_blocks": number, **shared} for number in blocks)
    return actor_sizes, critic_sizes


def active_blocks(agent: Any, hypers: Hypers) -> tuple[IntScalar, IntScalar]:
    """How many blocks of the policy and of the critic's networks are switched on in a lane."""
    actor_blocks, critic_blocks = (getattr(hypers, name) // agent.trunk.block_depth for name in _DEPTHS)
    return actor_blocks, critic_blocks
