"""All of contrastive RL in one file, on the public parts of deepcrl: read it, copy it, change it.

    python recipes/single_file_crl.py --env point_u_maze --seed 0

trains on two CPU cores in a few minutes. The same settings in `deepcrl.make_train` compute the same numbers (a test
holds the two together); what this file leaves out is lanes, checks of settings, checkpoints and the other algorithms.
"""

import argparse
import time
import zlib
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax

from deepcrl import envs
from deepcrl.agents import Hypers
from deepcrl.eval import evaluate
from deepcrl.losses import InfoNCE, logsumexp_penalty, NormEnergy
from deepcrl.nn import GaussianPolicy, GoalEncoder, StateActionEncoder
from deepcrl.replay import FutureGoals, Memory, TrajectoryQueue, Transition


class Settings(NamedTuple):
    """The paper's numbers, at the size of a laptop."""

    env: str = "point_u_maze"
    total_env_steps: int = 600_000
    epochs: int = 12
    num_envs: int = 64
    rollout_length: int = 50  # steps of every environment between two rounds of updates
    updates_per_rollout: int = 80  # one per 40 environment steps
    batch_size: int = 256
    buffer_length: int = 4_000  # steps kept per environment
    prefill_length: int = 300  # steps of every environment before the first update
    eval_envs: int = 128
    depth: int = 4  # Dense layers inside residual blocks, 4 a block
    width: int = 64
    repr_dim: int = 64
    learning_rate: float = 3e-4  # of policy, critic and entropy weight
    gamma: float = 0.99
    target_entropy: float = -0.5  # nats per action dimension
    penalty: float = 0.1  # weight of the squared logsumexp


class Critic(eqx.Module):
    """The energy of phi(s, a) and psi(g) says how likely the policy is to come by g after taking a in s."""

    phi: StateActionEncoder
    psi: GoalEncoder


class Learner(NamedTuple):
    """What is learnt, and the three Adam states. The training state adds environments, buffer and counters."""

    policy: GaussianPolicy
    critic: Critic
    log_alpha: jax.Array
    policy_opt: optax.OptState
    critic_opt: optax.OptState
    alpha_opt: optax.OptState


class State(NamedTuple):
    """Everything that a run carries from step to step, but its root key."""

    learner: Learner
    env: envs.EnvState
    obs: envs.GoalObservation
    queue: object
    env_steps: jax.Array
    updates: jax.Array


def stream(key, name, step):
    """Every draw depends on the root key, a name and a counter alone: an interrupted run goes on as if it had not been."""
    return jr.fold_in(jr.fold_in(key, zlib.crc32(name.encode())), step)


def make_program(settings: Settings):
    """`init(seed)` and `epoch(state, root_key)`, both pure: jit them, vmap them."""
    env, params = envs.make(settings.env)
    space, action_size = env.observation_space(params), env.action_space(params).size
    obs_size, goal_size = space.observation.size, space.desired_goal.size
    queue = TrajectoryQueue(num_envs=settings.num_envs, length=settings.buffer_length)
    energy, infonce, adam = NormEnergy(), InfoNCE(), optax.adam(settings.learning_rate)
    relabel = FutureGoals(gamma=settings.gamma)
    size = {"width": settings.width, "num_blocks": settings.depth // 4}

    # -- learning --------------------------------------------------------------------------------------------------

    def init_learner(key) -> Learner:
        policy_key, phi_key, psi_key = jr.split(key, 3)
        policy = GaussianPolicy(obs_size, goal_size, action_size, key=policy_key, **size)
        critic = Critic(
            phi=StateActionEncoder(obs_size, action_size, settings.repr_dim, key=phi_key, **size),
            psi=GoalEncoder(goal_size, settings.repr_dim, key=psi_key, **size),
        )
        log_alpha = jnp.zeros(())
        return Learner(policy, critic, log_alpha, adam.init(policy), adam.init(critic), adam.init(log_alpha))

    def critic_loss(critic: Critic, observation, action, goal):
        phi, psi = jax.vmap(critic.phi)(observation, action), jax.vmap(critic.psi)(goal)
        logits = energy.pairwise(phi, psi)  # (anchor, goal): the diagonal holds the positives
        return infonce(logits) + settings.penalty * logsumexp_penalty(logits)

    def policy_loss(policy: GaussianPolicy, critic: Critic, log_alpha, observation, goal, key):
        def one(observation, goal, key):
            action, log_prob = policy(observation, goal).sample_and_log_prob(key=key)
            return energy(critic.phi(observation, action), critic.psi(goal)), log_prob

        value, log_prob = jax.vmap(one)(observation, goal, jr.split(key, len(goal)))
        return jnp.mean(jnp.exp(log_alpha) * log_prob - value), -jnp.mean(log_prob)

    def alpha_loss(log_alpha, entropy):
        return jnp.exp(log_alpha) * (entropy - settings.target_entropy * action_size)

    def apply(grads, opt_state, weights):
        updates, opt_state = adam.update(grads, opt_state)
        return optax.apply_updates(weights, updates), opt_state

    def update(learner: Learner, queue_state, key) -> tuple[Learner, jax.Array]:
        memory = Memory(queue, queue_state, lambda achieved, goal: env.success(achieved, goal, params))

        def draw(key):
            sample_key, goal_key = jr.split(key)
            sample = memory.sample(key=sample_key)
            goal = relabel(memory, sample, Hypers(), key=goal_key)
            return sample.transition.observation, sample.transition.action, goal

        batch_key, policy_key = jr.split(key)
        observation, action, goal = jax.vmap(draw)(jr.split(batch_key, settings.batch_size))
        # All three gradients are taken at the weights from before the update.
        policy_grads, entropy = jax.grad(policy_loss, has_aux=True)(
            learner.policy, learner.critic, learner.log_alpha, observation, goal, policy_key
        )
        alpha_grad = jax.grad(alpha_loss)(learner.log_alpha, entropy)
        loss, critic_grads = jax.value_and_grad(critic_loss)(learner.critic, observation, action, goal)
        policy, policy_opt = apply(policy_grads, learner.policy_opt, learner.policy)
        critic, critic_opt = apply(critic_grads, learner.critic_opt, learner.critic)
        log_alpha, alpha_opt = apply(alpha_grad, learner.alpha_opt, learner.log_alpha)
        return Learner(policy, critic, log_alpha, policy_opt, critic_opt, alpha_opt), loss

    # -- acting ----------------------------------------------------------------------------------------------------

    def collect(state: State, root_key) -> State:
        def act(observation, goal, key):
            return state.learner.policy(observation, goal).sample(key=key)

        def step(carry, key):
            env_state, obs = carry
            act_key, step_key = jr.split(key)
            action = jax.vmap(act)(obs.observation, obs.desired_goal, jr.split(act_key, settings.num_envs))
            step_keys = jr.split(step_key, settings.num_envs)
            new_obs, new_env_state, reward, terminated, truncated, _ = jax.vmap(env.step, (0, 0, 0, None))(
                step_keys, env_state, action, params
            )
            transition = Transition(
                observation=obs.observation,
                action=action,
                achieved_goal=obs.achieved_goal,
                desired_goal=obs.desired_goal,
                reward=reward,
                terminated=terminated,
                truncated=truncated,
                episode_id=env_state.episode_id,
            )
            return (new_env_state, new_obs), transition

        keys = jr.split(stream(root_key, "collect", state.env_steps), settings.rollout_length)
        (env_state, obs), rollout = jax.lax.scan(step, (state.env, state.obs), keys)
        steps = settings.num_envs * settings.rollout_length
        return state._replace(
            env=env_state, obs=obs, queue=queue.add(state.queue, rollout), env_steps=state.env_steps + steps
        )

    # -- the loop --------------------------------------------------------------------------------------------------

    def init(seed) -> tuple[State, jax.Array]:
        agent_key, env_key, root_key = jr.split(jr.key(seed), 3)
        obs, env_state = jax.vmap(env.reset, (0, None))(jr.split(env_key, settings.num_envs), params)
        example = Transition(
            observation=jnp.zeros(obs_size),
            action=jnp.zeros(action_size),
            achieved_goal=jnp.zeros(goal_size),
            desired_goal=jnp.zeros(goal_size),
            reward=jnp.zeros(()),
            terminated=jnp.zeros((), bool),
            truncated=jnp.zeros((), bool),
            episode_id=jnp.zeros((), jnp.int32),
        )
        zero = jnp.zeros((), jnp.int32)
        state = State(init_learner(agent_key), env_state, obs, queue.init(example), zero, zero)
        rollouts = settings.prefill_length // settings.rollout_length
        return jax.lax.scan(lambda s, _: (collect(s, root_key), None), state, length=rollouts)[0], root_key

    def epoch(state: State, root_key):
        def learn(state: State, _):
            key = stream(root_key, "update", state.updates)
            learner, loss = update(state.learner, state.queue, key)
            return state._replace(learner=learner, updates=state.updates + 1), loss

        def step(state: State, _):
            return jax.lax.scan(learn, collect(state, root_key), length=settings.updates_per_rollout)

        per_rollout = settings.num_envs * settings.rollout_length
        budget = settings.total_env_steps - settings.num_envs * settings.prefill_length
        state, losses = jax.lax.scan(step, state, length=budget // (settings.epochs * per_rollout))

        def best_action(observation, goal, *, key):
            del key
            return state.learner.policy(observation, goal).mode

        eval_key = stream(root_key, "evaluate", state.env_steps)
        return state, jnp.mean(losses), evaluate(env, params, best_action, settings.eval_envs, key=eval_key)

    return init, epoch


def main():
    """Trains one seed, a line per epoch."""
    parser = argparse.ArgumentParser(description="Contrastive RL in one file.")
    parser.add_argument("--seed", type=int, default=0)
    for name, default in Settings()._asdict().items():
        parser.add_argument("--" + name.replace("_", "-"), type=type(default), default=default)
    arguments = vars(parser.parse_args())
    seed, settings = arguments.pop("seed"), Settings(**arguments)
    init, epoch = make_program(settings)
    state, root_key = jax.jit(init)(seed)
    epoch = jax.jit(epoch, donate_argnums=0)
    start = time.perf_counter()
    for _ in range(settings.epochs):
        state, loss, evaluation = epoch(state, root_key)
        print(
            f"{int(state.env_steps):>9} env steps  {time.perf_counter() - start:6.1f} s  critic loss {loss:6.3f}  "
            f"success {evaluation.success_any:.2f}  distance {evaluation.distance:.2f} m"
        )


if __name__ == "__main__":
    main()
