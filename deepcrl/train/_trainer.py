"""The training function: roll out, add, sample, update, evaluate."""

import os
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
from jaxtyping import Array, PyTree

from .._hypers import Hypers
from .._random import as_key, stream
from .._tree import tree_bytes
from .._typing import IntScalar, Key, Policy
from ..agents import AbstractAgent
from ..envs import EnvState, GoalObservation, VectorEnv
from ..envs._check import check_shapes
from ..eval import EvalMetrics, evaluate
from ..replay import Batch, Memory, QueueState, Transition
from ._checks import check_episode
from ._collected import Failures, Spread
from ._config import Config, env_spec
from ._divergence import freeze_diverged
from ._lanes import check_hypers
from ._state import Metrics, TrainResult, TrainState


class Trainer:
    """What [`deepcrl.make_train`][] returns: `train(seed)`, and its parts.

    Every method is jitted and pure and may be vmapped over all its arguments; a vmapped run is one program of many
    lanes. `train(seed, hypers)` is `init(seed, hypers)` followed by a scan of `epoch`.
    """

    def __init__(self, config: Config):
        """Builds environments, agents and buffer of a config; compiles nothing."""
        self.config = config
        self.agent, self.collector = config.make_agent(), config.make_collector()
        self.env, self.env_params = config.make_env()
        self.eval_env, self.eval_env_params = config.make_eval_env()
        check_episode(config, self.env.episode_length)
        self.spec = env_spec(self.env, self.env_params)
        if self.spec != (eval_spec := env_spec(self.eval_env, self.eval_env_params)):
            raise ValueError(f"`eval_env` must have the sizes of `env`, {self.spec}; got {eval_spec}.")
        self.envs = VectorEnv(self.env, config.num_envs)
        self.queue = config.queue()
        self._train = jax.jit(lambda *lane: self.whole(self.fresh(*lane)))
        self._init = jax.jit(lambda *lane: self.prefill(self.fresh(*lane)))
        self._epoch, self._evaluate = jax.jit(self.one_epoch), jax.jit(self.one_evaluation)

    def __call__(self, seed: Any, hypers: Hypers | None = None) -> TrainResult:
        """**Arguments:**

        - `seed`: an integer, an integer array or a typed PRNG key.
        - `hypers`: the lane's numbers; `config.hypers()` by default.

        **Returns:** the state after the last epoch and the metrics of all epochs.
        """
        state, metrics = self._train(as_key(seed), self._checked(hypers))
        return TrainResult(state=state, metrics=metrics)

    def init(self, seed: Any, hypers: Hypers | None = None) -> TrainState:
        """Fresh networks, and a buffer prefilled by the untrained policy; arguments as for a call."""
        return self._init(as_key(seed), self._checked(hypers))

    def epoch(self, state: TrainState) -> tuple[TrainState, Metrics]:
        """One epoch of roll-outs and updates, and the evaluation after it.

        A host loop over this that saves and logs in between computes the same numbers, bit for bit, as a call. Donate
        the state where memory is short: `jax.jit(train.epoch, donate_argnums=0)`.
        """
        return self._epoch(state)

    def evaluate(self, state: TrainState) -> EvalMetrics:
        """The policy (by default its mode) in `config.eval_envs` fresh episodes. The same state gives the same numbers."""
        return self._evaluate(state)

    def sweep(self, lanes: Any, mesh: Any = None) -> Any:
        """[`deepcrl.Sweep`][] of lanes that [`deepcrl.lanes`][] made of this config: they may differ in anything."""
        from ._sweep import Sweep  # it stands on this class

        return Sweep(lanes, mesh)

    def lane_shapes(self) -> TrainState:
        """One lane's state as `jax.ShapeDtypeStruct`s."""
        return jax.eval_shape(self.fresh, jr.key(0), self.config.hypers())

    def state_bytes(self) -> int:
        """Bytes of one lane's `TrainState`, buffer included; nothing is allocated to find out."""
        return tree_bytes(self.lane_shapes())

    def buffer_bytes(self) -> int:
        """Bytes of one lane's replay buffer; nothing is allocated to find out."""
        return self.queue.nbytes(self._example())

    def policy(self, state: TrainState) -> Policy:
        """The policy of one lane as evaluations act, `policy(observation, goal, *, key) -> action in [-1, 1]` of one
        sample. Ways to act of your own: `Sample().policy(trainer.agent, state.agent, state.hypers)`."""
        return self.config.eval_actions.policy(self.agent, state.agent, state.hypers)

    def value(self, state: TrainState, observation: Array, goal: Array, action: Array | None = None) -> Array:
        """What one lane's critic says of one observation and goal, by default under the policy's mode."""
        return self.agent.value(state.agent, observation, goal, state.hypers, action)

    def _checked(self, hypers: Hypers | None) -> Hypers:
        if hypers is None:
            return self.config.hypers()
        check_hypers(hypers, self.config)
        return hypers

    # -- one lane --------------------------------------------------------------------------------------------------

    def fresh(self, seed: Any, hypers: Hypers) -> TrainState:
        """Before the first step. Not jitted, like all of these: for programs of several lanes."""
        agent_key, env_key, root_key = jr.split(as_key(seed), 3)
        obs, env_state = self.envs.reset(env_key, self.env_params)
        collector = self.collector
        # A collector is drawn as it would be alone.
        learner_key = agent_key if collector is None else jr.fold_in(agent_key, 1)
        return TrainState(
            agent=self.agent.init(self.spec, key=learner_key),
            collector=None if collector is None else collector.init(self.spec, key=agent_key),
            hypers=hypers,
            env=env_state,
            obs=obs,
            queue=self.queue.init(self._example()),
            key=root_key,
            env_steps=jnp.zeros((), jnp.int32),
            grad_steps=jnp.zeros((), jnp.int32),
            diverged=jnp.zeros((), bool),
            failures=Failures.none(env_state.inner, self.spec.action_size),
        )

    def prefill(self, state: TrainState) -> TrainState:
        """A fresh state with a buffer of roll-outs."""

        def collect(state: TrainState, _: None) -> tuple[TrainState, None]:
            return self._collect(state)[0], None

        return jax.lax.scan(collect, state, length=self.config.prefill_rollouts)[0]

    def whole(self, state: TrainState) -> tuple[TrainState, Metrics]:
        """All of training from a fresh state."""

        def epoch(state: TrainState, _: None) -> tuple[TrainState, Metrics]:
            return self.one_epoch(state)

        return jax.lax.scan(epoch, self.prefill(state), length=self.config.epochs)

    @property
    def _keeps_next(self) -> bool:
        return any(agent.replay.keeps_next for agent in (self.agent, self.collector) if agent is not None)

    def _example(self) -> Transition:
        """A step of zeros, of the shapes and dtypes that the replay buffer stores."""
        observation, goal = jnp.zeros(self.spec.observation_size), jnp.zeros(self.spec.goal_size)
        return Transition(
            observation=observation,
            action=jnp.zeros(self.spec.action_size),
            achieved_goal=goal,
            desired_goal=goal,
            reward=jnp.zeros(()),
            terminated=jnp.zeros((), bool),
            truncated=jnp.zeros((), bool),
            episode_id=jnp.zeros((), jnp.int32),
            next_observation=observation if self._keeps_next else None,
            next_achieved_goal=goal if self._keeps_next else None,
        )

    def one_epoch(self, state: TrainState) -> tuple[TrainState, Metrics]:
        """Roll-outs, each followed by its updates, and an evaluation."""

        def step(state: TrainState, _: None) -> tuple[TrainState, tuple[PyTree, Spread]]:
            state, actions = self._collect(state)
            state, agent_metrics = self._learn(state)
            return state, (agent_metrics, actions)

        state, (agent_metrics, actions) = jax.lax.scan(step, state, length=self.config.steps_per_epoch)
        agent_metrics = jtu.tree_map(jnp.mean, agent_metrics)
        if self.config.debug_checks:
            state = _check_finite(state, agent_metrics)
        metrics = Metrics(
            env_steps=state.env_steps,
            grad_steps=state.grad_steps,
            diverged=state.diverged,
            failed_steps=state.failures.count,
            action_std=actions.std(),
            agent=agent_metrics,
            evaluation=self.one_evaluation(state),
        )
        return state, metrics

    @jax.named_scope("deepcrl.collect")
    def _collect(self, state: TrainState) -> tuple[TrainState, Spread]:
        action_space = self.envs.action_space(self.env_params)
        policy = self._collecting(state)

        def step(
            carry: tuple[EnvState, GoalObservation, Failures], key: Key
        ) -> tuple[tuple[EnvState, GoalObservation, Failures], Transition]:
            env_state, obs, failures = carry
            act_key, step_key = jr.split(key)
            action = jax.vmap(lambda o, g, k: policy(o, g, key=k))(
                obs.observation, obs.desired_goal, jr.split(act_key, self.config.num_envs)
            )
            env_action = jax.vmap(action_space.from_unit)(action)
            new_obs, new_env_state, reward, terminated, truncated, info = self.envs.step(
                step_key, env_state, env_action, self.env_params
            )
            failures = failures.after(info["failed"], env_state.inner, env_action)
            end = info["final_observation"] if self._keeps_next else None
            transition = Transition(
                observation=obs.observation,
                action=action,
                achieved_goal=obs.achieved_goal,
                desired_goal=obs.desired_goal,
                reward=reward,
                terminated=terminated,
                truncated=truncated,
                episode_id=env_state.episode_id,
                next_observation=end and end.observation,
                next_achieved_goal=end and end.achieved_goal,
            )
            return (new_env_state, new_obs, failures), transition

        keys = jr.split(stream(state.key, "collect", state.env_steps), self.config.rollout_length)
        carry = (state.env, state.obs, state.failures)
        (env_state, obs, failures), rollout = jax.lax.scan(step, carry, keys, length=self.config.rollout_length)
        collected = TrainState(
            agent=state.agent,
            collector=state.collector,
            hypers=state.hypers,
            env=env_state,
            obs=obs,
            queue=self.queue.add(state.queue, rollout),
            key=state.key,
            env_steps=state.env_steps + self.config.env_steps_per_step,
            grad_steps=state.grad_steps,
            diverged=state.diverged,
            failures=failures,
        )
        return collected, Spread.of(rollout.action)

    def _collecting(self, state: TrainState) -> Policy:
        if self.collector is None:
            return self.config.collect_actions.policy(self.agent, state.agent, state.hypers)
        return self.config.collect_actions.policy(self.collector, state.collector, self.collector.hypers())

    def _learn(self, state: TrainState) -> tuple[TrainState, PyTree]:
        def update(carry: tuple[PyTree, PyTree, IntScalar], _: None) -> tuple[tuple[PyTree, PyTree, IntScalar], PyTree]:
            agent, collector, grad_steps = carry
            batch_key, update_key = jr.split(stream(state.key, "update", grad_steps))
            learner_key = update_key if self.collector is None else jr.fold_in(update_key, 1)
            if self.collector is not None:  # it makes the updates that it would make alone
                hypers = self.collector.hypers()
                batch = self._sample_batch(self.collector, state.queue, hypers, batch_key)
                collector, _ = self.collector.update(collector, batch, hypers, key=update_key)
            batch = self._sample_batch(self.agent, state.queue, state.hypers, batch_key)
            agent, metrics = self.agent.update(agent, batch, state.hypers, key=learner_key)
            return (agent, collector, grad_steps + 1), metrics

        carry = (state.agent, state.collector, state.grad_steps)
        learnt, metrics = jax.lax.scan(update, carry, length=self.config.updates_per_step)
        metrics = jtu.tree_map(jnp.mean, metrics)
        return freeze_diverged(state, learnt, metrics), metrics

    @jax.named_scope("deepcrl.sample")
    def _sample_batch(self, agent: AbstractAgent, queue: QueueState, hypers: Hypers, key: Key) -> Batch:
        reached = lambda achieved, goal: self.env.success(achieved, goal, self.env_params)
        memory = Memory(self.queue, queue, reached)
        return jax.vmap(lambda key: agent.replay(memory, hypers, key=key))(jr.split(key, self.config.batch_size))

    @jax.named_scope("deepcrl.evaluate")
    def one_evaluation(self, state: TrainState) -> EvalMetrics:
        """The policy in fresh episodes."""
        key = stream(state.key, "evaluate", state.env_steps)
        return evaluate(self.eval_env, self.eval_env_params, self.policy(state), self.config.eval_envs, key=key)


def make_train(config: Config) -> Trainer:
    """The training function of a config: checks it, builds it, and compiles on the first call.

    ```python
    train = make_train(Config(env="point_u_maze"))
    result = jax.vmap(train)(jnp.arange(8))  # 8 seeds, one program
    result.metrics.success_any  # (8, epochs)
    ```

    **Arguments:**

    - `config`: of the run.

    **Returns:** a [`deepcrl.Trainer`][].

    **Raises:** `ValueError` for what the environment tells of the config, `MemoryError` if one lane's state cannot fit the
    device; [`deepcrl.envs.InvalidEnvironmentError`][] if the environment returns other shapes than its spaces say.
    """
    if not isinstance(config, Config):
        raise TypeError(f"`make_train` takes a `Config`, got {config!r}.")
    trainer = Trainer(config)
    check_shapes(trainer.env, trainer.env_params)
    if config.eval_env is not None:
        check_shapes(trainer.eval_env, trainer.eval_env_params)
    check_memory([trainer], [1])
    return trainer


def available_memory() -> int:
    """Bytes of the first device."""
    return _own_memory() or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _own_memory() -> int | None:
    return (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")


def check_memory(trainers: Sequence[Trainer], lanes: Sequence[int], devices: int = 1) -> None:
    """Raises `MemoryError` if the states of so many lanes of each trainer, spread over so many devices, cannot fit them."""
    available = available_memory()
    share = devices if _own_memory() else 1  # the devices of a CPU share the machine's
    sizes = [max(number // share, 1) for number in lanes]
    needed, of_buffer = (
        sum(size * count(trainer) for trainer, size in zip(trainers, sizes, strict=True))
        for count in (Trainer.state_bytes, Trainer.buffer_bytes)
    )
    if needed > available:
        raise MemoryError(
            f"{sum(sizes)} lane(s) need {needed / 1e9:.1f} GB of state, {of_buffer / 1e9:.1f} GB of it replay buffer; the "
            f"device has {available / 1e9:.1f} GB. Lower `buffer_length`, `num_envs`, depth, width or the number of lanes."
        )


def _check_finite(state: TrainState, metrics: PyTree) -> TrainState:
    for name, tree in (("A metric", metrics), ("An observation", state.obs)):
        bad = jnp.any(jnp.asarray([~jnp.all(jnp.isfinite(leaf)) for leaf in jtu.tree_leaves(tree)]))
        # Through one leaf: the check takes no typed keys.
        env_steps = eqx.error_if(state.env_steps, bad, f"{name} of this epoch is not finite.")
        state = eqx.tree_at(lambda s: s.env_steps, state, env_steps)
    return state
