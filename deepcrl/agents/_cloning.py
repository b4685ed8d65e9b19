r"""Goal-conditioned cloning: repeat what was done on the way to a goal that was then achieved."""

import dataclasses
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._hypers import Hypers, lane_depth, lane_number
from .._tree import tree_norm
from .._typing import Key, Scalar
from ..nn import BlockSpec, GaussianPolicy
from ..nn._spec import PAPER_SPEC
from ..replay import AbstractReplay, Batch, FutureGoals, NewestSteps, Replay
from ._api import AbstractAgent, AgentSpec
from ._optim import AbstractOptimizer, Adam
from ._settings import active_blocks, check_settings, network_sizes
from ._soft import gaussian_action


class CloningState(eqx.Module):
    """A policy and its optimiser."""

    policy: GaussianPolicy
    """The actor."""
    policy_opt: PyTree
    """State of its Adam."""


class CloningMetrics(eqx.Module):
    """Of one update of a cloned policy."""

    loss: Scalar
    """Mean negative log density of the batch's actions, in nats."""
    error: Scalar
    """Root mean squared difference between the batch's actions and the policy's deterministic ones."""
    grad_norm: Scalar
    """Euclidean norm of the gradient."""


# The methods of both agents; `self` is the config of either.


def _check(self: Any) -> None:
    check_settings(self)


def _init(self: Any, spec: AgentSpec, *, key: Key) -> CloningState:
    sizes, _ = network_sizes(self)
    policy = GaussianPolicy(spec.observation_size, spec.goal_size, spec.action_size, key=key, **sizes)
    return CloningState(policy=policy, policy_opt=self.optimizer.init(policy))


def _act(
    self: Any,
    state: CloningState,
    observation: Float[Array, " obs"],
    goal: Float[Array, " goal"],
    hypers: Hypers,
    *,
    key: Key,
    deterministic: bool = False,
) -> Float[Array, " action"]:
    return gaussian_action(self, state.policy, observation, goal, hypers, None if deterministic else key)


def _update(
    self: Any, state: CloningState, batch: Batch, hypers: Hypers, *, key: Key
) -> tuple[CloningState, CloningMetrics]:
    """One Adam step on the mean negative log density of the batch's actions."""
    active, _ = active_blocks(self, hypers)

    def loss(policy: GaussianPolicy) -> tuple[Scalar, Scalar]:
        def error(observation: Array, goal: Array, action: Array) -> tuple[Scalar, Array]:
            distribution = policy(observation, goal, active)
            return distribution.log_prob(action), distribution.mode - action

        log_prob, difference = jax.vmap(error)(batch.observation, batch.goal, batch.action)
        return -jnp.mean(log_prob), jnp.sqrt(jnp.mean(jnp.square(difference)))

    (value, error), grads = eqx.filter_value_and_grad(loss, has_aux=True)(state.policy)
    policy, policy_opt = self.optimizer.step(state.policy, grads, state.policy_opt, hypers.actor_lr)
    metrics = CloningMetrics(loss=value, error=error, grad_norm=tree_norm(grads))
    return CloningState(policy=policy, policy_opt=policy_opt), metrics


@dataclasses.dataclass(frozen=True, kw_only=True)
class GCBC(AbstractAgent):
    r"""Goal-conditioned behavioural cloning of the whole replay buffer: the policy maximises
    $\mathbb{E}[\log \pi(a | s, g)]$ over stored steps $(s, a)$ and goals $g$ achieved later in the same episode, nearer
    ones more often ($\gamma < 1$).

    ??? cite "Reference"
        ```bibtex
        @inproceedings{ding2019goal,
          title={Goal-Conditioned Imitation Learning},
          author={Ding, Yiming and Florensa, Carlos and Abbeel, Pieter and Phielipp, Mariano},
          booktitle={Advances in Neural Information Processing Systems},
          year={2019}
        }
        ```
    """

    has_critic: ClassVar[bool] = False

    depth: int = lane_depth(4)
    """Dense layers inside residual blocks, 4 a block."""
    width: int = 256
    """Hidden size."""
    trunk: BlockSpec = PAPER_SPEC
    """What layers and blocks are made of."""
    replay: AbstractReplay = Replay(goals=FutureGoals())
    """Which steps and goals are imitated: any step and what a later one of its episode achieved."""
    optimizer: AbstractOptimizer = Adam()
    """How all networks are stepped; a step size of its own goes with each."""
    actor_lr: float = lane_number(3e-4)
    """Adam step size."""
    gamma: float = lane_number(0.99, high=1.0, open_low=True)
    """Discount of the geometric law of future goals, in (0, 1]; at 1 all later steps are equally likely."""
    remat: bool = False
    """Recompute activations in the backward pass: less memory, about a third more work."""

    __post_init__, init, act, update = _check, _init, _act, _update


@dataclasses.dataclass(frozen=True, kw_only=True)
class GCSL(AbstractAgent):
    r"""Goal-conditioned supervised learning: cloning as [`deepcrl.agents.GCBC`][] does, but of what the policy itself did
    lately (`NewestSteps`), with every later goal of the episode equally likely ($\gamma = 1$).

    ??? cite "Reference"
        ```bibtex
        @inproceedings{ghosh2021learning,
          title={Learning to Reach Goals via Iterated Supervised Learning},
          author={Ghosh, Dibya and Gupta, Abhishek and Reddy, Ashwin and Fu, Justin and Devin, Coline and
                  Eysenbach, Benjamin and Levine, Sergey},
          booktitle={International Conference on Learning Representations},
          year={2021}
        }
        ```
    """

    has_critic: ClassVar[bool] = False

    depth: int = lane_depth(4)
    """Dense layers inside residual blocks, 4 a block."""
    width: int = 256
    """Hidden size."""
    trunk: BlockSpec = PAPER_SPEC
    """What layers and blocks are made of."""
    replay: AbstractReplay = Replay(steps=NewestSteps(), goals=FutureGoals())
    """Which steps and goals are imitated: the newest 1,000 of every environment and what a later one achieved."""
    optimizer: AbstractOptimizer = Adam()
    """How all networks are stepped; a step size of its own goes with each."""
    actor_lr: float = lane_number(3e-4)
    """Adam step size."""
    gamma: float = lane_number(1.0, high=1.0, open_low=True)
    """Discount of the geometric law of future goals, in (0, 1]; at 1 all later steps are equally likely."""
    remat: bool = False
    """Recompute activations in the backward pass: less memory, about a third more work."""

    __post_init__, init, act, update = _check, _init, _act, _update
