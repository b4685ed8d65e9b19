"""SAC beside rejax's, on one point task with a dense reward, measured by one evaluation.

    pip install rejax
    python benchmarks/sac_and_rejax.py --seeds 3

Both take as many environment steps, one update for each 16 of them, batches, step sizes, discount, averaging and target
entropy alike. Each keeps what is its own:

- rejax's networks are two layers of ReLU; here they are the paper's residual ones, of the same width;
- rejax takes the end of an episode by the clock for the task's, as clients of the five-tuple step must; here the value
  goes on behind it;
- rejax updates after every step of its environments, here 10 updates follow 10 steps;
- rejax fills its buffer within its first epoch, ours before it: rejax is measured 1600 steps (100 updates) earlier.

Environments of rejax are ours in the wrapper [`deepcrl.envs.to_gymnax`][].
"""

import argparse
import json
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from deepcrl import Config, make_train
from deepcrl.agents import SAC, Sample
from deepcrl.envs import to_gymnax
from deepcrl.eval import EvalMetrics, evaluate


NUM_ENVS = 16
EPISODE_LENGTH = 100
LEARNING_RATE = 3e-4
GAMMA, TAU = 0.95, 0.005


def our_config(env_steps: int, epochs: int, width: int, batch_size: int) -> Config:
    """One update per 16 environment steps, after a prefill of one episode of each environment."""
    learning_rates: dict[str, Any] = {"actor_lr": LEARNING_RATE, "critic_lr": LEARNING_RATE, "alpha_lr": LEARNING_RATE}
    prefill = NUM_ENVS * EPISODE_LENGTH
    return Config(
        env="point_room",
        env_options={"reward": "dense"},
        agent=SAC(width=width, gamma=GAMMA, tau=TAU, target_entropy=-1.0, **learning_rates),
        total_env_steps=prefill + env_steps,
        epochs=epochs,
        num_envs=NUM_ENVS,
        rollout_length=10,
        batch_size=batch_size,
        utd_ratio=1 / NUM_ENVS,
        episode_length=EPISODE_LENGTH,
        prefill_length=EPISODE_LENGTH,
        eval_actions=Sample(),  # as rejax evaluates
    )


def train_ours(config: Config, seeds: Any) -> EvalMetrics:
    """Metrics, leaves `lane epoch`."""
    return jax.vmap(make_train(config))(seeds).metrics.evaluation


def train_rejax(config: Config, seeds: Any) -> EvalMetrics:
    """The same of rejax's SAC, with the sizes of our config."""
    import rejax  # pyright: ignore[reportMissingImports]

    env, params = config.make_env()

    def measure(algorithm: Any, state: Any, key: Any) -> EvalMetrics:
        act = algorithm.make_act(state)
        policy = lambda observation, goal, *, key: act(jnp.concatenate([observation, goal]), key)
        return evaluate(env, params, policy, config.eval_envs, key=key)

    agent: Any = config.agent
    algorithm = rejax.SAC.create(
        env=to_gymnax(env, params, legacy=True),
        agent_kwargs={},
        hidden_layer_sizes=(agent.width, agent.width),
        num_envs=config.num_envs,
        num_epochs=1,
        buffer_size=config.total_env_steps,
        fill_buffer=config.prefill_env_steps,
        batch_size=config.batch_size,
        learning_rate=LEARNING_RATE,
        gamma=GAMMA,
        polyak=1.0 - TAU,
        total_timesteps=config.epochs * config.env_steps_per_epoch,
        eval_freq=config.env_steps_per_epoch,
        skip_initial_evaluation=True,
    ).replace(eval_callback=measure)
    keys = jax.vmap(jax.random.key)(seeds)
    return jax.jit(jax.vmap(lambda key: algorithm.train(key)[1]))(keys)


def main() -> None:
    """Prints one table, and JSON with `--json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--env-steps", type=int, default=80_000, help="after the prefill")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    config = our_config(arguments.env_steps, arguments.epochs, arguments.width, arguments.batch_size)
    seeds, rows = jnp.arange(arguments.seeds), []
    for name, train in (("deepcrl", train_ours), ("rejax", train_rejax)):
        before = time.perf_counter()
        metrics = jax.block_until_ready(train(config, seeds))
        seconds = time.perf_counter() - before
        for metric in ("success_any", "success_end", "distance"):
            curves = np.asarray(getattr(metrics, metric)).round(3).tolist()
            rows.append({"sac": name, "metric": metric, "curves": curves, "seconds": round(seconds, 1)})
    if arguments.json:
        print(json.dumps({"env_steps_per_epoch": config.env_steps_per_epoch, "rows": rows}))
        return
    steps = [config.env_steps_per_epoch * (epoch + 1) for epoch in range(config.epochs)]
    print(f"{'SAC':8} {'metric':12} seed " + " ".join(f"{step:>8}" for step in steps))
    for row in rows:
        for seed, curve in enumerate(row["curves"]):
            print(f"{row['sac']:8} {row['metric']:12} {seed:4} " + " ".join(f"{value:8.3f}" for value in curve))


if __name__ == "__main__":
    main()
