r"""TD3 (Fujimoto et al. 2018) for commanded goals, with or without hindsight."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PyTree

from .._errors import check_integer, check_number
from .._hypers import Hypers, lane_depth, lane_number
from .._tree import tree_norm
from .._typing import IntScalar, Key, Scalar
from ..losses import smoothed_action
from ..nn import BlockSpec, DeterministicPolicy, TwinCritic
from ..nn._spec import PAPER_SPEC
from ..replay import AbstractReplay, Batch, CommandedGoals, Replay, TaskReward
from ._api import AbstractAgent, AgentSpec
from ._optim import AbstractOptimizer, Adam, polyak
from ._settings import active_blocks, check_settings, network_sizes
from ._td import bootstrap_targets, critic_step, TDMetrics


class PolicyMetrics(eqx.Module):
    """Of the latest update of a deterministic policy."""

    loss: Scalar
    """Minus the first critic's mean value of the policy's actions."""
    grad_norm: Scalar
    """Euclidean norm of the gradient."""


class TD3State(eqx.Module):
    """Everything that TD3 learns, and its optimisers."""

    policy: DeterministicPolicy
    """The actor."""
    critic: TwinCritic
    """Both critics."""
    target_policy: DeterministicPolicy
    """The actor's running average."""
    target_critic: TwinCritic
    """The critics' running average."""
    policy_opt: PyTree
    """State of the policy's Adam."""
    critic_opt: PyTree
    """State of the critics' Adam."""
    num_updates: IntScalar
    """Updates of the critics so far: the clock of the policy's delay."""
    actor_metrics: PolicyMetrics
    """Of the policy's latest update; zeros before the first."""


class TD3Metrics(eqx.Module):
    """Of one update."""

    critic: TDMetrics
    """Of the critics."""
    actor: PolicyMetrics
    """Of the policy: of this update, or of the latest one that touched it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TD3(AbstractAgent):
    r"""Twin delayed deep deterministic policy gradients on goals, with residual networks;
    `TD3(replay=hindsight_replay())` is TD3 with hindsight experience replay.

    One update on a batch of steps $(s, a, s', r)$ and goals $g$:

    1. both critics: $\frac12 \sum_k (Q_k(s, g, a) - y)^2$ with
       $y = r + \gamma (1 - \mathrm{terminated}) \min_k Q'_k(s', g, \tilde a)$ and the smoothed action
       $\tilde a = \mathrm{clip}(\mu'(s', g) + \mathrm{clip}(\sigma \epsilon, -c, c), -1, 1)$;
    2. at every `policy_delay`-th update, by the new critics, the policy: $-\mathbb{E}[Q_1(s, g, \mu(s, g))]$, and then
       all targets: $\theta' \leftarrow (1 - \tau)\, \theta' + \tau\, \theta$.

    Rewards are those of [`deepcrl.agents.SAC`][].

    ??? cite "Reference"
        ```bibtex
        @inproceedings{fujimoto2018addressing,
          title={Addressing Function Approximation Error in Actor-Critic Methods},
          author={Fujimoto, Scott and van Hoof, Herke and Meger, David},
          booktitle={International Conference on Machine Learning},
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
    actor_lr: float = lane_number(3e-4)
    """Adam step size of the policy."""
    critic_lr: float = lane_number(3e-4)
    """Adam step size of both critics."""
    gamma: float = lane_number(0.99, high=1.0, open_low=True)
    """Discount of the return, in (0, 1]."""
    tau: float = lane_number(0.005, high=1.0)
    """Share of the online weights in the target networks' next weights."""
    policy_delay: int = 2
    """Updates of the critics for each of the policy and the targets."""
    exploration_noise: float = 0.4
    """Standard deviation of the Gaussian noise on collected actions."""
    smoothing_noise: float = 0.2
    """Standard deviation of the Gaussian noise on the target policy's actions."""
    smoothing_clip: float = 0.5
    """Largest such noise, either way."""
    remat: bool = False
    """Recompute activations in the backward pass: less memory, about a third more work."""

    def __post_init__(self):
        check_settings(self)
        check_integer("policy_delay", self.policy_delay)
        for name in ("exploration_noise", "smoothing_noise", "smoothing_clip"):
            check_number(name, getattr(self, name), 0.0)

    def init(self, spec: AgentSpec, *, key: Key) -> TD3State:
        """Fresh networks and optimisers; targets equal the networks."""
        policy_key, critic_key = jr.split(key)
        sizes = (spec.observation_size, spec.goal_size, spec.action_size)
        actor_sizes, critic_sizes = network_sizes(self)
        policy = DeterministicPolicy(*sizes, key=policy_key, **actor_sizes)
        critic = TwinCritic(*sizes, key=critic_key, **critic_sizes)
        return TD3State(
            policy=policy,
            critic=critic,
            target_policy=policy,
            target_critic=critic,
            policy_opt=self.optimizer.init(policy),
            critic_opt=self.optimizer.init(critic),
            num_updates=jnp.zeros((), jnp.int32),
            actor_metrics=PolicyMetrics(loss=jnp.zeros(()), grad_norm=jnp.zeros(())),
        )

    def act(
        self,
        state: TD3State,
        observation: Float[Array, " obs"],
        goal: Float[Array, " goal"],
        hypers: Hypers,
        *,
        key: Key,
        deterministic: bool = False,
    ) -> Float[Array, " action"]:
        r"""$\mu(s, g)$, with exploration noise unless `deterministic`."""
        action = state.policy(observation, goal, active_blocks(self, hypers)[0])
        noise = self.exploration_noise * jr.normal(key, action.shape)
        return action if deterministic else jnp.clip(action + noise, -1.0, 1.0)

    def value(
        self,
        state: TD3State,
        observation: Float[Array, " obs"],
        goal: Float[Array, " goal"],
        hypers: Hypers,
        action: Float[Array, " action"] | None = None,
    ) -> Scalar:
        r"""$\min_k Q_k(s, g, a)$, by default at $a = \mu(s, g)$."""
        actor_active, critic_active = active_blocks(self, hypers)
        if action is None:
            action = state.policy(observation, goal, actor_active)
        return jnp.min(state.critic(observation, goal, action, critic_active))

    def update(self, state: TD3State, batch: Batch, hypers: Hypers, *, key: Key) -> tuple[TD3State, TD3Metrics]:
        """One update of the critics and, where it is due, of policy and targets, as the class's docstring has it."""
        actor_active, critic_active = active_blocks(self, hypers)

        def next_value(observation: Float[Array, " obs"], goal: Float[Array, " goal"], key: Key) -> Scalar:
            action = state.target_policy(observation, goal, actor_active)
            noise = jr.normal(key, action.shape)
            action = smoothed_action(action, noise, self.smoothing_noise, self.smoothing_clip)
            return jnp.min(state.target_critic(observation, goal, action, critic_active))

        with jax.named_scope("deepcrl.critic"):
            target = bootstrap_targets(batch, next_value, hypers.gamma, key=key)
            critic, critic_opt, critic_metrics = critic_step(
                self.optimizer, state.critic, state.critic_opt, target, batch, critic_active, hypers.critic_lr
            )
        num_updates = state.num_updates + 1
        state = dataclasses.replace(state, critic=critic, critic_opt=critic_opt, num_updates=num_updates)
        with jax.named_scope("deepcrl.actor"):
            due = num_updates % self.policy_delay == 0
            # Under vmap both sides are computed and one is selected; a single run skips the work.
            state = jax.lax.cond(due, lambda s: self._delayed(s, batch, hypers), lambda s: s, state)
        return state, TD3Metrics(critic=critic_metrics, actor=state.actor_metrics)

    def _delayed(self, state: TD3State, batch: Batch, hypers: Hypers) -> TD3State:
        """The update of policy and targets."""
        actor_active, critic_active = active_blocks(self, hypers)

        def loss(policy: DeterministicPolicy) -> Scalar:
            def value(observation: Float[Array, " obs"], goal: Float[Array, " goal"]) -> Scalar:
                return state.critic(observation, goal, policy(observation, goal, actor_active), critic_active)[0]

            return -jnp.mean(jax.vmap(value)(batch.observation, batch.goal))

        value, grads = eqx.filter_value_and_grad(loss)(state.policy)
        policy, policy_opt = self.optimizer.step(state.policy, grads, state.policy_opt, hypers.actor_lr)
        return dataclasses.replace(
            state,
            policy=policy,
            policy_opt=policy_opt,
            target_policy=polyak(state.target_policy, policy, hypers.tau),
            target_critic=polyak(state.target_critic, state.critic, hypers.tau),
            actor_metrics=PolicyMetrics(loss=value, grad_norm=tree_norm(grads)),
        )
