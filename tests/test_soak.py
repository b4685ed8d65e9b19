"""A million random steps of every task on MuJoCo: nothing fails, nothing stops being finite, memory stays."""

import functools as ft
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import jax.random as jr
import pytest
from robots import mjx_options


NUM_ENVS, CALL = 256, 100  # environments, steps of each in one call
ROBOTS = ("ant", "humanoid", "arm", "reacher", "pusher", "cheetah")


def tasks() -> list[str]:
    from deepcrl import envs

    names = [name for name in envs.names() if name.startswith(ROBOTS) and "_eval" not in name and "_single" not in name]
    return sorted(set(names) - set(envs.templates()))


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def walk(name: str, engine: str, env_steps: int, num_envs: int) -> tuple[int, int, list[int]]:
    """Failed steps, observations with a number that is not finite, and resident bytes after each call."""
    from deepcrl import envs

    env, params = envs.make(name, engine=engine)
    many = envs.VectorEnv(env, num_envs)
    space = env.action_space(params)

    def step(state, key):
        action_key, step_key = jr.split(key)
        action = jax.vmap(space.sample)(jr.split(action_key, num_envs))
        obs, state, *_, info = many.step(step_key, state, action, params)
        bad = sum(
            jnp.sum(~jnp.isfinite(leaf).all(axis=-1)) for leaf in jax.tree.leaves((obs, info["final_observation"]))
        )
        return state, (jnp.sum(info["failed"]), bad)

    @ft.partial(jax.jit, donate_argnums=0, compiler_options=mjx_options() if engine == "mjx" else None)
    def call(state, key):
        state, counts = jax.lax.scan(step, state, jr.split(key, CALL))
        return state, jax.tree.map(jnp.sum, counts)

    _, state = jax.jit(many.reset)(jr.key(0), params)
    failed, bad, memory = 0, 0, []
    for number in range(-(-env_steps // (CALL * num_envs))):
        state, counts = call(state, jr.key(number))
        failed, bad = failed + int(counts[0]), bad + int(counts[1])
        memory.append(resident_bytes())
    return failed, bad, memory


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("name", tasks())
def test_a_million_steps(name):
    failed, bad, memory = walk(name, "native", 1_000_000, NUM_ENVS)
    assert (failed, bad) == (0, 0)
    assert memory[-1] - memory[len(memory) // 4] < 20e6  # the first quarter fills caches


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ant_u_maze", "humanoid", "arm_push_easy", "reacher", "pusher_easy", "cheetah"])
def test_twenty_thousand_steps_on_mjx(name):
    """With `NPROC=1` in the environment: MJX may wait for ever on a CPU with several threads."""
    assert walk(name, "mjx", 20_000, 50)[:2] == (0, 0)
