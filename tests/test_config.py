"""Configs: files give back what was written, derived numbers add up, what cannot run is refused with a remedy."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from strategies import agent_fields, config_fields, registering, run_python, tiny, unchecked
from trees import named


CORRIDOR = "11111/1R0G1/11111"


# Files


@settings(max_examples=20)  # a config takes a tenth of a second under the type checker
@given(config_fields(), agent_fields())
def test_files_give_back_the_config_and_derived_numbers_add_up(fields, agent):
    from deepcrl import Config, replay
    from deepcrl.agents import Adam, CRL, Random
    from deepcrl.agents._acting import as_acting
    from deepcrl.nn import BlockSpec

    assert {field.name for field in dataclasses.fields(BlockSpec)} == set(agent["trunk"])
    parts = {
        "trunk": BlockSpec(**agent["trunk"]),
        "replay": replay.Replay(**{name: getattr(replay, rule)() for name, rule in agent["replay"].items()}),
        "optimizer": Adam(**agent["optimizer"]),
    }
    acting = {name: as_acting(name, fields[name]) for name in ("collect_actions", "eval_actions")}
    collector = Random() if fields["collector"] and isinstance(fields["collect_actions"], str) else None  # no critic
    config = Config(**fields | acting | {"agent": CRL(**agent | parts), "collector": collector})
    assert {field.name for field in dataclasses.fields(config)} == {*fields, "agent"}
    assert {field.name for field in dataclasses.fields(config.agent)} == set(agent)
    for copy in (Config.from_json(config.to_json()), Config.from_toml(config.to_toml())):
        assert copy == config
        assert hash(copy) == hash(config)
        assert repr(copy) == repr(config)

    step = config.num_envs * config.rollout_length
    assert config.env_steps_per_step == step
    assert config.prefill_env_steps == config.prefill_rollouts * step
    assert 0 <= config.prefill_rollouts * config.rollout_length - config.prefill_length < config.rollout_length
    assert config.env_steps_per_epoch == config.steps_per_epoch * step
    assert config.steps_per_epoch >= 1
    assert config.actual_env_steps == config.prefill_env_steps + config.epochs * config.env_steps_per_epoch
    assert 0 <= config.total_env_steps - config.actual_env_steps < config.epochs * step
    assert abs(config.updates_per_step - config.utd_ratio * step) <= 0.5
    assert config.actual_updates == config.epochs * config.steps_per_epoch * config.updates_per_step


def test_defaults_need_the_task_only():
    from deepcrl import Config
    from deepcrl.agents import CRL

    config = Config(env="point_u_maze")
    assert Config.from_toml('env = "point_u_maze"') == config == Config.from_json('{"env": "point_u_maze"}')
    assert config.agent == CRL() and dataclasses.replace(config) == config
    partial = Config.from_toml('env = "point_u_maze"\n[agent]\nname = "CRL"\ndepth = 64\n')
    assert partial.agent == CRL(depth=64)


def test_configs_are_frozen_and_compared_by_value():
    from deepcrl import Config

    config = tiny()
    assert config == tiny() and hash(config) == hash(tiny())
    assert config != tiny(epochs=3)
    assert config != tiny(agent={"depth": 4})
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.epochs = 3
    with pytest.raises(TypeError):
        Config("point_u_maze")


def test_options_of_the_task_are_a_mapping_or_pairs_in_any_order():
    options = {"starts": "free", "goals": (1, 1)}
    config = tiny(env_options=options)
    pairs = tiny(env_options=tuple(options.items()))
    assert config == pairs == tiny(env_options=dict(reversed(options.items())))
    assert hash(config) == hash(pairs)
    assert config.make_env()[0].goals == (1, 1)
    starts, goals = (config.make_env()[1].arena.pair_weights.any(axis=axis) for axis in (1, 0))
    assert goals.sum() == 1 and starts.sum() > 1


def test_a_maze_of_ones_own_is_an_option():
    from deepcrl import Config
    from deepcrl.envs import Maze

    config = tiny(env="point_maze", env_options={"maze": CORRIDOR})
    assert config.make_env()[0].maze == Maze.from_text(CORRIDOR)
    assert Config.from_toml(config.to_toml()) == config


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"env": "point_u_maze", "epoch": 3}', "no field 'epoch'. Did you mean `epochs`"),
        ('{"env": "point_u_maze", "agent": {"name": "CRL", "dept": 4}}', "`CRL` has no field 'dept'.*`depth`"),
        ('{"env": "point_u_maze", "agent": {"name": "CLR"}}', "`agent.name`.*'CLR'.*`CRL`"),
        ('{"env": "point_u_maze", "agent": {"depth": 4}}', "`agent.name`.*None"),
        ('{"env": ', "not the JSON of a `Config`"),
        ("[1, 2]", "must be an object, got list"),
        ("env = point_u_maze", "not the TOML of a `Config`"),
        ("{}", "env"),
    ],
)
def test_files_that_are_no_configs_are_refused(text, message):
    from deepcrl import Config

    with pytest.raises((ValueError, TypeError), match=message):
        (Config.from_toml if "TOML" in message else Config.from_json)(text)


def test_parts_of_ones_own_are_written_once_they_are_registered():
    from deepcrl import Config, register
    from deepcrl.agents import CRL
    from deepcrl.envs import Maze, PointMaze
    from deepcrl.losses import AbstractContrastiveLoss, AbstractEnergy, InfoNCE

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class OwnAgent(CRL):
        again: int | None = 3

    class OwnLoss(AbstractContrastiveLoss):
        weights: tuple[float, ...] = ()
        inner: AbstractContrastiveLoss | None = InfoNCE()

        def __call__(self, logits):
            return self.inner(logits)

    class OwnEnergy(AbstractEnergy):
        def __call__(self, phi, psi):
            return jnp.sum(phi)

        def pairwise(self, phi, psi):
            return phi @ psi.T

    class OwnMaze(PointMaze):
        pass

    env = OwnMaze(Maze.from_text(CORRIDOR), goals=(1, 1))
    configs = {
        "env": tiny(env=env),
        "eval_env": tiny(eval_env=env),
        "loss": tiny(agent={"loss": OwnLoss(weights=(0.5, 1.0), inner=OwnLoss(inner=None))}),
        "energy": tiny(agent={"energy": OwnEnergy()}),
        "agent": dataclasses.replace(tiny(), agent=OwnAgent(again=None)),
    }
    for field, config in configs.items():
        for write in (config.to_json, config.to_toml, config.to_dict):
            with pytest.raises(ValueError, match=rf"`{field}` holds a `Own.*`deepcrl.register\(Own"):
                write()
    with registering():
        for part in (OwnAgent, OwnLoss, OwnMaze):
            register(part)
        register(OwnEnergy, "own")
        texts = {field: (config.to_json(), config.to_toml()) for field, config in configs.items()}
        for field, config in configs.items():
            json, toml = texts[field]
            for copy in (Config.from_json(json), Config.from_toml(toml)):
                assert copy == config and hash(copy) == hash(config)
        assert 'energy = "own"' in texts["energy"][1] and 'unset = [\n    "again",\n]' in texts["agent"][1]
        assert tiny(agent={"energy": "own"}) == tiny(agent={"energy": "OwnEnergy"}) == configs["energy"]
    for field in ("loss", "agent"):
        with pytest.raises(ValueError, match=r"'Own.*`deepcrl.register\(Own.*--import MODULE"):
            Config.from_json(texts[field][0])


@pytest.mark.parametrize(
    "wrong, message",
    [
        (lambda register, losses: register("x", losses.InfoNCE), r"takes a class and then its name.*got 'x'"),
        (
            lambda register, losses: register(losses.InfoNCE()),
            r"takes the class, `register\(InfoNCE\)`, not an instance",
        ),
        (lambda register, losses: register(lambda: None), "A function needs a name"),
    ],
)
def test_what_cannot_be_registered_is_refused(wrong, message):
    from deepcrl import losses, register

    with unchecked(), pytest.raises(TypeError, match=message):
        wrong(register, losses)


def test_settings_of_a_part_may_have_a_name():
    from deepcrl import Config, register
    from deepcrl.agents import CRL

    def deep(depth: int = 64) -> CRL:
        return CRL(depth=depth)

    with registering():
        register(deep, "deep")
        register(functools.partial(CRL, width=8), "narrow")
        read = lambda agent: Config.from_dict({"env": "point_u_maze", "agent": agent}).agent
        assert (read("deep"), read({"name": "deep", "depth": 4})) == (CRL(depth=64), CRL(depth=4))
        assert (read("narrow"), read({"name": "narrow", "depth": 8})) == (CRL(width=8), CRL(width=8, depth=8))
        with pytest.raises(ValueError, match="`CRL` has no field 'dept'"):
            read({"name": "narrow", "dept": 8})


def test_a_name_is_taken_once_but_a_cell_may_be_run_again():
    from deepcrl import register, registered
    from deepcrl.losses import AbstractEnergy

    def cell(name="Own"):
        return type(name, (AbstractEnergy,), {"__module__": "notebook", "__annotations__": {}})

    with registering():
        register(cell(), "mine")
        again = register(cell(), "mine")
        assert registered(AbstractEnergy)["mine"] is again
        for name in ("mine", "norm"):
            with pytest.raises(ValueError, match=f"An energy named '{name}' exists already"):
                register(cell("Other"), name)
        register(cell("Other"), "infonce")  # of another kind


@pytest.mark.parametrize("task", ["point_u_maze", "ant_ball_u_maze", "humanoid", "arm_push_easy", "reacher"])
def test_environment_objects_of_ours_are_written(task):
    from deepcrl import Config, envs

    config = Config(env=envs.make(task)[0])
    assert Config.from_toml(config.to_toml()) == config == Config.from_json(config.to_json())


def test_names_and_objects_are_the_same():
    from deepcrl.agents import CRL
    from deepcrl.losses import BinaryNCE, DotEnergy

    assert CRL(energy="dot", loss="binary_nce") == CRL(energy=DotEnergy(), loss=BinaryNCE())
    with unchecked(), pytest.raises(TypeError, match=r"`energy` must be an instance, `DotEnergy\(\)`; got the class"):
        CRL(energy=DotEnergy)
    with unchecked(), pytest.raises(TypeError, match="`loss` must be a contrastive loss, such as `InfoNCE"):
        CRL(loss=3)


# What cannot run


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"batch_size": 161}, r"`batch_size` must not exceed.*= 160 transitions; got 161"),
        ({"batch_size": 1}, "`batch_size` must be at least 2"),
        ({"buffer_length": 19}, "must hold an episode of 20 steps, got 19"),
        ({"buffer_length": 20, "rollout_length": 21}, "must hold a roll-out of 21 steps, got 20"),
        ({"total_env_steps": 0}, "`total_env_steps` must be at least 1, got 0"),
        ({"total_env_steps": -5}, "`total_env_steps` must be at least 1, got -5"),
        ({"total_env_steps": 2**31}, "`total_env_steps` must be below"),
        ({"epochs": 0}, "`epochs` must be at least 1"),
        ({"num_envs": 0}, "`num_envs` must be at least 1"),
        ({"rollout_length": 0}, "`rollout_length` must be at least 1"),
        ({"prefill_length": 0}, "`prefill_length` must be at least 1"),
        ({"eval_envs": 0}, "`eval_envs` must be at least 1"),
        ({"episode_length": 0}, "`episode_length` must be at least 1"),
        ({"utd_ratio": 0.0}, "`utd_ratio` must be a finite number"),
        ({"utd_ratio": float("inf")}, "`utd_ratio` must be a finite number"),
        ({"utd_ratio": 0.0124}, "must be at least 0.5. Raise `utd_ratio`"),
        ({"lane_layout": "batch"}, "`lane_layout` must be one of.*Did you mean `batched`"),
        ({"goal_reset": "cache"}, "`goal_reset` must be one of.*Did you mean `cached`"),
        ({"agent": {"gamma": 0}}, "`gamma` must be a finite number in"),
        ({"agent": {"gamma": float("nan")}}, "`gamma` must be a finite number in"),
        ({"agent": {"depth": 6}}, "got 6. Use 4 or 8"),
        ({"agent": {"depth": 3}}, "got 3. Use 4"),
        ({"agent": {"depth": 1023}}, "got 1023. Use 1020 or 1024"),
        ({"env_options": {"goal": "free"}}, r"unexpected keyword argument 'goal'. It takes \[.*'goals'"),
        ({"env": "point_maze"}, "'point_maze'.*maze"),
    ],
)
def test_values_that_cannot_run_are_refused(changes, message):
    with unchecked(), pytest.raises(ValueError, match=message):
        tiny(**changes)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"env_options": {"goals": "walls"}}, "`goals` must be 'G'.*got 'walls'"),
        ({"env_options": {"goals": (0, 0)}}, r"`goals`.*got \(0, 0\)"),
        ({"env": "point_maze", "env_options": {"maze": "11111/1R0G1/1111"}}, "one length"),
        ({"env": "point_maze", "env_options": {"maze": "11111/1R0X1/11111"}}, "row 1, column 3 holds 'X'"),
        ({"env": "point_maze", "env_options": {"maze": "11111/1R001/11111"}}, "at least one goal"),
        ({"env": "point_maze", "env_options": {"maze": "11111/1R1G1/11111"}}, "reachable"),
        ({"env": "point_maze", "env_options": {"maze": "11111/1R0G0/11111"}}, "walled in"),
        ({"buffer_length": 299, "episode_length": None}, "must hold an episode of 300 steps, got 299"),
    ],
)
def test_what_only_the_environment_can_tell_is_refused_before_anything_is_compiled(changes, message):
    from deepcrl import make_train

    config = tiny(**changes)
    with unchecked(), pytest.raises(ValueError, match=message):
        make_train(config)


def test_a_config_touches_no_device_and_builds_no_environment():
    """Not even one of MuJoCo's, read from a file."""
    code = """
import sys
from jax._src import xla_bridge
from deepcrl import Config
from deepcrl.envs import AbstractGoalEnv
AbstractGoalEnv.__check_init__ = lambda self: sys.exit("an environment was built")
config = Config(env="ant_u_maze", agent=__import__("deepcrl").CRL(depth=8), normalize_observations=True)
assert Config.from_toml(config.to_toml()) == config != Config(env="humanoid") and len({config, config}) == 1
assert config.steps_per_epoch > 0 and repr(config)
assert not xla_bridge.backends_are_initialized() and "mujoco" not in sys.modules
"""
    run_python(code)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"env": 3}, "`env` must be a task's name or an `AbstractGoalEnv`, got 3"),
        ({"eval_env": 3}, "`eval_env` must be a task's name or an `AbstractGoalEnv`, got 3"),
        ({"epochs": 2.0}, "`epochs` must be an integer, got 2.0"),
        ({"num_envs": True}, "`num_envs` must be an integer, got True"),
        ({"utd_ratio": "0.1"}, "`utd_ratio` must be a number, got '0.1'"),
        ({"debug_checks": "no"}, "`debug_checks`"),
        ({"normalize_observations": 1}, "`normalize_observations` must be `True` or `False`, got 1"),
    ],
)
def test_values_of_a_wrong_kind_are_refused(changes, message):
    with unchecked(), pytest.raises(TypeError, match=message):
        tiny(**changes)


@pytest.mark.parametrize("field", ["agent", "collector"])
def test_an_agent_is_not_a_name(field):
    with unchecked(), pytest.raises(TypeError, match=f"`{field}` must be an agent such as"):
        dataclasses.replace(tiny(), **{field: "CRL"})


@pytest.mark.parametrize("field", ["env", "eval_env"])
def test_an_unknown_task_is_refused_with_close_names(field):
    from deepcrl.envs import UnknownEnvironmentError

    with pytest.raises(
        UnknownEnvironmentError, match=r"No environment is named 'point_u_mase'.*`point_u_maze`"
    ) as error:
        tiny(**{field: "point_u_mase"})
    assert isinstance(error.value, KeyError)


def test_a_budget_too_small_names_the_least_that_runs():
    least = 4 * 10 * (2 + 2)  # environments x roll-out x (prefill + epochs)
    for total in (1, least - 1):
        with pytest.raises(ValueError, match=f"Raise it to at least {least}"):
            tiny(total_env_steps=total)
    config = tiny(total_env_steps=least)
    assert config.actual_env_steps == least
    assert config.steps_per_epoch == 1


def test_evaluation_on_other_sizes_is_refused():
    from deepcrl import make_train
    from deepcrl.envs import Box, GoalObservation, Maze, PointMaze

    class Blind(PointMaze):
        def observation_space(self, params):
            space = super().observation_space(params)
            return GoalObservation(Box(-1.0, 1.0, (3,)), space.achieved_goal, space.desired_goal)

    with pytest.raises(ValueError, match=r"`eval_env` must have the sizes of `env`.*=4.*=3"):
        make_train(tiny(eval_env=Blind(Maze.from_text(CORRIDOR))))


def test_options_do_not_go_with_an_environment_object():
    from deepcrl.envs import Maze, PointMaze

    env = PointMaze(Maze.from_text(CORRIDOR))
    for field in ("env", "eval_env"):
        with pytest.raises(ValueError, match=f"`{field}_options` go with a named task"):
            tiny(**{field: env, f"{field}_options": {"goals": "free"}})


def test_a_field_that_is_the_agents_is_told_so():
    from deepcrl import Config
    from deepcrl.agents import SAC

    with pytest.raises(TypeError, match=r"no field 'depth'.*Write `Config\(agent=CRL\(depth=8\)\)`"):
        Config(env="point_u_maze", depth=8)
    with pytest.raises(TypeError, match=r"Write `Config\(agent=SAC\(tau=0.1\)\)`"):
        Config(env="point_u_maze", agent=SAC(), tau=0.1)
    with pytest.raises(TypeError, match=r"no field 'epoch'\. Did you mean `epochs`"):
        Config(env="point_u_maze", epoch=8)


@pytest.mark.parametrize("options", ["goals=free", ("goals", "free"), (("goals",),), (("goals", "free", 1),), 3])
@pytest.mark.parametrize("field", ["env_options", "eval_env_options"])
def test_options_that_are_no_pairs_are_refused_by_name(options, field):
    with unchecked(), pytest.raises((ValueError, TypeError), match=f"`{field}`"):
        tiny(**{field: options})


# Derived numbers


def test_hypers_are_the_agents_numbers_as_arrays():
    hypers = tiny(agent={"gamma": 1.0, "actor_lr": 0.5}).hypers()
    assert (float(hypers.gamma), float(hypers.actor_lr)) == (1.0, 0.5)
    assert hypers.get("tau") is None and "actor_depth" not in hypers.values  # of other agents, of masked lanes
    assert all((value.shape, value.dtype) == ((), jnp.float32) for value in hypers.values.values())


def test_an_episode_length_or_reset_that_is_given_wins_and_evaluation_resamples():
    plain, changed = tiny(episode_length=None, buffer_length=300), tiny(episode_length=7, goal_reset="cached")
    assert (plain.make_env()[0].episode_length, plain.make_env()[0].goal_reset) == (300, "resample")
    assert (changed.make_env()[0].episode_length, changed.make_env()[0].goal_reset) == (7, "cached")
    assert (changed.make_eval_env()[0].episode_length, changed.make_eval_env()[0].goal_reset) == (7, "resample")
    on_other = tiny(eval_env="point_u4_maze").make_eval_env()[0]
    assert (on_other.episode_length, on_other.maze) == (20, tiny(env="point_u4_maze").make_env()[0].maze)


@pytest.mark.parametrize(
    "given, starts, goals",
    [
        ({}, "free", (1, 1)),
        ({"eval_env_options": {}}, "R", "G"),
        ({"eval_env_options": {"goals": "free"}}, "R", "free"),
        ({"eval_env": "point_u4_maze"}, "free", (1, 1)),
        ({"eval_env": "point_u4_maze", "eval_env_options": {}}, "R", "G"),
        ({"eval_env": "point_u4_maze", "eval_env_options": {"starts": "free"}}, "free", "G"),
    ],
)
def test_evaluation_has_the_options_that_it_is_given(given, starts, goals):
    from deepcrl import Config

    config = tiny(env_options={"starts": "free", "goals": (1, 1)}, **given)
    env = config.make_eval_env()[0]
    assert (env.starts, env.goals) == (starts, goals)
    assert (config.make_env()[0].starts, config.make_env()[0].goals) == ("free", (1, 1))
    assert Config.from_toml(config.to_toml()) == config


# The published settings


@pytest.mark.parametrize(
    "task, changes, roll_outs, updates, env_steps",
    [
        ("point_big_maze", {}, 31, 2_480_000, 98.95),
        ("point_u4_maze", {}, 31, 2_480_000, 98.95),
        ("point_hardest_maze", {}, 31, 4_960_000, 197.35),
        ("point_u5_maze", {}, 31, 9_920_000, 394.17),
        ("point_big_maze", {"total_env_steps": 50_000_000, "epochs": 50}, 31, 1_240_000, 49.74),
        ("point_big_maze", {"epochs": 50}, 62, 2_480_000, 98.95),
        ("point_big_maze", {"total_env_steps": 150_000_000, "epochs": 75}, 62, 3_720_000, 148.15),
    ],
)
def test_published_schedules(task, changes, roll_outs, updates, env_steps):
    from deepcrl import Config

    config = Config.paper(task, **changes)
    assert (config.prefill_rollouts, config.prefill_env_steps) == (17, 539_648)
    assert config.env_steps_per_step == 31_744
    assert config.updates_per_step == 800
    assert config.steps_per_epoch == roll_outs
    assert config.actual_updates == updates
    assert round(config.actual_env_steps / 1e6, 2) == env_steps


def test_published_settings_are_those_of_the_table():
    from deepcrl import Config
    from deepcrl.agents import CRL
    from deepcrl.losses import InfoNCE, NormEnergy
    from deepcrl.replay import FutureGoals, Replay

    config = Config.paper("point_big_maze", agent=CRL(depth=64))
    assert (config.total_env_steps, config.epochs) == (100_000_000, 100)
    assert (config.num_envs, config.eval_envs, config.episode_length) == (512, 128, 1000)
    assert (config.batch_size, config.rollout_length, config.buffer_length) == (512, 62, 10_000)
    assert (config.prefill_length, config.goal_reset) == (1000, "cached")
    assert config.eval_env == "point_big_maze_eval"
    assert Config.paper("point_hardest_maze").eval_env is None
    assert config.agent.depth == 64
    agent = Config.paper("point_big_maze").agent
    assert (agent.actor_lr, agent.critic_lr, agent.alpha_lr) == (3e-4, 3e-4, 3e-4)
    assert (agent.gamma, agent.target_entropy, agent.logsumexp_penalty) == (0.99, -0.5, 0.1)
    assert (agent.width, agent.depth, agent.repr_dim) == (256, 4, 64)
    assert (agent.energy, agent.loss) == (NormEnergy(), InfoNCE())
    assert agent.replay == Replay(goals=FutureGoals())


def test_a_published_task_without_an_environment_says_so():
    from deepcrl import Config, envs
    from deepcrl.train._presets import _BUDGETS

    for task in set(_BUDGETS) - set(envs.names()):
        with pytest.raises(
            envs.UnknownEnvironmentError, match=f"'{task}' is a task of the paper, but this version has no"
        ):
            Config.paper(task)
    for task in set(_BUDGETS) & set(envs.names()):
        assert Config.paper(task).env == task


@pytest.mark.parametrize("task", ["humanoid", "humanoid_u_maze"])
def test_published_humanoids_are_seen_as_published(task):
    from deepcrl import Config, envs

    config = Config.paper(task)
    for env, _ in (config.make_env(), config.make_eval_env()):
        robot = env.robot  # pyright: ignore[reportAttributeAccessIssue]
        assert isinstance(robot, envs.Humanoid) and robot.paper_observation and robot.body == "paper"


@pytest.mark.parametrize(
    "task, near", [("ant_big_maz", "`ant_big_maze`"), ("point_u6_maze", "`point_u5_maze`"), ("", "")]
)
def test_a_task_that_the_paper_does_not_have_is_refused(task, near):
    from deepcrl import Config

    with pytest.raises(ValueError, match=f"The paper has no settings for the task '{task}'.*{near}"):
        Config.paper(task)


# Memory


def test_state_and_buffer_take_the_bytes_that_were_told():
    """Here with next observations; without them: see test_cost.py."""
    from deepcrl import make_train, SAC

    train = make_train(dataclasses.replace(tiny(num_envs=7, buffer_length=123), agent=SAC(width=8)))
    size = lambda tree: sum(leaf.nbytes for leaf in named(tree).values())
    state = jax.jit(train.fresh)(jax.random.key(0), train.config.hypers())
    assert (train.buffer_bytes(), train.state_bytes()) == (size(state.queue), size(state))


def test_states_that_fit_no_device_are_refused_with_a_remedy():
    from deepcrl import make_train
    from deepcrl.train import check_memory

    with pytest.raises(MemoryError, match=r"1 lane\(s\) need .* GB of state.*Lower `buffer_length`"):
        make_train(tiny(buffer_length=10**9))
    train = make_train(tiny())
    check_memory([train, train], [10, 20])
    with pytest.raises(MemoryError, match=r"10000000001 lane\(s\)"):
        check_memory([train, train], [1, 10**10])


def test_a_part_in_one_line_says_what_differs_from_its_defaults():
    """In rows and tables, and where the command line shows a default."""
    from deepcrl.agents import Adam, BestOf
    from deepcrl.nn import BlockSpec
    from deepcrl.replay import GoalReward, MixedGoals, Replay
    from deepcrl.train._serialise import text_of

    told = {
        "best_of:count=4": BestOf(4),
        "adam": Adam(),
        "replay:goals=mixed:ratio=0.5:reward=goal": Replay(goals=MixedGoals(ratio=0.5), reward=GoalReward()),
        "norm=none:residual=False": BlockSpec(norm="none", residual=False),
        "default": BlockSpec(),
        "0.9": 0.9,
        "3,1": (3, 1),
        "None": None,
    }
    for text, value in told.items():
        assert text_of(value) == text


def test_presets_are_settings_of_a_task_and_may_be_changed():
    from deepcrl import Config

    laptop = Config.preset("point_u_maze", "laptop", epochs=5)
    assert (laptop.env, laptop.agent.width, laptop.epochs) == ("point_u_maze", 64, 5)
    assert Config.preset("ant_big_maze", "paper") == Config.paper("ant_big_maze")
    with pytest.raises(ValueError, match="no settings for a laptop of the task 'humanoid' yet"):
        Config.preset("humanoid", "laptop")
    with pytest.raises(ValueError, match="Did you mean `laptop`"):
        Config.preset("point_u_maze", "lapto")
