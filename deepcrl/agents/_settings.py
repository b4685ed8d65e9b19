"""What agents read off their own configs: whether they are legal, the sizes of their networks."""

from typing import Any

from .._errors import check_flag, check_integer
from .._hypers import check_numbers, depth_fields, Hypers
from .._registry import as_part
from .._typing import IntScalar
from ..nn import blocks_of_depth, BlockSpec
from ..replay import AbstractReplay
from ._optim import AbstractOptimizer


_DEPTHS = ("actor_depth", "critic_depth")


def check_settings(agent: Any) -> None:
    """Raises unless the fields that all configs name alike are legal; puts objects in place of parts' names."""
    if not isinstance(agent.trunk, BlockSpec):
        raise TypeError(f"`trunk` must be a `BlockSpec`, such as `BlockSpec(norm='rms')`, got {agent.trunk!r}.")
    for name, kind in (("replay", AbstractReplay), ("optimizer", AbstractOptimizer)):
        object.__setattr__(agent, name, as_part(name, kind, getattr(agent, name)))
    for name, depth in {"depth": agent.depth, **depth_fields(agent)}.items():
        blocks_of_depth(depth, name, agent.trunk.block_depth)
    check_integer("width", agent.width)
    check_flag("remat", agent.remat)
    check_numbers(agent)


def network_sizes(agent: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the policy and the critic's networks are built with, apart from the sizes of the task."""
    built = {**dict.fromkeys(_DEPTHS, agent.depth), **depth_fields(agent)}
    blocks = (blocks_of_depth(built[name], layers_per_block=agent.trunk.block_depth) for name in _DEPTHS)
    shared = {"width": agent.width, "spec": agent.trunk, "remat": agent.remat}
    actor_sizes, critic_sizes = ({"num_blocks": number, **shared} for number in blocks)
    return actor_sizes, critic_sizes


def active_blocks(agent: Any, hypers: Hypers) -> tuple[IntScalar | None, IntScalar | None]:
    """How many blocks of the policy and of the critic's networks are switched on in a lane; `None` for all, unless its
    hypers say otherwise."""
    depths = (hypers.get(name) if hypers.get("depth") is None else hypers.depth for name in _DEPTHS)
    actor, critic = (None if depth is None else depth // agent.trunk.block_depth for depth in depths)
    return actor, critic
