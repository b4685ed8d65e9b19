"""How near an update of CRL comes to what plain matrix products reach on the same device."""

import dataclasses
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr

from .._errors import check_integer
from ..agents import AgentSpec, CRL
from ..replay import Batch
from ._cost import matmul_flops


_CHAIN = 32  # layers of the yardstick


@dataclasses.dataclass(frozen=True)
class LearnerSpeed:
    """Medians of one measurement."""

    depth: int
    """Of the critic; the actor's is 512 at most, as in the paper."""
    lanes: int
    """Side by side in one batch."""
    compile_seconds: float
    """Of the program of some updates."""
    updates_per_second: float
    """Of all lanes together."""
    flops_per_second: float
    """Of the updates' own matrix products. What rematerialisation repeats is not counted."""
    chain_flops_per_second: float
    """Of the yardstick: a chain of the products that one hidden layer needs for a batch (forward, gradient of the input,
    gradient of the weights)."""
    share: float
    """The one speed over the other: 1 would mean that norms, losses, sampling of actions and Adam cost nothing."""
    program_bytes: int
    """What the program needs, states and activations, as the compiler plans it."""


def time_learner(
    depth: int, *, width: int = 256, batch_size: int = 256, lanes: int = 1, layers: int = 160, repeats: int = 7
) -> LearnerSpeed:
    """Times updates of CRL at the sizes of the ant's observations, actions and goals.

    **Arguments:**

    - `depth`, `width`: of the networks. From depth 64 on, they rematerialise.
    - `batch_size`: of an update.
    - `lanes`: that learn side by side.
    - `layers`: one timed call takes about this many layers' worth of updates, at least 2 updates.
    - `repeats`: timed calls, of which the medians are returned.
    """
    for name, value in (("batch_size", batch_size), ("lanes", lanes), ("layers", layers), ("repeats", repeats)):
        check_integer(name, value)
    # The chain goes first: beside the gigabytes that deep networks hold it would run at half its speed.
    chain, chain_flops = _chain(width, batch_size)
    _seconds(chain)  # the first call allocates
    of_chain = statistics.median(chain_flops / _seconds(chain) for _ in range(repeats))
    started = time.perf_counter()
    updates, count, flops, held = _updates(depth, width, batch_size, lanes, layers)
    compiling = time.perf_counter() - started
    _seconds(updates)
    speed = statistics.median(lanes * count / _seconds(updates) for _ in range(repeats))
    return LearnerSpeed(
        depth=depth,
        lanes=lanes,
        compile_seconds=compiling,
        updates_per_second=speed,
        flops_per_second=flops * speed,
        chain_flops_per_second=of_chain,
        share=flops * speed / of_chain,
        program_bytes=held,
    )


def _updates(
    depth: int, width: int, batch_size: int, lanes: int, layers: int
) -> tuple[Callable[[], Any], int, float, int]:
    """A compiled scan of updates, how many they are, operations of one of one lane, and bytes that the program needs."""
    plain = CRL(critic_depth=depth, actor_depth=min(depth, 512), width=width)
    agent = dataclasses.replace(plain, remat=depth >= 64)
    spec, hypers = AgentSpec(observation_size=29, goal_size=2, action_size=8), agent.hypers()
    batch = Batch(
        observation=jr.normal(jr.key(1), (batch_size, spec.observation_size)),
        action=jr.uniform(jr.key(2), (batch_size, spec.action_size), minval=-1.0, maxval=1.0),
        goal=jr.normal(jr.key(3), (batch_size, spec.goal_size)),
    )
    count = max(2, layers // depth)

    def run(state: Any) -> Any:
        update = lambda state, key: (agent.update(state, batch, hypers, key=key)[0], None)
        return jax.lax.scan(update, state, jr.split(jr.key(4), count))[0]

    init = lambda key: agent.init(spec, key=key)
    # A single lane without an axis: batched products of one are not the products of a single run.
    many = lambda function: function if lanes == 1 else jax.vmap(function)
    state = jax.jit(many(init))(jr.key(0) if lanes == 1 else jr.split(jr.key(0), lanes))
    one = jax.eval_shape(init, jr.key(0))
    counted = jax.make_jaxpr(lambda state: plain.update(state, batch, hypers, key=jr.key(0))[1])(one)
    compiled = jax.jit(many(run)).lower(state).compile()
    plan = compiled.memory_analysis()
    held = sum(getattr(plan, f"{kind}_size_in_bytes", 0) for kind in ("argument", "output", "temp"))
    return lambda: compiled(state), count, matmul_flops(counted.jaxpr), held


def _chain(width: int, batch_size: int) -> tuple[Callable[[], Any], float]:
    """A compiled chain of layers' products, and its operations."""
    x, weights = jnp.ones((batch_size, width)), jr.normal(jr.key(0), (_CHAIN, width, width)) / width**0.5

    def layer(x: jax.Array, weight: jax.Array) -> tuple[jax.Array, jax.Array]:
        forward = x @ weight
        backward = forward @ weight.T
        return backward, backward.T @ x

    run = jax.jit(lambda x: jax.lax.scan(layer, x, weights)).lower(x).compile()
    return lambda: run(x), _CHAIN * 3 * 2.0 * batch_size * width**2


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - start
