r"""Soft actor-critic (Haarnoja et al. 2018) for commanded goals, with or without hindsight."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PyTree

from .._hypers import Hypers, lane_depth, lane_number
from .._typing import Key, Scalar
from ..losses import soft_value
from ..nn import BlockSpec, GaussianPolicy, TwinCritic
from ..nn._spec import PAPER_SPEC
from ..replay import AbstractReplay, Batch, CommandedGoals, Replay, TaskReward
from ._api import AbstractAgent, AgentSpec
from ._optim import AbstractOptimizer, Adam, polyak
from ._settings import active_blocks, check_settings, network_sizes
from ._soft import ActorMetrics, ALPHA_ADAM, AlphaMetrics, gaussian_action, soft_step
from ._td import bootstrap_targets, critic_step, pair_values, TDMetrics


class SACState(eqx.Module):
    """Everything that soft actor-critic learns, and its optimisers."""

    policy: GaussianPolicy
    """The actor."""
    critic: TwinCritic
    """Both critics."""
    target_critic: TwinCritic
    """Their running average, which targets are computed with."""
    log_alpha: Scalar
    """Logarithm of the entropy weight."""
    policy_opt: PyTree
    """State of the policy's Adam."""
    critic_opt: PyTree
    """State of the critics' Adam."""
    alpha_opt: PyTree
    """State of the entropy weight's Adam."""


class SACMetrics(eqx.Module):
    """Of one update."""

    critic: TDMetrics
    """Of the critics."""
    actor: ActorMetrics
    """Of the policy."""
    alpha: AlphaMetrics
    """Of the entropy weight."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SAC(AbstractAgent):
    r"""Soft actor-critic on goals, with residual networks; `SAC(replay=hindsight_replay())` is SAC with hindsight
    experience replay.

    One update on a batch of steps $(s, a, s', r)$ and goals $g$, all gradients at the parameters before it:

    1. both critics: $\frac12 \sum_k (Q_k(s, g, a) - y)^2$ with $y = r + \gamma (1 - \mathrm{terminated})
       (\min_k Q'_k(s', g, a') - \alpha \log \pi(a' | s', g))$ and a fresh $a' \sim \pi(\cdot | s', g)$;
    2. the policy: $\mathbb{E}[\alpha \log \pi(a | s, g) - \min_k Q_k(s, g, a)]$ with a fresh $a$;
    3. $\alpha$: $\alpha\, \mathbb{E}[-\log \pi - H^*]$;
    4. the targets: $Q' \leftarrow (1 - \tau) Q' + \tau Q$.

    Goals and rewards are those of the replay rule: by default commanded goals and the task's own reward; with hindsight 1
    where $s'$ counts as reaching $g$, else 0, for relabelled and commanded goals alike.

    ??? cite "Reference"
        ```bibtex
        @article{haarnoja2018soft,
          title={Soft Actor-Critic Algorithms and Applications},
          author={Haarnoja, Tuomas and Zhou, Aurick and Hartikainen, Kristian and Tucker, George and Ha, Sehoon and
                  Tan, Jie and Kumar, Vikash and Zhu, Henry and Gupta, Abhishek and Abbeel, Pieter and Levine, Sergey},
          journal={arXiv preprint arXiv:1812.05905},
          year={2018}
        }
        ```
    """

    depth: int = 4
    """Dense layers inside residual blocks, 4 a block, of actor and critics."""
    actor_depth: int | None = lane_depth()
    """Depth of the policy alone (by default `depth`)."""
    critic_depth: int | None = lane_depth()
    """Depth of both critics alone (by default `depth`)."""
    width: int = 256
    """Hidden size of all networks."""
    trunk: BlockSpec = PAPER_SPEC
    """What layers and blocks of all networks are made of."""
    replay: AbstractReplay = Replay(goals=CommandedGoals(), reward=TaskReward())
    """Which steps, goals and rewards are learnt from: by default all as they were."""
    optimizer: AbstractOptimizer = Adam()
    """How all networks are stepped; a step size of its own goes with each."""
    actor_lr: float = lane_number(1e-4)
    """Adam step size of the policy."""
    critic_lr: float = lane_number(1e-4)
    """Adam step size of both critics."""
    alpha_lr: float = lane_number(3e-4)
    """Adam step size of the entropy weight."""
    gamma: float = lane_number(0.99, high=1.0, open_low=True)
    """Discount of the return, in (0, 1]."""
    tau: float = lane_number(0.005, high=1.0)
    """Share of the online weights in the target networks' next weights."""
    target_entropy: float = lane_number(-0.5, low=-1e6, high=1e6)
    """Entropy that the policy is held to, in nats per action dimension."""
    remat: bool = False
    """Recompute activations in the backward pass: less memory, about a third more work."""

    def __post_init__(self):
        check_settings(self)

    def init(self, spec: AgentSpec, *, key: Key) -> SACState:
        """Fresh networks and optimisers; targets equal the critics, $\\alpha$ starts at 1."""
        policy_key, critic_key = jr.split(key)
        sizes = (spec.observation_size, spec.goal_size, spec.action_size)
        actor_sizes, critic_sizes = network_sizes(self)
        policy = GaussianPolicy(*sizes, key=policy_key, **actor_sizes)
        critic = TwinCritic(*sizes, key=critic_key, **critic_sizes)
        log_alpha = jnp.zeros(())
        return SACState(
            policy=policy,
            critic=critic,
            target_critic=critic,
            log_alpha=log_alpha,
            policy_opt=self.optimizer.init(policy),
            critic_opt=self.optimizer.init(critic),
            alpha_opt=ALPHA_ADAM.init(log_alpha),
        )

    def act(
        self,
        state: SACState,
        observation: Float[Array, " obs"],
        goal: Float[Array, " goal"],
        hypers: Hypers,
        *,
        key: Key,
        deterministic: bool = False,
    ) -> Float[Array, " action"]:
        r"""A sample of the policy, or $\tanh(\mu)$ if `deterministic`."""
        return gaussian_action(self, state.policy, observation, goal, hypers, None if deterministic else key)

    def value(
        self,
        state: SACState,
        observation: Float[Array, " obs"],
        goal: Float[Array, " goal"],
        hypers: Hypers,
        action: Float[Array, " action"] | None = None,
    ) -> Scalar:
        r"""$\min_k Q_k(s, g, a)$, by default at $a = \tanh(\mu(s, g))$."""
        if action is None:
            action = gaussian_action(self, state.policy, observation, goal, hypers)
        _, critic_active = active_blocks(self, hypers)
        return jnp.min(state.critic(observation, goal, action, critic_active))

    def update(self, state: SACState, batch: Batch, hypers: Hypers, *, key: Key) -> tuple[SACState, SACMetrics]:
        """One update of critics, policy, entropy weight and targets, as the class's docstring has it."""
        target_key, actor_key = jr.split(key)
        actor_active, critic_active = active_blocks(self, hypers)

        def next_value(observation: Float[Array, " obs"], goal: Float[Array, " goal"], key: Key) -> Scalar:
            action, log_prob = state.policy(observation, goal, actor_active).sample_and_log_prob(key=key)
            values = state.target_critic(observation, goal, action, critic_active)
            return soft_value(values, log_prob, jnp.exp(state.log_alpha))

        with jax.named_scope("deepcrl.critic"):
            target = bootstrap_targets(batch, next_value, hypers.gamma, key=target_key)
            critic, critic_opt, critic_metrics = critic_step(
                self.optimizer, state.critic, state.critic_opt, target, batch, critic_active, hypers.critic_lr
            )

        def q_fn(action: Float[Array, "batch action"]) -> Float[Array, " batch"]:
            return jnp.min(pair_values(state.critic, batch.observation, batch.goal, action, critic_active), axis=1)

        target_critic = polyak(state.target_critic, critic, hypers.tau)
        state, actor_metrics, alpha_metrics = soft_step(self, state, q_fn, batch, hypers, key=actor_key)
        state = dataclasses.replace(state, critic=critic, critic_opt=critic_opt, target_critic=target_critic)
        return state, SACMetrics(critic=critic_metrics, actor=actor_metrics, alpha=alpha_metrics)
