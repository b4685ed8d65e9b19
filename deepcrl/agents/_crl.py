r"""Contrastive RL, in the form of "1000 Layer Networks for Self-Supervised RL" (Wang et al. 2025)."""

import dataclasses
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PyTree

from .._errors import check_choice, check_integer, check_number
from .._hypers import Hypers, lane_depth, lane_number
from .._registry import as_part
from .._tree import tree_norm
from .._typing import Key, Scalar
from ..losses import (
    AbstractContrastiveLoss,
    AbstractEnergy,
    contrastive_metrics,
    ContrastiveMetrics,
    logsumexp_penalty,
    MRNEnergy,
)
from ..nn import BlockSpec, GaussianPolicy, GoalEncoder, StateActionEncoder
from ..nn._spec import PAPER_SPEC
from ..replay import AbstractReplay, Batch, FutureGoals, Replay
from ._api import AbstractAgent, AgentSpec
from ._optim import AbstractOptimizer, Adam
from ._settings import active_blocks, check_settings, network_sizes
from ._soft import ActorMetrics, ALPHA_ADAM, AlphaMetrics, gaussian_action, soft_step


def _standardised(x: Float[Array, " repr"]) -> Float[Array, " repr"]:
    x = x - jnp.mean(x)
    return x * jax.lax.rsqrt(jnp.mean(jnp.square(x)) + 1e-6)


def _unit(x: Float[Array, " repr"]) -> Float[Array, " repr"]:
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(jnp.square(x)), 1e-8))


_OUTPUT_NORMS = {"none": lambda x: x, "layer": _standardised, "unit": _unit}


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
    actor_depth: int | None = lane_depth()
    """Depth of the policy alone (by default `depth`)."""
    critic_depth: int | None = lane_depth()
    """Depth of both encoders alone (by default `depth`)."""
    width: int = 256
    """Hidden size of all networks."""
    trunk: BlockSpec = PAPER_SPEC
    """What layers and blocks of all networks are made of."""
    repr_dim: int = 64
    """Size of the embeddings."""
    output_norm: Literal["none", "layer", "unit"] = "none"
    """What is done to embeddings before the energy: nothing (the paper), zero mean and unit variance, or unit length."""
    energy: str | AbstractEnergy = "norm"
    """Energy of two embeddings, an object or a name: norm, l2_squared, l1, dot, cosine, mrn."""
    loss: str | AbstractContrastiveLoss = "infonce"
    """Contrastive loss, an object or a name: infonce, backward_infonce, symmetric_infonce, binary_nce, flatnce."""
    replay: AbstractReplay = Replay(goals=FutureGoals())
    """Which steps and goals are learnt from: any step and what a later one achieved (the paper's)."""
    optimizer: AbstractOptimizer = Adam()
    """How all networks are stepped; a step size of its own goes with each."""
    actor_lr: float = lane_number(3e-4)
    """Adam step size of the policy."""
    critic_lr: float = lane_number(3e-4)
    """Adam step size of both encoders."""
    alpha_lr: float = lane_number(3e-4)
    """Adam step size of the entropy weight."""
    gamma: float = lane_number(0.99, high=1.0, open_low=True)
    """Discount of the geometric law of future goals, in (0, 1]."""
    target_entropy: float = lane_number(-0.5, low=-1e6, high=1e6)
    """Entropy that the policy is held to, in nats per action dimension."""
    logsumexp_penalty: float = lane_number(0.1)
    """Weight of the squared logsumexp in the critic's loss."""
    random_goals: float = 0.0
    """Share of the actor's goals that are other samples' of the batch (0 in the paper), in [0, 1]: the policy then learns
    from the critic what to do about goals that no trajectory from here has reached yet."""
    remat: bool = False
    """Recompute activations in the backward pass: less memory, about a third more work."""

    def __post_init__(self):
        check_settings(self)
        check_integer("repr_dim", self.repr_dim)
        check_choice("output_norm", self.output_norm, _OUTPUT_NORMS)
        object.__setattr__(self, "energy", as_part("energy", AbstractEnergy, self.energy))
        object.__setattr__(self, "loss", as_part("loss", AbstractContrastiveLoss, self.loss))
        if isinstance(self.energy, MRNEnergy) and self.repr_dim % 2:
            raise ValueError(
                f"The `mrn` energy splits embeddings in halves: `repr_dim` must be even, got {self.repr_dim}."
            )
        check_number("random_goals", self.random_goals, 0.0, 1.0)

    @property
    def _energy(self) -> AbstractEnergy:
        """The `energy` as the object that it is."""
        return as_part("energy", AbstractEnergy, self.energy)

    def init(self, spec: AgentSpec, *, key: Key) -> CRLState:
        """Fresh networks and optimisers; $\\alpha$ starts at 1."""
        policy_key, sa_key, goal_key = jr.split(key, 3)
        actor_sizes, critic_sizes = network_sizes(self)
        observation_size, goal_size, action_size = spec.observation_size, spec.goal_size, spec.action_size
        policy = GaussianPolicy(observation_size, goal_size, action_size, key=policy_key, **actor_sizes)
        critic = Critic(
            sa_encoder=StateActionEncoder(observation_size, action_size, self.repr_dim, key=sa_key, **critic_sizes),
            goal_encoder=GoalEncoder(goal_size, self.repr_dim, key=goal_key, **critic_sizes),
        )
        log_alpha = jnp.zeros(())
        return CRLState(
            policy=policy,
            critic=critic,
            log_alpha=log_alpha,
            policy_opt=self.optimizer.init(policy),
            critic_opt=self.optimizer.init(critic),
            alpha_opt=ALPHA_ADAM.init(log_alpha),
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
        return gaussian_action(self, state.policy, observation, goal, hypers, None if deterministic else key)

    def value(
        self,
        state: CRLState,
        observation: Float[Array, " obs"],
        goal: Float[Array, " goal"],
        hypers: Hypers,
        action: Float[Array, " action"] | None = None,
    ) -> Scalar:
        r"""$f(\phi(s, a), \psi(g))$, by default at $a = \tanh(\mu(s, g))$."""
        if action is None:
            action = gaussian_action(self, state.policy, observation, goal, hypers)
        _, active = active_blocks(self, hypers)
        norm = _OUTPUT_NORMS[self.output_norm]
        phi, psi = state.critic.sa_encoder(observation, action, active), state.critic.goal_encoder(goal, active)
        return self._energy(norm(phi), norm(psi))

    def update(self, state: CRLState, batch: Batch, hypers: Hypers, *, key: Key) -> tuple[CRLState, CRLMetrics]:
        """One update of policy, entropy weight and critic, as the class's docstring has it."""
        _, critic_active = active_blocks(self, hypers)
        # All three gradients are taken at the old critic and the old alpha, so the order in which they are computed
        # is free: the critic's comes first because the policy's loss takes the goal embeddings over from it.
        with jax.named_scope("deepcrl.critic"):
            (critic_loss, (contrast, psi)), grads = eqx.filter_value_and_grad(self._critic_loss, has_aux=True)(
                state.critic, batch, hypers
            )
            critic, critic_opt = self.optimizer.step(state.critic, grads, state.critic_opt, hypers.critic_lr)
            critic_metrics = CriticMetrics(
                loss=critic_loss,
                accuracy=contrast.accuracy,
                logits_pos=contrast.logits_pos,
                logits_neg=contrast.logits_neg,
                logsumexp=contrast.logsumexp,
                grad_norm=tree_norm(grads),
            )

        # A shift by one pairs a sample with a goal that is as good as drawn anew: batches have no order.
        index = jnp.arange(batch.goal.shape[0])
        source = jnp.where(index < round(self.random_goals * index.size), jnp.roll(index, 1), index)
        actor_batch, actor_psi = dataclasses.replace(batch, goal=batch.goal[source]), psi[source]

        def q_fn(action: Float[Array, "batch action"]) -> Float[Array, " batch"]:
            phi = jax.vmap(state.critic.sa_encoder, in_axes=(0, 0, None))(batch.observation, action, critic_active)
            return jax.vmap(self._energy)(jax.vmap(_OUTPUT_NORMS[self.output_norm])(phi), actor_psi)

        state, actor_metrics, alpha_metrics = soft_step(self, state, q_fn, actor_batch, hypers, key=key)
        state = dataclasses.replace(state, critic=critic, critic_opt=critic_opt)
        return state, CRLMetrics(critic=critic_metrics, actor=actor_metrics, alpha=alpha_metrics)

    def _critic_loss(
        self, critic: Critic, batch: Batch, hypers: Hypers
    ) -> tuple[Scalar, tuple[ContrastiveMetrics, Float[Array, "batch repr"]]]:
        _, active = active_blocks(self, hypers)
        phi = jax.vmap(critic.sa_encoder, in_axes=(0, 0, None))(batch.observation, batch.action, active)
        psi = jax.vmap(critic.goal_encoder, in_axes=(0, None))(batch.goal, active)
        norm = jax.vmap(_OUTPUT_NORMS[self.output_norm])
        phi, psi = norm(phi), norm(psi)
        logits, contrast = self._energy.pairwise(phi, psi), as_part("loss", AbstractContrastiveLoss, self.loss)
        loss = contrast(logits) + hypers.logsumexp_penalty * logsumexp_penalty(logits)
        return loss, (contrastive_metrics(logits), psi)
