"""How ants and humanoids behave before anything is learnt: how long they last and how far they get.

    python benchmarks/bodies.py ant humanoid humanoid_u_maze [--bodies paper gymnasium]

Random actions are uniform in every step. Initial policies are those of `CRL()` for 16 seeds, sampled, 16 episodes each.
Gaits are sines of one frequency per episode (0.5 to 1 Hz) with a phase and a strength (up to 1) per actuator, for 10 s.
Steps are medians of 256 episodes, distances the straight line from the start to where the torso was last.
"""

import argparse
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from deepcrl import Config, envs, make_train
from deepcrl.agents import CRL, Sample
from deepcrl.envs import VectorEnv


SEEDS, EACH = 16, 16
EPISODES = SEEDS * EACH
Act = Callable[..., jax.Array]  # act(time, obs, key=...) -> actions of all episodes


def play(env, params, act: Act, steps: int, key) -> tuple[np.ndarray, np.ndarray]:
    """Steps until each episode ended, and how far its torso got in m."""
    reset_key, step_key = jr.split(key)
    many = VectorEnv(env, EPISODES)
    obs, state = many.reset(reset_key, params)
    start = obs.observation[:, :2]

    def step(carry, time):
        obs, state, alive, place = carry
        act_key, env_key = jr.split(jr.fold_in(step_key, time))
        action = act(time, obs, key=act_key)
        obs, state, _, terminated, _, info = many.step(env_key, state, action, params)
        place = jnp.where(alive[:, None], info["final_observation"].observation[:, :2], place)
        return (obs, state, alive & ~terminated, place), alive

    run = jax.jit(lambda carry, times: jax.lax.scan(step, carry, times))
    carry, alive = (obs, state, jnp.ones(EPISODES, bool), start), []
    for first in range(0, steps, 100):
        carry, alive_now = run(carry, jnp.arange(first, first + 100))
        alive.append(alive_now)
        if not carry[2].any():
            break
    return np.minimum(np.concatenate(alive).sum(axis=0), steps), np.linalg.norm(carry[3] - start, axis=1)


def initial_policies(env) -> Act:
    """The untrained policies of some seeds, each in episodes of its own."""
    config = Config(
        env=env, agent=CRL(), num_envs=2, buffer_length=1001, prefill_length=1, batch_size=64, eval_actions=Sample()
    )
    trainer = make_train(config)
    states = eqx.filter(jax.vmap(trainer.init)(jnp.arange(SEEDS)), eqx.is_array)

    def act(time, obs, *, key):
        def lane(state, obs, goal, keys):
            return jax.vmap(lambda o, g, k: trainer.policy(state)(o, g, key=k))(obs, goal, keys)

        obs, goal, keys = (
            x.reshape(SEEDS, EACH, *x.shape[1:]) for x in (obs.observation, obs.desired_goal, jr.split(key, EPISODES))
        )
        return jax.vmap(lane)(states, obs, goal, keys).reshape(EPISODES, -1)

    return act


def report(task: str, options: dict[str, object], label: str) -> str:
    """One row of the table."""
    env, params = envs.make(task, episode_length=1001, **options)
    size = env.action_space(params).size
    second = 0.05 if task.startswith("ant") else env.robot.control_step  # pyright: ignore[reportAttributeAccessIssue]
    keys = jr.split(jr.key(7), 3)
    frequency = jr.uniform(keys[0], (EPISODES, 1), minval=0.5, maxval=1.0)
    phase, strength = (jr.uniform(k, (EPISODES, size)) for k in keys[1:])

    def uniform(time, obs, *, key):
        return jr.uniform(key, (EPISODES, size), minval=-1.0, maxval=1.0)

    def gait(time, obs, *, key):
        return strength * jnp.sin(2 * jnp.pi * (frequency * time * second + phase))

    random, _ = play(env, params, uniform, 1000, jr.key(0))
    initial, far = play(env, params, initial_policies(env), 1000, jr.key(1))
    steps = round(10.0 / second)
    survived, length = play(env, params, gait, steps, jr.key(2))
    return (
        f"| `{task}` | {label} | {np.median(random):.0f} | {np.median(initial):.0f}; {np.median(far):.2f} | "
        f"{np.mean(survived == steps):.2f}; {np.median(length):.2f} / {np.quantile(length, 0.9):.2f} |"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tasks", nargs="+")
    parser.add_argument("--bodies", nargs="+", default=["paper", "gymnasium"])
    parser.add_argument("--paper-observation", action="store_true", help="of humanoids")
    args = parser.parse_args()
    print("| task | body | random, steps | initial policy, steps; m | gaits: survive; median / p90 m |")
    print("|---|---|---|---|---|")
    for task in args.tasks:
        for body in args.bodies:
            extra = {"paper_observation": True} if args.paper_observation else {}
            print(report(task, {"body": body, **extra}, body), flush=True)
