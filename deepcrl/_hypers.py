"""Numbers that may differ from lane to lane of one program: marked where they are declared, collected here."""

import dataclasses
import math
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ._errors import check_number


class _Range(NamedTuple):
    low: float
    high: float
    open_low: bool


_NUMBER, _DEPTH = "lane_number", "lane_depth"


def lane_number(default: float, *, low: float = 0.0, high: float = math.inf, open_low: bool = False) -> Any:
    """Declares a number of an agent that may differ from lane to lane of one program.

    ```python
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class MyAgent(AbstractAgent):
        actor_lr: float = lane_number(3e-4)
        gamma: float = lane_number(0.99, high=1.0, open_low=True)
    ```

    The agent's methods find it in their `hypers`, as `hypers.actor_lr`: an array, never the field itself.

    **Arguments:**

    - `default`: of the field.
    - `low`, `high`: what it must lie between, ends included.
    - `open_low`: whether `low` itself is out.
    """
    return dataclasses.field(default=default, metadata={_NUMBER: _Range(low, high, open_low)})


def lane_depth(default: int | None = None) -> Any:
    """Declares a depth of an agent: `None` stands for the agent's field `depth`. Lanes of one vmapped program may be
    shallower than what is built; `hypers` then hold the depth that is switched on, by the field's name."""
    return dataclasses.field(default=default, metadata={_DEPTH: True})


class Hypers(eqx.Module):
    """The numbers of a lane by name, each an array, to be vmapped: `hypers.gamma`.

    An agent gives its own by `agent.hypers()`; which there are follows from its fields.
    """

    values: dict[str, Float[Array, "*lane"] | Int[Array, "*lane"]]

    def __init__(self, **values: Any):
        """**Arguments:** numbers or arrays; integers become int32 (depths), others float32."""
        is_integer = lambda value: jnp.issubdtype(jnp.result_type(value), jnp.integer)
        kinds = {name: jnp.int32 if is_integer(value) else jnp.float32 for name, value in values.items()}
        self.values = {name: jnp.asarray(value, kinds[name]) for name, value in values.items()}

    def __getattr__(self, name: str) -> Any:
        values = self.__dict__.get("values", {})
        if name not in values:
            raise AttributeError(f"These hypers have no number {name!r}. They have: {', '.join(values) or 'none'}.")
        return values[name]

    def get(self, name: str) -> Any:
        """The number of that name, or `None`."""
        return self.values.get(name)


def number_fields(part: Any) -> dict[str, float]:
    """The fields of a dataclass that [`deepcrl.agents.lane_number`][] declares, with their values."""
    return {field.name: getattr(part, field.name) for field in _marked(part, _NUMBER)}


def depth_fields(part: Any) -> dict[str, int]:
    """The fields that [`deepcrl.agents.lane_depth`][] declares, with the depths that are built."""
    values = {field.name: getattr(part, field.name) for field in _marked(part, _DEPTH)}
    return {name: part.depth if value is None else value for name, value in values.items()}


def with_default_numbers(part: Any) -> Any:
    """The same with all such numbers at their defaults: equal for two that differ in nothing else."""
    return dataclasses.replace(part, **{field.name: field.default for field in _marked(part, _NUMBER)})


def check_numbers(part: Any) -> None:
    """Raises unless all such numbers are in their ranges."""
    for field in _marked(part, _NUMBER):
        low, high, open_low = field.metadata[_NUMBER]
        check_number(field.name, getattr(part, field.name), low, high, open_low=open_low)


def _marked(part: Any, mark: str) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(part) if mark in field.metadata]
