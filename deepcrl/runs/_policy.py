"""Policies to take away: the actor of one lane with what is needed to act, as a checkpoint of its own."""

import dataclasses
import functools as ft
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PyTree

from ..agents import AbstractAgent, AgentSpec, Hypers, Mode
from ..agents._normalizer import Normalized
from ..envs import Box
from ..train import Config, Trainer
from ..train._serialise import read
from ._checkpoint import load_checkpoint, read_about, save_checkpoint


@dataclasses.dataclass(frozen=True, eq=False)
class Policy:
    """A trained policy: `policy(observation, goal)` is its deterministic action."""

    config: Mapping[str, Any] = dataclasses.field(repr=False)
    """The settings of the run it is from, as `Config.to_dict` has them."""
    spec: AgentSpec
    """Sizes of observation, goal and action."""
    action_space: Box
    """The actions of the environment."""
    lane: int
    """Which lane of the run."""
    epoch: int
    """After which epoch."""
    success: float | None
    """`success_any` of the evaluation after that epoch."""
    agent: AbstractAgent
    """The algorithm, which knows how to act."""
    state: PyTree = dataclasses.field(repr=False)
    """What it learnt; parts that acting does not need may be `jax.ShapeDtypeStruct`s."""
    hypers: Hypers = dataclasses.field(repr=False)
    """The lane's numbers."""

    @classmethod
    def of(cls, trainer: Trainer, config: Config, agent: PyTree, hypers: Hypers, **where: Any) -> "Policy":
        """Of the `agent` part and the `hypers` of a state of a lane's trainer, whose numbers are those of `config`; `where`
        is `lane`, `epoch` and `success`."""
        return cls(
            config=config.to_dict(),
            spec=trainer.spec,
            action_space=trainer.env.action_space(trainer.env_params),
            agent=trainer.agent,
            state=agent,
            hypers=hypers,
            **where,
        )

    @property
    def env(self) -> str:
        """The name of the task it was trained on."""
        return self.config["env"]

    @property
    def eval_env(self) -> str:
        """The name of the task that its run evaluates on."""
        return self.config.get("eval_env", self.env)

    def acting(self) -> Callable[..., Array]:
        """How the run's evaluations act by it: `policy(observation, goal, *, key) -> action in [-1, 1]`, per sample."""
        acting = Config.from_dict(self.config).eval_actions
        return (acting if self.has_critic or not acting.needs_critic else Mode()).policy(
            self.agent, self.state, self.hypers
        )

    @property
    def has_critic(self) -> bool:
        """Whether its critic is there: an exported policy has none."""
        return not any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(self.state))

    def __call__(
        self, observation: ArrayLike | Sequence[float], goal: ArrayLike | Sequence[float]
    ) -> Float[Array, " action"]:
        """**Arguments:**

        - `observation`, `goal`: of one step, as the environment's `observation` and `desired_goal`.

        **Returns:** the action, in the environment's own units.

        **Raises:** `ValueError` for arrays of other sizes.
        """
        observation, goal = jnp.asarray(observation, jnp.float32), jnp.asarray(goal, jnp.float32)
        expected = (self.spec.observation_size,), (self.spec.goal_size,)
        if (observation.shape, goal.shape) != expected:
            raise ValueError(
                f"This policy takes an observation and a goal of shapes {expected[0]} and {expected[1]}, got "
                f"{observation.shape} and {goal.shape}. For a batch: `jax.vmap(policy)`."
            )
        return self._act(observation, goal)

    @ft.cached_property
    def _act(self) -> Callable[[Array, Array], Array]:
        arrays, rest = eqx.partition((self.state, self.hypers), eqx.is_array)

        @jax.jit
        def act(arrays: PyTree, observation: Array, goal: Array) -> Array:
            state, hypers = eqx.combine(arrays, rest)
            unit = self.agent.act(state, observation, goal, hypers, key=jr.key(0), deterministic=True)
            return self.action_space.from_unit(unit)

        return ft.partial(act, arrays)


def save_policy(policy: Policy, out: str | Path) -> None:
    """Writes a policy to a folder of its own, which must not be there yet, for [`deepcrl.load_policy`][]."""
    about = {name: getattr(policy, name) for name in ("config", "lane", "epoch", "success")}
    about |= {"kind": "policy", "spec": dataclasses.asdict(policy.spec)}
    about |= {"low": policy.action_space.low.tolist(), "high": policy.action_space.high.tolist()}
    save_checkpoint(out, {"state": _acting_part(policy.state), "hypers": policy.hypers}, about)


def load_policy(path: str | Path) -> Policy:
    """A policy from the folder that `deepcrl export` wrote. It needs no environment to act.

    ```python
    policy = deepcrl.load_policy("policy")
    action = policy(observation, goal)
    ```

    **Raises:** `ValueError` for a folder that holds no policy, or a damaged one.
    """
    if (Path(path) / "config.json").is_file():
        raise ValueError(f"{path} is the folder of a run: `deepcrl.open_run({str(path)!r}).policy()` gives its policy.")
    about = read_about(path)
    try:
        if about.get("kind") != "policy":
            raise ValueError(f"{path} holds no policy. Write one by `deepcrl export RUN {path}`.")
        agent = read("agent", AbstractAgent, about["config"]["agent"])
        if about["config"].get("normalize_observations", False):  # policies of older versions do not say
            agent = Normalized(learner=agent)
        spec = AgentSpec(**about["spec"])
        space = Box(np.asarray(about["low"], np.float32), np.asarray(about["high"], np.float32))
        rest = {name: about[name] for name in ("config", "lane", "epoch", "success")}
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} holds a policy that cannot be read: {type(error).__name__}: {error}.") from error
    full = jax.eval_shape(lambda key: agent.init(spec, key=key), jr.key(0))
    template = {"state": _acting_part(full), "hypers": agent.hypers()}
    loaded = load_checkpoint(path, template)
    state = eqx.combine(loaded["state"], full)
    return Policy(**rest, spec=spec, action_space=space, agent=agent, state=state, hypers=loaded["hypers"])


def _acting_part(state: PyTree) -> PyTree:
    """An agent's state without what acting does not need: where it has a field `policy`, only that; of an agent around
    another, the `learner`'s."""
    if hasattr(state, "learner"):
        return eqx.tree_at(lambda outer: outer.learner, state, _acting_part(state.learner))
    top = {path[0] for path, _ in jax.tree_util.tree_leaves_with_path(state) if path}
    policy = jax.tree_util.GetAttrKey("policy")
    if policy not in top:
        return state
    return jax.tree_util.tree_map_with_path(lambda path, leaf: leaf if path[0] == policy else None, state)
