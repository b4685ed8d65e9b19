r"""Contrastive RL, in the form of "1000 Layer Networks for Self-Supervised RL" (Wang et al. 2025)."""

import dataclasses
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Float, PyTree

from .._errors import check_choice, check_flag, check_integer, check_number
from .._tree import tree_norm
from .._typing import IntScalar, Key, Scalar
from ..losses import (
    AbstractContrastiveLoss,
    AbstractEnergy,
    contrastive_metrics,
    ContrastiveMetrics,
    energy_from_name,
    logsumexp_penalty,
    loss_from_name,
)
from ..nn import blocks_of_depth, GaussianPolicy, GoalEncoder, StateActionEncoder

from ._api import AbstractAgent, AgentSpec, Batch, check_depths, Hypers


LAYERS_PER_BLOCK = 4
_ADAM = optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8)  # step sizes differ per lane and are applied apart


class Critic(eqx.Module):
    r"""Both encoders: the critic is the energy of $\phi(s, a)$ and $\psi(g)$."""

    sa_encoder: StateActionEncoder
    r"""$\phi(s, a)$."""
    goal_encoder: GoalEncoder
    r"""$\psi(g)$."""


class CRLState(eqx.Module):
    """Everything that contrastive RL learns, and its optimisers."""

    policy: GaussianPolicy
    """The actor."""
    critic: Critic
    """Both encoders."""
    log_alpha: Scalar
    """Logarithm of the entropy weight."""
    policy_opt: PyTree
    """State of the policy's Adam."""
    critic_opt: PyTree
    """State of the critic's Adam."""
    alpha_opt: PyTree
    """State of the entropy weight's Adam."""


class CriticMetrics(eqx.Module):
    """Of one update of the critic."""

    loss: Scalar
    """Contrastive loss plus weighted logsumexp penalty, in nats."""
    accuracy: Scalar
    """Share of anchors whose own goal has the highest energy of the batch."""
    logits_pos: Scalar
    """Mean energy of positive pairs."""
    logits_neg: Scalar
    """Mean energy of negative pairs."""
    logsumexp: Scalar
    """Mean over anchors of the logsumexp over goals, in nats."""
    grad_norm: Scalar
    """Euclidean norm of the gradient."""


class ActorMetrics(eqx.Module):
    """Of one update of the policy."""

    loss: Scalar
    """Weighted log density minus energy."""
    entropy: Scalar
    """Estimate from one action a state, in nats."""
    grad_norm: Scalar
    """Euclidean norm of the gradient."""


class AlphaMetrics(eqx.Module):
    """Of one update of the entropy weight."""

    alpha: Scalar
    """The weight after the update."""
    loss: Scalar
    """Weight times the entropy's excess over its target."""
    grad_norm: Scalar
    """Absolute gradient of the log weight."""


class CRLMetrics(eqx.Module):
    """Of one update of all three."""

    critic: CriticMetrics
    """Of the critic."""
    actor: ActorMetrics
    """Of the policy."""
    alpha: AlphaMetrics
    """Of the entropy weight."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CRL(AbstractAgent):
    r"""Contrastive RL with residual networks.

    One update on a batch of states, actions and hindsight goals, in this order:

    1. the policy, by the old critic and the old $\alpha$:
       $\mathbb{E}[\alpha \log \pi(a | s, g) - f(\phi(s, a), \psi(g))]$ with a fresh $a \sim \pi(\cdot | s, g)$ and the
       *hindsight* goal $g$;
    2. $\alpha$, by the log densities of 1: $\alpha \, \mathbb{E}[-\log \pi - H^*]$;
    3. the critic: a contrastive loss on the matrix of energies of all pairs of the batch, plus
       `logsumexp_penalty` times the mean squared logsumexp.

    All three by Adam with its usual constants. No target networks, no gradient clipping, no weight decay.

    ??? cite "Reference"
        ```bibtex
        @inproceedings{wang2025thousand,
          title={1000 Layer Networks for Self-Supervised {RL}: Scaling Depth Can Enable New Goal-Reaching Capabilities},
          author={Wang, Kevin and Javali, Ishaan and Bortkiewicz, Micha{\l} and Trzci{\'n}ski, Tomasz and
                  Eysenbach, Benjamin},
          booktitle={Advances in Neural Information Processing Systems},
          year={2025}
        }
        ```
    """

    depth: int = 4
    """Dense layers inside residual blocks, 4 a block, of actor and critic."""
    actor_depth: int | None = None
    """Depth of the policy alone (by default `depth`)."""
    critic_depth: int | None = None
    """Depth of both encoders alone (by default `depth`)."""
    width: int = 256
    """Hidden size of all networks."""
    repr_dim: int = 64
    """Size of the embeddings."""
    energy: str | AbstractEnergy = "norm"
    """Energy of two embeddings: norm, l2_squared, l1, dot, cosine, or an energy object."""
    loss: str | AbstractContrastiveLoss = "infonce"
    """Contrastive loss: infonce, backward_infonce, symmetric_infonce, binary_nce, flatnce, or a loss object."""
    hindsight: Literal["future", "final", "random"] = "future"
    """Which achieved goals are learnt from: of a later step (the paper's), the episode's last, or any."""
    actor_lr: float = 3e-4
    """Adam step size of the policy."""
    critic_lr: float = 3e-4
    """Adam step size of both encoders."""
    alpha_lr: float = 3e-4
    """Adam step size of the entropy weight."""
    gamma: float = 0.99
    """Discount of the geometric law of future goals, in (0, 1]."""
    target_entropy: float = -0.5
    """Entropy that the policy is held to, in nats per action dimension."""
    logsumexp_penalty: float = 0.1
    """Weight of the squared logsumexp in the critic's loss."""
    remat: bool = False
    """Recompute activations in the backward pass: less memory, about a third more work."""

    def __post_init__(self):
        check_depths(self)
        check_integer("width", self.width)
        check_integer("repr_dim", self.repr_dim)
        energy_from_name(self.energy)
        loss_from_name(self.loss)
        check_choice("hindsight", self.hindsight, ("future", "final", "random"))
        for name in ("actor_lr", "critic_lr", "alpha_lr", "logsumexp_penalty"):
            check_number(name, getattr(self, name), 0.0)
        check_number("gamma", self.gamma, 0.0, 1.0, open_low=True)
        check_number("target_entropy", self.target_entropy, -1e6, 1e6)
        check_flag("remat", self.remat)

    def hypers(self) -> Hypers:
        """The numbers of this config as arrays."""
        return Hypers.of(
            actor_depth=self.depth if self.actor_depth is None else self.actor_depth,
            critic_depth=self.depth if self.critic_depth is None else self.critic_depth,
            actor_lr=self.actor_lr,
            critic_lr=self.critic_lr,
            alpha_lr=self.alpha_lr,
            gamma=self.gamma,
            target_entropy=self.target_entropy,
            logsumexp_penalty=self.logsumexp_penalty,
        )

    def init(self, spec: AgentSpec, *, key: Key) -> CRLState:
        """Fresh networks and optimisers; $\\alpha$ starts at 1."""
        policy_key, sa_key, goal_key = jr.split(key, 3)
        sizes = {"width": self.width, "remat": self.remat}
        actor_blocks = blocks_of_depth(self.depth if self.actor_depth is None else self.actor_depth)
        critic_blocks = blocks_of_depth(self.depth if self.critic_depth is None else self.critic_depth)
        policy = GaussianPolicy(
            spec.observation_size,
            spec.goal_size,
            spec.action_size,
            num_blocks=actor_blocks,
            key=policy_key,
            **sizes,
        )
        critic = Critic(
            sa_encoder=StateActionEncoder(
                spec.observation_size, spec.action_size, self.repr_dim, num_blocks=critic_blocks, key=sa_key, **sizes
            ),
            goal_encoder=GoalEncoder(spec.goal_size, self.repr_dim, num_blocks=critic_blocks, key=goal_key, **sizes),
        )
        log_alpha = jnp.zeros(())
        return CRLState(
            policy=policy,
            critic=critic,
            log_alpha=log_alpha,
            policy_opt=_init_adam(policy),
            critic_opt=_init_adam(critic),
            alpha_opt=_init_adam(log_alpha),
        )

    def act(
        self,
        state: CRLState,
        observation: Float[Array, " obs"],
        goal: Float[Array, " goal"],
        hypers: Hypers,
        *,
        key: Key,
        deterministic: bool = False,
    ) -> Float[Array, " action"]:
        r"""A sample of the policy, or $\tanh(\mu)$ if `deterministic`."""
        distribution = state.policy(observation, goal, _blocks(hypers.actor_depth))
        return distribution.mode if deterministic else distribution.sample(key=key)

    def value(
        self,
        state: CRLState,
        observation: Float[Array, " obs"],
        goal: Float[Array, " goal"],
        hypers: Hypers,
    ) -> Scalar:
        r"""$f(\phi(s, a), \psi(g))$ at $a = \tanh(\mu(s, g))$."""
        action = state.policy(observation, goal, _blocks(hypers.actor_depth)).mode
        blocks = _blocks(hypers.critic_depth)
        phi = state.critic.sa_encoder(observation, action, blocks)
        return energy_from_name(self.energy)(phi, state.critic.goal_encoder(goal, blocks))

    def update(self, state: CRLState, batch: Batch, hypers: Hypers, *, key: Key) -> tuple[CRLState, CRLMetrics]:
        """One update of policy, entropy weight and critic, as the class's docstring has it."""
        # All three gradients are taken at the old critic and the old alpha, so the order in which they are computed
        # is free: the critic's comes first because the policy's loss takes the goal embeddings over from it.
        with jax.named_scope("deepcrl.critic"):
            (critic_loss, (contrast, psi)), grads = eqx.filter_value_and_grad(self._critic_loss, has_aux=True)(
                state.critic, batch, hypers
            )
            critic, critic_opt = _adam(state.critic, grads, state.critic_opt, hypers.critic_lr)
            critic_metrics = CriticMetrics(
                loss=critic_loss,
                accuracy=contrast.accuracy,
                logits_pos=contrast.logits_pos,
                logits_neg=contrast.logits_neg,
                logsumexp=contrast.logsumexp,
                grad_norm=tree_norm(grads),
            )

        with jax.named_scope("deepcrl.actor"):
            (actor_loss, log_prob), grads = eqx.filter_value_and_grad(self._actor_loss, has_aux=True)(
                state.policy, state, batch, psi, hypers, key
            )
            policy, policy_opt = _adam(state.policy, grads, state.policy_opt, hypers.actor_lr)
            entropy = -jnp.mean(log_prob)
            actor_metrics = ActorMetrics(loss=actor_loss, entropy=entropy, grad_norm=tree_norm(grads))

        with jax.named_scope("deepcrl.alpha"):
            target = hypers.target_entropy * batch.action.shape[-1]
            alpha_loss, alpha_grad = jax.value_and_grad(lambda log_alpha: jnp.exp(log_alpha) * (entropy - target))(
                state.log_alpha
            )
            log_alpha, alpha_opt = _adam(state.log_alpha, alpha_grad, state.alpha_opt, hypers.alpha_lr)
            alpha_metrics = AlphaMetrics(alpha=jnp.exp(log_alpha), loss=alpha_loss, grad_norm=jnp.abs(alpha_grad))

        new_state = CRLState(
            policy=policy,
            critic=critic,
            log_alpha=log_alpha,
            policy_opt=policy_opt,
            critic_opt=critic_opt,
            alpha_opt=alpha_opt,
        )
        return new_state, CRLMetrics(critic=critic_metrics, actor=actor_metrics, alpha=alpha_metrics)

    def _critic_loss(
        self, critic: Critic, batch: Batch, hypers: Hypers
    ) -> tuple[Scalar, tuple[ContrastiveMetrics, Float[Array, "batch repr"]]]:
        blocks = _blocks(hypers.critic_depth)
        phi = jax.vmap(critic.sa_encoder, in_axes=(0, 0, None))(batch.observation, batch.action, blocks)
        psi = jax.vmap(critic.goal_encoder, in_axes=(0, None))(batch.goal, blocks)
        logits = energy_from_name(self.energy).pairwise(phi, psi)
        loss = loss_from_name(self.loss)(logits) + hypers.logsumexp_penalty * logsumexp_penalty(logits)
        return loss, (contrastive_metrics(logits), psi)

    def _actor_loss(
        self,
        policy: GaussianPolicy,
        state: CRLState,
        batch: Batch,
        psi: Float[Array, "batch repr"],
        hypers: Hypers,
        key: Key,
    ) -> tuple[Scalar, Float[Array, " batch"]]:
        actor_blocks, critic_blocks = _blocks(hypers.actor_depth), _blocks(hypers.critic_depth)

        def act_and_judge(
            observation: Float[Array, " obs"], goal: Float[Array, " goal"], psi: Float[Array, " repr"], key: Key
        ) -> tuple[Scalar, Scalar]:
            action, log_prob = policy(observation, goal, actor_blocks).sample_and_log_prob(key=key)
            phi = state.critic.sa_encoder(observation, action, critic_blocks)
            return energy_from_name(self.energy)(phi, psi), log_prob

        keys = jr.split(key, batch.goal.shape[0])
        energy, log_prob = jax.vmap(act_and_judge)(batch.observation, batch.goal, psi, keys)
        return jnp.mean(jnp.exp(state.log_alpha) * log_prob - energy), log_prob


def _blocks(depth: IntScalar) -> IntScalar:
    return depth // LAYERS_PER_BLOCK


def _init_adam(params: PyTree) -> PyTree:
    return _ADAM.init(params)


def _adam(params: PyTree, grads: PyTree, opt_state: PyTree, learning_rate: Scalar) -> tuple[PyTree, PyTree]:
    with jax.numpy_dtype_promotion("standard"):  # optax raises a Python float to an integer step count
        updates, opt_state = _ADAM.update(grads, opt_state)
    return jax.tree_util.tree_map(lambda p, u: p - learning_rate * u, params, updates), opt_state
