"""What tests draw and build alike: hypothesis strategies (shapes from small sets: they compile), tiny runs, programs."""

import contextlib
import os
import re
import subprocess
import sys

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jaxtyping
from references import random_td_batch


STORES = ("_NAMED", "_WRITTEN")
STEPS = ("UniformSteps", "NewestSteps")
GOALS = ("FutureGoals", "FinalGoals", "RandomGoals", "MixedGoals")
NEIGHBOURS = ((1, 0), (-1, 0), (0, 1), (0, -1))

# The lanes of the vmapped program, by what each changes of the numbers of `tiny()`.
NUMBERS = {
    "base": {},
    "seed": {},
    "actor_depth": {"actor_depth": 4},
    "critic_depth": {"critic_depth": 4},
    "actor_lr": {"actor_lr": 1e-3},
    "critic_lr": {"critic_lr": 1e-3},
    "alpha_lr": {"alpha_lr": 1e-3},
    "gamma": {"gamma": 0.5},
    "target_entropy": {"target_entropy": -2.0},
    "logsumexp_penalty": {"logsumexp_penalty": 1.0},
    "shallow": {"actor_depth": 4, "critic_depth": 4},
}


@st.composite
def mazes(draw, heights=(3, 4, 6, 9), widths=(4, 5, 8)):
    """Texts of valid mazes: random walls, of which one connected part is kept, with random letters on it."""
    height, width = draw(st.sampled_from(heights)), draw(st.sampled_from(widths))
    inside = [(i, j) for i in range(1, height - 1) for j in range(1, width - 1)]
    start = draw(st.sampled_from(inside))
    goal = draw(st.sampled_from([cell for cell in _beside(start) if cell in inside]))
    free = {cell for cell in inside if draw(st.booleans())} | {start, goal}

    part, frontier = {start}, [start]
    while frontier:
        new = [cell for cell in _beside(frontier.pop()) if cell in free and cell not in part]
        part.update(new)
        frontier.extend(new)

    letters = {cell: draw(st.sampled_from("0RG")) for cell in sorted(part)} | {start: "R", goal: "G"}
    return "/".join("".join(letters.get((i, j), "1") for j in range(width)) for i in range(height))


def _beside(cell):
    return [(cell[0] + i, cell[1] + j) for i, j in NEIGHBOURS]


def tiny(*, agent=(), **changes):
    """A config of the smallest run that has everything: two epochs, depth 8, a buffer that overflows."""
    from deepcrl import Config
    from deepcrl.agents import CRL

    settings = {
        "env": "point_u_maze",
        "agent": CRL(**{"width": 8, "depth": 8, "repr_dim": 8, **dict(agent)}),
        "num_envs": 4,
        "rollout_length": 10,
        "episode_length": 20,
        "buffer_length": 40,
        "prefill_length": 20,
        "batch_size": 8,
        "eval_envs": 4,
        "total_env_steps": 400,
        "epochs": 2,
    }
    return Config(**{**settings, **changes})


@st.composite
def config_fields(draw):
    """Every field of a config that may run, but `agent`, of which `collector` by name; none is ever built."""
    collector = draw(st.none() | st.just("Random"))
    num_envs, rollout_length, epochs = (draw(st.integers(1, high)) for high in (8, 50, 10))
    episode_length = draw(st.none() | st.integers(1, 400))
    prefill_length = draw(st.integers(1, 200))
    buffer_length = draw(st.integers(max(episode_length or 300, rollout_length), 10_000))
    least = num_envs * rollout_length * (-(-prefill_length // rollout_length) + epochs)
    choices = {"starts": st.sampled_from(["R", "free"]), "goals": st.sampled_from(["free", (1, 1)])}
    options = st.fixed_dictionaries({}, optional=choices)
    return {
        "env": draw(st.sampled_from(["point_u_maze", "point_u4_maze", "point_big_maze"])),
        "collector": collector,
        "env_options": draw(options),
        "eval_env": draw(st.none() | st.just("point_u5_maze")),
        "eval_env_options": draw(st.none() | options),
        "total_env_steps": draw(st.integers(least, 10**9)),
        "epochs": epochs,
        "num_envs": num_envs,
        "rollout_length": rollout_length,
        "batch_size": draw(st.integers(2, max(2, num_envs * buffer_length))),
        "utd_ratio": draw(st.floats(0.51, 100.0)) / (num_envs * rollout_length),
        "buffer_length": buffer_length,
        "prefill_length": prefill_length,
        "episode_length": episode_length,
        "goal_reset": draw(st.sampled_from([None, "resample", "cached"])),
        "eval_envs": draw(st.integers(1, 200)),
        "collect_actions": draw(st.sampled_from(["stochastic", "deterministic", *([] if collector else [2, 16])])),
        "eval_actions": draw(st.sampled_from(["stochastic", "deterministic", 2, 16])),
        "normalize_observations": draw(st.booleans()),
        "lane_layout": draw(st.sampled_from([None, "batched", "serial"])),
        "debug_checks": draw(st.booleans()),
    }


@st.composite
def trunk_fields(draw):
    """Every field of a `BlockSpec` that may be, whose blocks hold 4 layers or fewer."""
    block, norm = (draw(st.sampled_from(names)) for names in (["paper", "simba", "bronet"], ["layer", "rms", "none"]))
    return {
        "block": block,
        "layers_per_block": draw(st.sampled_from([None, 1, 2, 4])) if block == "paper" else None,
        "norm": norm,
        "activation": draw(st.sampled_from(["swish", "relu", "gelu"])),
        "residual": draw(st.booleans()),
        "tied": draw(st.booleans()),
        "final_norm": draw(st.booleans()) and norm != "none",
        "products": draw(st.sampled_from(["float32", "bfloat16"])),
    }


def agent_fields():
    """Every field of `CRL`, of which `trunk`, `replay` and `optimizer` by fields of their own."""
    depths, sizes, rates = st.integers(1, 256).map(lambda blocks: 4 * blocks), st.integers(1, 2048), st.floats(0.0, 1.0)
    return st.fixed_dictionaries(
        {
            "depth": depths,
            "actor_depth": st.none() | depths,
            "critic_depth": st.none() | depths,
            "width": sizes,
            "trunk": trunk_fields(),
            "repr_dim": sizes.map(lambda size: 2 * size),
            "output_norm": st.sampled_from(["none", "layer", "unit"]),
            "energy": st.sampled_from(["norm", "l2_squared", "l1", "dot", "cosine", "mrn"]),
            "loss": st.sampled_from(["infonce", "backward_infonce", "symmetric_infonce", "binary_nce", "flatnce"]),
            "replay": st.fixed_dictionaries({"steps": st.sampled_from(STEPS), "goals": st.sampled_from(GOALS)}),
            "optimizer": st.fixed_dictionaries(
                {"clip_norm": st.none() | st.floats(0.1, 10.0), "weight_decay": rates, "warmup_updates": sizes}
            ),
            "actor_lr": rates,
            "critic_lr": rates,
            "alpha_lr": rates,
            "gamma": st.floats(0.0, 1.0, exclude_min=True),
            "target_entropy": st.floats(-1e6, 1e6),
            "logsumexp_penalty": rates,
            "random_goals": rates,
            "remat": st.booleans(),
        }
    )


def run_python(code, **kwargs):
    """By a plain interpreter: the type-checking hook of this test run is not in it. Returns what was printed."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, **kwargs)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextlib.contextmanager
def registering():
    """What is registered within is forgotten afterwards."""
    from deepcrl import _registry

    before = {store: {kind: dict(names) for kind, names in getattr(_registry, store).items()} for store in STORES}
    try:
        yield
    finally:
        for store, kinds in before.items():
            getattr(_registry, store).clear()
            getattr(_registry, store).update(kinds)


@contextlib.contextmanager
def unchecked():
    """Without the type checker of the test run: users meet the library's own errors."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def fresh_state(agent, observation_size, goal_size, action_size, seed=0):
    """Of an agent, by one program instead of the many small ones that the same would be outside `jit`."""
    from deepcrl.agents import AgentSpec

    spec = AgentSpec(observation_size=observation_size, goal_size=goal_size, action_size=action_size)
    return jax.jit(lambda key: agent.init(spec, key=key))(jax.random.key(seed))


def corner(tree, like):
    """What a smaller network holds of a larger one's arrays: `like` is of the smaller one."""
    leaves, structure = jax.tree.flatten(like)
    first = lambda leaf, shape: leaf[tuple(slice(0, size) for size in shape)]
    return structure.unflatten(first(a, b.shape) for a, b in zip(jax.tree.leaves(tree), leaves, strict=True))


def program_text(function, *args):
    """What a function computes, to be compared with others."""
    with unchecked():
        return re.sub("0x[0-9a-f]+", "", str(jax.make_jaxpr(function)(*args)))


def agent_text(agent):
    """What an agent computes, apart from the loop."""
    from deepcrl.agents import AgentSpec

    spec = AgentSpec(observation_size=4, goal_size=2, action_size=2)
    batch = random_td_batch(jax.random.key(1), 3, observation_size=4, goal_size=2, action_size=2)

    def everything(key, hypers):
        state = agent.init(spec, key=key)
        action = agent.act(state, jnp.ones(4), jnp.ones(2), hypers, key=key)
        return action, agent.update(state, batch, hypers, key=key)

    return program_text(everything, jax.random.key(0), agent.hypers())
