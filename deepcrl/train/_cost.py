"""What a run costs, before it is run: sizes and arithmetic by tracing, times by a short measurement."""

import dataclasses
import math
import time
from typing import Any

import equinox as eqx
import jax
import jax.random as jr
import jax.tree_util as jtu

from .._tree import tree_bytes
from ..nn import parameter_count
from ._trainer import available_memory, Trainer


@dataclasses.dataclass(frozen=True)
class Cost:
    """Of a run of several lanes, each of the depth and width that its config builds. Nothing is compiled to find out."""

    lanes: int
    """Training runs in the program."""
    parameters: int
    """Numbers in one lane's networks, target networks included."""
    flops_per_update: float
    """Floating-point operations of the matrix products of one lane's update; a multiplication and an addition are two."""
    state_bytes: int
    """Of one lane's `TrainState`, replay buffer included."""
    buffer_bytes: int
    """Of one lane's replay buffer."""
    available_bytes: int
    """Of the first device."""

    @property
    def needed_bytes(self) -> int:
        """Of the states of all lanes."""
        return self.lanes * self.state_bytes


@dataclasses.dataclass(frozen=True)
class Speed:
    """Measured on one lane."""

    seconds_per_update: float
    """Sampling included."""
    seconds_per_env_step: float
    """Of one environment among all that are stepped together, the policy included."""
    activation_bytes: int
    """What one update needs besides the state, as the compiler plans it."""

    def seconds(self, trainer: Trainer, lanes: int) -> float:
        """Estimate of a run without its evaluations and compilation, if lanes share the device as single runs would:
        an upper bound where one lane does not fill it."""
        config = trainer.config
        lane = config.actual_updates * self.seconds_per_update + config.actual_env_steps * self.seconds_per_env_step
        return lanes * lane


def cost(trainer: Trainer, lanes: int = 1) -> Cost:
    """**Arguments:**

    - `trainer`: of the run, from [`deepcrl.make_train`][].
    - `lanes`: how many runs in one program.
    """
    state = trainer.lane_shapes()
    batch = jax.eval_shape(
        lambda *args: trainer._sample_batch(trainer.agent, *args), state.queue, state.hypers, state.key
    )
    update = lambda *args: trainer.agent.update(*args[:3], key=args[3])
    return Cost(
        lanes=lanes,
        parameters=_networks_size(state.agent),
        flops_per_update=matmul_flops(jax.make_jaxpr(update)(state.agent, batch, state.hypers, state.key).jaxpr),
        state_bytes=tree_bytes(state),
        buffer_bytes=trainer.buffer_bytes(),
        available_bytes=available_memory(),
    )


def measure(trainer: Trainer, seconds: float = 2.0) -> Speed:
    """Compiles one update and one roll-out, and times each for half of `seconds` (or once, if that takes longer)."""
    state = trainer.init(0)

    def update(agent: Any, key: Any) -> Any:
        batch_key, update_key = jr.split(key)
        batch = trainer._sample_batch(trainer.agent, state.queue, state.hypers, batch_key)
        return trainer.agent.update(agent, batch, state.hypers, key=update_key)[0]

    compiled = jax.jit(update).lower(state.agent, jr.key(0)).compile()
    collect = jax.jit(lambda state: trainer._collect(state)[0]).lower(state).compile()
    return Speed(
        seconds_per_update=_seconds_per_call(lambda agent: compiled(agent, jr.key(0)), state.agent, seconds / 2),
        seconds_per_env_step=_seconds_per_call(collect, state, seconds / 2) / trainer.config.env_steps_per_step,
        activation_bytes=getattr(compiled.memory_analysis(), "temp_size_in_bytes", 0),  # no backend has to plan
    )


def matmul_flops(jaxpr: Any) -> float:
    """Floating-point operations of the matrix products of a jaxpr, loops of known length counted through; of a
    conditional, the dearest branch."""
    total = 0.0
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "dot_general":
            (contracted, _), _ = eqn.params["dimension_numbers"]
            shape = eqn.invars[0].aval.shape
            total += 2.0 * math.prod(eqn.outvars[0].aval.shape) * math.prod(shape[axis] for axis in contracted)
            continue
        leaves = jtu.tree_leaves(list(eqn.params.values()), is_leaf=lambda leaf: hasattr(leaf, "eqns"))
        inner = [getattr(leaf, "jaxpr", leaf) for leaf in leaves if hasattr(leaf, "eqns")]
        counts = [matmul_flops(sub) for sub in inner]
        if eqn.primitive.name == "cond":
            total += max(counts, default=0.0)
        else:
            total += eqn.params.get("length", 1) * sum(counts) if eqn.primitive.name == "scan" else sum(counts)
    return total


def _networks_size(agent: Any) -> int:
    learner = getattr(agent, "learner", agent)
    return sum(parameter_count(node) for node in vars(learner).values() if isinstance(node, eqx.Module))


def _seconds_per_call(step: Any, state: Any, seconds: float) -> float:
    state = jax.block_until_ready(step(state))  # the first call allocates
    calls, start = 0, time.perf_counter()
    while calls == 0 or time.perf_counter() - start < seconds:
        state = jax.block_until_ready(step(state))
        calls += 1
    return (time.perf_counter() - start) / calls
