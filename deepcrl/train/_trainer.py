"""The one training loop: collect, add, sample, relabel, update, evaluate."""

import dataclasses
import os
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
from jaxtyping import Array, PyTree

from .._random import as_key, stream
from .._tree import tree_bytes
from .._typing import IntScalar, Key
from ..agents import Batch, Hypers, Outcome
from ..envs import EnvState, GoalObservation, VectorEnv
from ..envs._check import check_shapes
from ..eval import EvalMetrics, evaluate
from ..replay import goals_from_name, QueueState, Transition
from ._acting import acting_policy
from ._collected import Failures, Spread
from ._config import Config, env_spec, example_transition
from ._divergence import freeze_diverged
from ._hidden import refuse_hidden_width
from ._lanes import check_hypers
from ._staircase import lane_sizes, LaneFunction, Size, Sizes
from ._state import Metrics, TrainResult, TrainState


class Trainer:
    """What [`deepcrl.make_train`][] returns: `train(seed)`, and its parts.

    Every method is jitted and pure and may be vmapped over all its arguments; a vmapped run is one program of many
    lanes. `train(seed, hypers)` is `init(seed, hypers)` followed by a scan of `epoch`.
    """

    def __init__(self, config: Config, sizes: Sizes | None = None):
        """Builds environments, agent and buffer of a config; compiles nothing."""
        self.config = config
        self.agent = config.make_agent()
        self.env, self.env_params = config.make_env()
        self.envs = VectorEnv(self.env, config.num_envs)
        self.eval_env, self.eval_env_params = config.make_eval_env()
        self.spec = env_spec(self.env, self.env_params)
        self.queue = config.queue()
        self._resized: dict[Size, Trainer] = {}
        given = lambda trainer, state: state
        self._train = LaneFunction(self, Trainer._fresh_lane, Trainer._train_lane, sizes)
        self._init = LaneFunction(self, Trainer._fresh_lane, Trainer._prefill_lane, sizes)
        self._epoch = LaneFunction(self, given, Trainer._epoch_lane, sizes)
        self._evaluate = LaneFunction(self, given, lambda trainer, state: (None, trainer._evaluate_lane(state)), sizes)

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
        return self._init(as_key(seed), self._checked(hypers))[0]

    def epoch(self, state: TrainState) -> tuple[TrainState, Metrics]:
        """One epoch of roll-outs and updates, and the evaluation after it.

        A host loop over this that saves and logs in between computes the same numbers, bit for bit, as a call. Donate
        the state where memory is short:
        `jax.jit(train.epoch, donate_argnums=0)`.
        """
        return self._epoch(state)

    def evaluate(self, state: TrainState) -> EvalMetrics:
        """The policy (by default its mode) in `config.eval_envs` fresh episodes. The same state gives the same numbers."""
        return self._evaluate(state)[1]

    def at_size(
        self, actor_depth: int | None = None, critic_depth: int | None = None, width: int | None = None
    ) -> "Trainer":
        """The same with networks of the sizes that are given."""
        size = (actor_depth, critic_depth, width)
        if size not in self._resized:
            config = dataclasses.replace(self.config, agent=self.config.agent.at_size(*size))
            with jax.ensure_compile_time_eval():  # it outlives the trace that may be going on
                self._resized[size] = Trainer(config)
        return self._resized[size]

    def lane_shapes(self) -> TrainState:
        """One lane's state as `jax.ShapeDtypeStruct`s."""
        return jax.eval_shape(self._fresh_lane, jr.key(0), self.config.hypers())

    def state_bytes(self) -> int:
        """Bytes of one lane's `TrainState`, buffer included; nothing is allocated to find out."""
        return tree_bytes(self.lane_shapes())

    def policy(self, state: TrainState, *, deterministic: bool | None = None):
        """The policy of one lane: a function `policy(observation, goal, key=key)` of one sample.

        **Arguments:**

        - `state`: of the lane.
        - `deterministic`: the mode, or samples; by default as evaluations act, `config.eval_actions`.
        """
        chosen = {None: self.config.eval_actions, True: "deterministic", False: "stochastic"}
        actions = chosen[deterministic]
        return acting_policy(self.agent, state.agent, state.hypers, actions)

    def _checked(self, hypers: Hypers | None) -> Hypers:
        if hypers is None:
            return self.config.hypers()
        check_hypers(hypers, self.agent)
        return hypers

    # -- one lane --------------------------------------------------------------------------------------------------

    def _train_lane(self, state: TrainState) -> tuple[TrainState, Metrics]:
        def epoch(state: TrainState, _: None) -> tuple[TrainState, Metrics]:
            return self._epoch_lane(state)

        return jax.lax.scan(epoch, self._prefill_lane(state)[0], length=self.config.epochs)

    def _fresh_lane(self, key: Key, hypers: Hypers) -> TrainState:
        agent_key, env_key, root_key = jr.split(key, 3)
        obs, env_state = self.envs.reset(env_key, self.env_params)
        return TrainState(
            agent=self.agent.init(self.spec, key=agent_key),
            hypers=refuse_hidden_width(hypers),
            env=env_state,
            obs=obs,
            queue=self.queue.init(example_transition(self.spec, self.agent.needs_outcome)),
            key=root_key,
            env_steps=jnp.zeros((), jnp.int32),
            grad_steps=jnp.zeros((), jnp.int32),
            diverged=jnp.zeros((), bool),
            failures=Failures.none(env_state.inner, self.spec.action_size),
        )

    def _prefill_lane(self, state: TrainState) -> tuple[TrainState, None]:
        def prefill(state: TrainState, _: None) -> tuple[TrainState, None]:
            return self._collect(state)[0], None

        return jax.lax.scan(prefill, state, length=self.config.prefill_rollouts)

    def _epoch_lane(self, state: TrainState) -> tuple[TrainState, Metrics]:
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
            evaluation=self._evaluate_lane(state),
        )
        return state, metrics

    @jax.named_scope("deepcrl.collect")
    def _collect(self, state: TrainState) -> tuple[TrainState, Spread]:
        action_space = self.envs.action_space(self.env_params)
        policy = acting_policy(*self.agent.collecting(state.agent, state.hypers), self.config.collect_actions)

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
            end = info["final_observation"] if self.agent.needs_outcome else None
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

    def _learn(self, state: TrainState) -> tuple[TrainState, PyTree]:
        def update(carry: tuple[PyTree, IntScalar], _: None) -> tuple[tuple[PyTree, IntScalar], PyTree]:
            agent_state, grad_steps = carry
            batch_key, update_key = jr.split(stream(state.key, "update", grad_steps))
            batch = self._sample_batch(state.queue, state.hypers, batch_key)
            agent_state, metrics = self.agent.update(agent_state, batch, state.hypers, key=update_key)
            return (agent_state, grad_steps + 1), metrics

        carry = (state.agent, state.grad_steps)
        (agent_state, grad_steps), metrics = jax.lax.scan(update, carry, length=self.config.updates_per_step)
        learnt = eqx.tree_at(lambda s: (s.agent, s.grad_steps), state, (agent_state, grad_steps))
        metrics = jtu.tree_map(jnp.mean, metrics)
        return freeze_diverged(state, learnt, metrics), metrics

    @jax.named_scope("deepcrl.sample")
    def _sample_batch(self, queue_state: QueueState, hypers: Hypers, key: Key) -> Batch:
        gamma = jnp.ones(()) if self.agent.uniform_future else hypers.gamma
        goals = goals_from_name(self.agent.hindsight, gamma, self.agent.hindsight_ratio)

        def draw(key: Key) -> Batch:
            sample_key, goal_key = jr.split(key)
            sample = self.queue.sample(queue_state, newest=self.agent.newest_steps, key=sample_key)
            goal = goals(self.queue, queue_state, sample, key=goal_key)
            return Batch(
                observation=sample.transition.observation,
                action=sample.transition.action,
                goal=goal,
                outcome=self._outcome(sample.transition, goal) if self.agent.needs_outcome else None,
            )

        return jax.vmap(draw)(jr.split(key, self.config.batch_size))

    def _outcome(self, step: Transition, goal: Array) -> Outcome:
        reward = step.reward
        if (
            self.agent.hindsight != "none"
        ):  # one reward for all goals: the sparse one, of the state that the step led to
            reached = self.env.success(step.next_achieved_goal, goal, self.env_params)  # pyright: ignore[reportArgumentType]
            reward = reached.astype(jnp.float32)
        return Outcome(
            next_observation=step.next_observation,  # pyright: ignore[reportArgumentType]
            reward=reward,
            terminated=step.terminated,
        )

    @jax.named_scope("deepcrl.evaluate")
    def _evaluate_lane(self, state: TrainState) -> EvalMetrics:
        key = stream(state.key, "evaluate", state.env_steps)
        policy = acting_policy(self.agent, state.agent, state.hypers, self.config.eval_actions)
        return evaluate(self.eval_env, self.eval_env_params, policy, self.config.eval_envs, key=key)


def make_train(config: Config, *, hypers: Hypers | None = None) -> Trainer:
    """The training function of a config: checks it, builds it, and compiles on the first call.

    ```python
    train = make_train(Config(env="point_u_maze"))
    result = jax.vmap(train)(jnp.arange(8))  # 8 seeds, one program
    result.metrics.success_any  # (8, epochs)
    ```

    Lanes of different depth and width are laid out by size, so that none pays for a larger one. That takes the values of
    their sizes: `jax.vmap(train)(seeds, hypers)` sees them, a `jax.jit` around it hides them.

    **Arguments:**

    - `config`: of the run.
    - `hypers`: the numbers of the lanes that will be trained, leaves `lane`: a promise of their sizes, kept by the
        caller, for programs with a `jit` around the vmap, such as `jax.jit(jax.vmap(train.epoch), donate_argnums=0)`.
        Without it the small lanes of such a program mask what is idle and cost as much as the largest, and programs
        that draw weights, of `train` and `train.init`, cannot have lanes of their own width.

    **Returns:** a [`deepcrl.Trainer`][].

    **Raises:** `MemoryError` if one lane's state cannot fit the device; [`deepcrl.envs.InvalidEnvironmentError`][] if the
    environment returns other shapes than its spaces say.
    """
    if not isinstance(config, Config):
        raise TypeError(f"`make_train` takes a `Config`, got {config!r}.")
    if hypers is not None:
        check_hypers(hypers, config.agent)
    trainer = Trainer(config, None if hypers is None else lane_sizes(hypers))
    check_shapes(trainer.env, trainer.env_params)
    if config.eval_env is not None:
        check_shapes(trainer.eval_env, trainer.eval_env_params)
    check_memory(trainer, lanes=1)
    return trainer


def available_memory() -> int:
    """Bytes of the first device."""
    return _own_memory() or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _own_memory() -> int | None:
    return (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")


def check_memory(trainer: Trainer, lanes: int, devices: int = 1) -> None:
    """Raises `MemoryError` if the states of that many lanes, spread over so many devices, cannot fit them."""
    available = available_memory()
    if _own_memory():  # the devices of a CPU share the machine's
        lanes = max(lanes // devices, 1)
    needed = lanes * trainer.state_bytes()
    if needed > available:
        raise MemoryError(
            f"{lanes} lane(s) need {needed / 1e9:.1f} GB of state, {lanes * trainer.config.buffer_bytes / 1e9:.1f} GB of "
            f"it replay buffer; the device has {available / 1e9:.1f} GB. Lower `buffer_length`, `num_envs`, depth, width "
            "or the number of lanes."
        )


def _check_finite(state: TrainState, metrics: PyTree) -> TrainState:
    for name, tree in (("A metric", metrics), ("An observation", state.obs)):
        bad = jnp.any(jnp.asarray([~jnp.all(jnp.isfinite(leaf)) for leaf in jtu.tree_leaves(tree)]))
        # Through one leaf: the check takes no typed keys.
        env_steps = eqx.error_if(state.env_steps, bad, f"{name} of this epoch is not finite.")
        state = eqx.tree_at(lambda s: s.env_steps, state, env_steps)
    return state
