"""The static settings of a training run."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import jax
from jaxtyping import PyTree

from .. import envs
from .._errors import check_choice, check_flag, check_integer, check_number, did_you_mean
from .._hypers import check_numbers
from ..agents import AbstractActing, AbstractAgent, AgentSpec, CRL, Hypers, Mode, Sample
from ..agents._acting import as_acting, check_acting
from ..agents._normalizer import Normalized
from ..envs import AbstractGoalEnv, GOAL_RESETS
from ..replay import TrajectoryQueue
from . import _serialise
from ._checks import check_budget, check_buffer, check_episode, check_tasks
from ._presets import laptop_settings, paper_settings


PRESETS = ("laptop", "paper")
LANE_LAYOUTS = ("batched", "serial")
EnvOptions = tuple[tuple[str, Any], ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The settings of a training run: shapes, choices and numbers. Plain values, hashable; making one builds nothing and
    touches no device.

    Numbers that may differ from lane to lane of one program are marked on the agent's fields
    ([`deepcrl.agents.lane_number`][]).

    **Raises:** `ValueError`, `TypeError` or [`deepcrl.envs.UnknownEnvironmentError`][] for what cannot run. What takes
    the environment to tell (its options, sizes and episodes) [`deepcrl.make_train`][] says, before anything is compiled.
    """

    env: str | AbstractGoalEnv
    """The task to train on: a name (see `deepcrl envs`) or an environment object."""
    agent: AbstractAgent = dataclasses.field(default_factory=CRL)
    """The algorithm and its networks."""
    collector: AbstractAgent | None = None
    """Another agent that collects in place of `agent`, which learns from what it finds and is evaluated; by default the
    agent collects for itself."""
    env_options: EnvOptions | Mapping[str, Any] = ()
    """Options of the named task, for example starts=free goals=free (in Python a mapping or pairs)."""
    eval_env: str | AbstractGoalEnv | None = None
    """The task to evaluate on; by default the one trained on."""
    eval_env_options: EnvOptions | Mapping[str, Any] | None = None
    """Options of the named task to evaluate on; by default those of the one trained on."""
    total_env_steps: int = 1_000_000
    """Environment steps of the whole run, prefill included; whole epochs that fit are run."""
    epochs: int = 20
    """How many times to evaluate: once after each epoch."""
    num_envs: int = 64
    """Environments that collect side by side."""
    rollout_length: int = 50
    """Steps of every environment between updates."""
    batch_size: int = 256
    """Transitions per update; every other goal of the batch is a negative."""
    utd_ratio: float = 0.025
    """Updates per environment step (the paper: 1 per 40)."""
    buffer_length: int = 4_000
    """Steps kept per environment."""
    prefill_length: int = 300
    """Steps of every environment before the first update, rounded up to whole roll-outs."""
    episode_length: int | None = None
    """Steps after which an episode is truncated (by default the task's own)."""
    goal_reset: Literal["resample", "cached"] | None = None
    """Fresh start and goal for every episode, or the first one of each environment for ever (by default the task's own:
    resample)."""
    eval_envs: int = 128
    """Episodes per evaluation, side by side."""
    collect_actions: AbstractActing = Sample()
    """How training environments are acted in: samples of the policy (stochastic), its mode (deterministic), or the best by
    the critic of that many samples."""
    eval_actions: AbstractActing = Mode()
    """How evaluation environments are acted in; as above."""
    normalize_observations: bool = False
    """Observations and goals reach the networks with zero mean and unit variance, by running statistics (in the paper as
    they come)."""
    lane_layout: Literal["batched", "serial"] | None = None
    """Lanes side by side in one batch, or one after another inside the program (by default serial on a CPU, where a lane
    then computes bit for bit what it computes alone, about as fast; batched elsewhere)."""
    debug_checks: bool = False
    """Stop with an error at the first non-finite loss or observation; switches JAX's compilation cache off."""

    def __new__(cls, *args: Any, **fields: Any):
        """Says where a field that is not of the config belongs."""
        known = [field.name for field in dataclasses.fields(cls)]
        for name in fields.keys() - set(known):
            agent = fields.get("agent", CRL())
            if name in vars(agent):
                example = f"Config(agent={type(agent).__name__}({name}={fields[name]!r}))"
                raise TypeError(f"`Config` has no field {name!r}: it is the agent's. Write `{example}`.")
            raise TypeError(f"`Config` has no field {name!r}. {did_you_mean(name, known)}")
        return super().__new__(cls)

    def __post_init__(self):
        for name in _serialise.OPTION_FIELDS:
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _option_pairs(name, getattr(self, name)))
        check_flag("debug_checks", self.debug_checks)
        check_flag("normalize_observations", self.normalize_observations)
        for name in ("agent", "collector"):
            agent = getattr(self, name)
            if not isinstance(agent, AbstractAgent) and not (name == "collector" and agent is None):
                raise TypeError(f"`{name}` must be an agent such as `CRL(depth=16)`, got {agent!r}.")
            if agent is not None:
                check_numbers(agent)
        for name in ("total_env_steps", "epochs", "num_envs", "rollout_length", "eval_envs", "buffer_length"):
            check_integer(name, getattr(self, name))
        check_integer("batch_size", self.batch_size, 2)
        check_integer("prefill_length", self.prefill_length)
        if self.episode_length is not None:
            check_integer("episode_length", self.episode_length)
        if self.goal_reset is not None:
            check_choice("goal_reset", self.goal_reset, GOAL_RESETS)
        if self.lane_layout is not None:
            check_choice("lane_layout", self.lane_layout, LANE_LAYOUTS)
        for name, actor in (("collect_actions", self.collector or self.agent), ("eval_actions", self.agent)):
            object.__setattr__(self, name, as_acting(name, getattr(self, name)))
            check_acting(name, getattr(self, name), actor)
        check_number("utd_ratio", self.utd_ratio, 0.0, open_low=True)
        check_tasks(self)
        check_episode(self, self.episode_length)
        check_buffer(self)
        check_budget(self)

    def tasks(self) -> tuple[tuple[str, str | AbstractGoalEnv, EnvOptions], ...]:
        """To train on and to evaluate on: the field, the task, its options."""
        options = self.eval_env_options
        if options is None:
            options = self.env_options if isinstance(self.eval_env, str | None) else ()
        eval_env = self.env if self.eval_env is None else self.eval_env
        return ("env", self.env, self.env_options), ("eval_env", eval_env, options)  # pyright: ignore[reportReturnType]

    @classmethod
    def preset(cls, task: str, name: str, **changes: Any) -> "Config":
        """Settings of a task by name: `"laptop"`, those that we trained with on two cores, or `"paper"`, the published ones
        ([`Config.paper`][deepcrl.Config.paper]). `changes` replace single fields.

        **Raises:** `ValueError` for an unknown name, or a task without such settings.
        """
        check_choice("preset", name, PRESETS)
        settings = laptop_settings(task) if name == "laptop" else paper_settings(task, envs.names())
        return cls(**{**settings, **changes})

    @classmethod
    def paper(cls, task: str, **changes: Any) -> "Config":
        """The published settings of a task: sizes of the paper's table of hyper-parameters, the task's own budget.

        The point mazes, which the paper does not have, get the settings of the ant in the same maze. `changes` replace
        single fields, for example `agent=CRL(depth=64)`.

        **Raises:** `ValueError` for a task without published settings; `UnknownEnvironmentError` for one whose
        environment this version does not have.
        """
        return cls.preset(task, "paper", **changes)

    # -- built from the settings -----------------------------------------------------------------------------------

    def make_env(self) -> tuple[AbstractGoalEnv, PyTree]:
        """The training environment and its parameters."""
        return self._build_env(*self.tasks()[0][1:])

    def make_eval_env(self) -> tuple[AbstractGoalEnv, PyTree]:
        """The evaluation environment and its parameters; it draws a fresh start and goal at every reset."""
        env, params = self._build_env(*self.tasks()[1][1:])
        return dataclasses.replace(env, goal_reset="resample"), params

    def _build_env(self, env: str | AbstractGoalEnv, options: EnvOptions) -> tuple[AbstractGoalEnv, PyTree]:
        if isinstance(env, str):
            env, params = envs.make(env, **dict(options))
        else:
            params = env.default_params
        given = {"goal_reset": self.goal_reset, "episode_length": self.episode_length}
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        return dataclasses.replace(env, **changes), params

    def make_agent(self) -> AbstractAgent:
        """The agent as it is trained: around it, if observations are to be normalised, what does so."""
        return self._prepared(self.agent)

    def make_collector(self) -> AbstractAgent | None:
        """The collector, in the same way; `None` where the agent collects for itself."""
        return None if self.collector is None else self._prepared(self.collector)

    def _prepared(self, agent: AbstractAgent) -> AbstractAgent:
        return Normalized(learner=agent) if self.normalize_observations else agent

    def hypers(self) -> Hypers:
        """The numbers of the agent's config as arrays, for one lane."""
        return self.agent.hypers()

    def queue(self) -> TrajectoryQueue:
        """The replay buffer's structure."""
        return TrajectoryQueue(num_envs=self.num_envs, length=self.buffer_length)

    @property
    def layout(self) -> str:
        """`lane_layout`, or its default on this machine."""
        return self.lane_layout or ("serial" if jax.default_backend() == "cpu" else "batched")

    # -- derived numbers -------------------------------------------------------------------------------------------

    @property
    def env_steps_per_step(self) -> int:
        """Environment steps of one roll-out of all environments."""
        return self.num_envs * self.rollout_length

    @property
    def prefill_rollouts(self) -> int:
        """Roll-outs before the first update."""
        return -(-self.prefill_length // self.rollout_length)

    @property
    def prefill_env_steps(self) -> int:
        """Environment steps before the first update."""
        return self.prefill_rollouts * self.env_steps_per_step

    @property
    def exact_updates_per_step(self) -> float:
        """Updates after each roll-out, before they are rounded."""
        return self.utd_ratio * self.env_steps_per_step

    @property
    def updates_per_step(self) -> int:
        """Updates after each roll-out."""
        return max(1, round(self.exact_updates_per_step))

    @property
    def steps_per_epoch(self) -> int:
        """Roll-outs, each followed by its updates, in one epoch."""
        return (self.total_env_steps - self.prefill_env_steps) // (self.epochs * self.env_steps_per_step)

    @property
    def env_steps_per_epoch(self) -> int:
        """Environment steps of one epoch."""
        return self.steps_per_epoch * self.env_steps_per_step

    @property
    def actual_env_steps(self) -> int:
        """Environment steps really taken: the prefill and whole epochs, at most `total_env_steps`."""
        return self.prefill_env_steps + self.epochs * self.env_steps_per_epoch

    @property
    def actual_updates(self) -> int:
        """Updates of the whole run."""
        return self.epochs * self.steps_per_epoch * self.updates_per_step

    # -- files -----------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and TOML. **Raises** `ValueError` where a field holds an object without a name."""
        return _serialise.to_dict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Config":
        """The inverse of `to_dict`. **Raises** `ValueError` for an unknown field, with close matches."""
        if "config" in values and "lanes" in values:
            raise ValueError("This is the `config.json` of a run: `deepcrl.open_run(folder).config` reads it.")
        return _serialise.from_dict(cls, values)

    def to_json(self) -> str:
        """As JSON text."""
        return _serialise.to_json(self)

    @classmethod
    def from_json(cls, text: str) -> "Config":
        """From JSON text."""
        return cls.from_dict(_serialise.parsed_json(cls, text))

    def to_toml(self) -> str:
        """As TOML text."""
        return _serialise.to_toml(self)

    @classmethod
    def from_toml(cls, text: str) -> "Config":
        """From TOML text."""
        return _serialise.from_toml(cls, text)


def _option_pairs(field: str, options: Any) -> EnvOptions:
    pairs = options.items() if isinstance(options, Mapping) else options
    try:
        return tuple(sorted((str(name), value) for name, value in pairs))
    except (TypeError, ValueError):
        raise ValueError(
            f"`{field}` must be a mapping or (name, value) pairs, such as {{'starts': 'free'}}; got {options!r}."
        ) from None


def env_spec(env: AbstractGoalEnv, params: PyTree) -> AgentSpec:
    """The sizes that an agent for this environment is built for."""
    space = env.observation_space(params)
    return AgentSpec(
        observation_size=space.observation.size,
        goal_size=space.desired_goal.size,
        action_size=env.action_space(params).size,
    )
