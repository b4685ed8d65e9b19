"""`deepcrl.envs.check` passes sound environments and names what is wrong with broken ones."""

import functools as ft

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from strategies import tiny


@ft.cache
def ball_class():
    """A sound environment: a ball on a square, pushed about, with a counter in its state."""
    from deepcrl.envs import AbstractGoalEnv, Box, GoalObservation

    class BallState(eqx.Module):
        x: jax.Array
        goal: jax.Array
        count: jax.Array

    class Ball(AbstractGoalEnv):
        @property
        def default_params(self):
            return {"push": jnp.float32(0.3)}

        def observation_space(self, params):
            box = Box(-1.0, 1.0, (2,))
            return GoalObservation(box, box, box)

        def action_space(self, params):
            return Box(-2.0, 2.0, (2,))

        def reset_env(self, key, params):
            x, goal = jr.uniform(key, (2, 2), minval=-1.0, maxval=1.0)
            return BallState(x, goal, jnp.zeros((), jnp.int32))

        def step_env(self, key, inner, action, params):
            x = jnp.clip(inner.x + params["push"] * action, -1.0, 1.0)
            return BallState(x, inner.goal, inner.count + 1), jnp.sum(x), jnp.all(x == 1.0)

        def observe(self, inner, params):
            return GoalObservation(inner.x, inner.x, inner.goal)

        def distance(self, achieved_goal, desired_goal, params):
            return jnp.max(jnp.abs(achieved_goal - desired_goal))

        def success(self, achieved_goal, desired_goal, params):
            return self.distance(achieved_goal, desired_goal, params) < 0.2

    return Ball


def ball(**hooks):
    """The sound environment with some of its hooks replaced."""
    parent = ball_class()
    cls = type(parent)("Broken", (parent,), {"__module__": __name__, **hooks}) if hooks else parent
    return cls(episode_length=10)


def replaced(**fields):
    """An `observe` that returns these functions of `(x, goal)` instead of the right fields."""

    def observe(self, inner, params):
        from deepcrl.envs import GoalObservation

        right = {"observation": inner.x, "achieved_goal": inner.x, "desired_goal": inner.goal}
        return GoalObservation(**{**right, **{name: f(inner.x, inner.goal) for name, f in fields.items()}})

    return observe


def stepped(change):
    """A `step_env` whose `(inner, reward, terminated)` is passed through `change`."""

    def step_env(self, key, inner, action, params):
        return change(*ball_class().step_env(self, key, inner, action, params))

    return step_env


def spaces(**boxes):
    """An `observation_space` with some of its boxes replaced; `boxes` are functions of the class `Box`."""

    def observation_space(self, params):
        from deepcrl.envs import Box, GoalObservation

        right = dict.fromkeys(("observation", "achieved_goal", "desired_goal"), Box(-1.0, 1.0, (2,)))
        return GoalObservation(**{**right, **{name: make(Box) for name, make in boxes.items()}})

    return observation_space


def with_count(count):
    return stepped(lambda inner, reward, end: (eqx.tree_at(lambda s: s.count, inner, count(inner)), reward, end))


BROKEN = {
    "NaN observation": (
        lambda: ball(observe=replaced(observation=lambda x, g: jnp.sqrt(x))),
        r"`observation` was not finite in \d+\.\d+% of the steps",
    ),
    "infinite goal": (
        lambda: ball(observe=replaced(desired_goal=lambda x, g: g / jnp.where(g > 0, 1.0, 0.0))),
        r"`desired_goal` was not finite in \d+\.\d+% of the steps",
    ),
    "observation outside its space": (
        lambda: ball(observe=replaced(observation=lambda x, g: x * jnp.array([1.0, 3.0]))),
        r"`observation` left its space in \d+\.\d+% of the steps; number 1 went from -3 to 3, its space is \[-1, 1\]",
    ),
    "achieved goal outside its space": (
        lambda: ball(observation_space=spaces(achieved_goal=lambda Box: Box([-1.0, -0.5], [1.0, 0.5]))),
        r"`achieved_goal` left its space .* number 1 went from -1 to 1, its space is \[-0.5, 0.5\]",
    ),
    "desired goal outside its space": (
        lambda: ball(observation_space=spaces(desired_goal=lambda Box: Box([0.0, -1.0], [1.0, 1.0]))),
        r"`desired_goal` left its space .* number 0 went from -.* its space is \[0, 1\]",
    ),
    "observation of another dtype": (
        lambda: ball(observe=replaced(observation=lambda x, g: x.astype(jnp.int32))),
        r"`observation` of `reset` must be float32 of shape \(2,\).*got int32 of shape \(2,\)",
    ),
    "observation of another shape": (
        lambda: ball(observe=replaced(observation=lambda x, g: jnp.concatenate([x, x]))),
        r"`observation` of `step` must be float32 of shape \(2,\).*got float32 of shape \(4,\)",
    ),
    "goal of another shape": (
        lambda: ball(
            observe=replaced(desired_goal=lambda x, g: g[:1]),
            distance=lambda self, a, d, params: jnp.abs(a[0] - d[0]),
        ),
        r"`desired_goal` of `reset` must be float32 of shape \(2,\).*got float32 of shape \(1,\)",
    ),
    "observation that is no GoalObservation": (
        lambda: ball(observe=lambda self, inner, params: {"observation": inner.x}),
        r"`observe` must return a `GoalObservation`, got \{'observation'",
    ),
    "counter becomes a float": (
        lambda: ball(step_env=with_count(lambda inner: inner.count.astype(jnp.float32))),
        r"`step_env` must keep shapes and dtypes of the state.*\.count.* went from int32\[\] to float32\[\]",
    ),
    "state grows": (
        lambda: ball(step_env=with_count(lambda inner: jnp.stack([inner.count, inner.count]))),
        r"`step_env` must keep shapes and dtypes of the state.*\.count.* went from int32\[\] to int32\[2\]",
    ),
    "state of another structure": (
        lambda: ball(step_env=stepped(lambda inner, reward, end: ((inner.x, inner.goal), reward, end))),
        r"`step_env` must return a state of the same structure as `reset_env`",
    ),
    "two results of step_env": (
        lambda: ball(step_env=stepped(lambda inner, reward, end: (inner, reward))),
        r"`step_env` must return \(inner, reward, terminated\)",
    ),
    "reward not finite": (
        lambda: ball(step_env=stepped(lambda inner, reward, end: (inner, jnp.log(reward), end))),
        r"`reward` was not finite in \d+\.\d+% of the steps",
    ),
    "distance not finite": (
        lambda: ball(distance=lambda self, a, d, params: jnp.sqrt(jnp.sum(a - d))),
        r"`distance` was not finite in \d+\.\d+% of the steps",
    ),
    "reward per axis": (
        lambda: ball(step_env=stepped(lambda inner, reward, end: (inner, inner.x, end))),
        r"`reward` must be a scalar float32, got float32 of shape \(2,\)",
    ),
    "reward of another dtype": (
        lambda: ball(step_env=stepped(lambda inner, reward, end: (inner, reward.astype(jnp.int32), end))),
        r"`reward` must be a scalar float32, got int32 of shape \(\)",
    ),
    "terminated as a number": (
        lambda: ball(step_env=stepped(lambda inner, reward, end: (inner, reward, end.astype(jnp.float32)))),
        r"`terminated` must be a scalar bool, got float32 of shape \(\)",
    ),
    "success per axis": (
        lambda: ball(success=lambda self, a, d, params: jnp.abs(a - d) < 0.2),
        r"`success` must be a scalar bool, got bool of shape \(2,\)",
    ),
    "distance per axis": (
        lambda: ball(
            distance=lambda self, a, d, params: jnp.abs(a - d),
            success=lambda self, a, d, params: jnp.all(jnp.abs(a - d) < 0.2),
        ),
        r"`distance` must be a scalar float32, got float32 of shape \(2,\)",
    ),
    "params hold a Python number": (
        lambda: ball(default_params=property(lambda self: {"push": 0.3})),
        r"`default_params` must hold arrays only, got 0\.3",
    ),
    "space of another kind": (
        lambda: ball(observation_space=spaces(achieved_goal=lambda Box: (-1.0, 1.0))),
        r"the space of `achieved_goal` must be a `Box` with one axis, got \(-1\.0, 1\.0\)",
    ),
    "space with two axes": (
        lambda: ball(observation_space=spaces(observation=lambda Box: Box(-1.0, 1.0, (1, 2)))),
        r"the space of `observation` must be a `Box` with one axis, got Box\(low=\[\[-1",
    ),
    "one space for all": (
        lambda: ball(observation_space=lambda self, params: spaces()(self, params).observation),
        r"`observation_space` must return a `GoalObservation` of three `Box`es, got Box\(",
    ),
    "action space without bounds": (
        lambda: ball(action_space=lambda self, params: spaces()(self, params).observation.unbounded(2)),
        r"the space of `action` must have both bounds for every number, got Box\(low=\[-inf",
    ),
    "observation below its only bound": (
        lambda: ball(observation_space=spaces(observation=lambda Box: Box(-0.5, np.inf, (2,)))),
        r"`observation` left its space in .*, its space is \[-0\.5, inf\]",
    ),
    "action space of another kind": (
        lambda: ball(action_space=lambda self, params: 2),
        r"the space of `action` must be a `Box` with one axis, got 2",
    ),
    "goal spaces that differ": (
        lambda: ball(observation_space=spaces(desired_goal=lambda Box: Box(-1.0, 1.0, (1,)))),
        r"spaces of `achieved_goal` and `desired_goal` must have one shape",
    ),
    "actions without effect": (
        lambda: ball(step_env=lambda self, key, inner, action, params: (inner, jnp.float32(0), jnp.zeros((), bool))),
        r"no random action changed the observation",
    ),
    "an error in a hook": (
        lambda: ball(step_env=lambda self, key, inner, action, params: inner.no_such_field),
        r"`step_env` raised AttributeError: .*no_such_field",
    ),
    "a Python branch on a traced value": (
        lambda: ball(success=lambda self, a, d, params: jnp.bool_(True) if a[0] > d[0] else jnp.bool_(False)),
        r"`success` raised TracerBoolConversionError",
    ),
}


@pytest.mark.parametrize("make, message", BROKEN.values(), ids=BROKEN)
def test_broken_environments_are_named(make, message):
    from deepcrl.envs import check, InvalidEnvironmentError

    with pytest.raises(InvalidEnvironmentError, match=message) as caught:
        check(make())
    assert str(caught.value).startswith("`Broken` breaks the contract of goal environments:\n- ")
    assert isinstance(caught.value, ValueError)


def test_every_breach_is_listed_at_once():
    from deepcrl.envs import check, InvalidEnvironmentError

    env = ball(
        observe=replaced(observation=lambda x, g: 2 * x),
        step_env=stepped(lambda inner, reward, end: (inner, jnp.log(reward), end)),
        distance=lambda self, a, d, params: jnp.sqrt(jnp.sum(a - d)),
    )
    with pytest.raises(InvalidEnvironmentError) as caught:
        check(env)
    for part in ("`observation` left", "`reward` was not finite", "`distance` was not"):
        assert part in str(caught.value)


def test_params_given_are_those_checked():
    from deepcrl.envs import check, InvalidEnvironmentError

    with pytest.raises(InvalidEnvironmentError, match="no random action changed the observation"):
        check(ball(), {"push": jnp.float32(0.0)})
    with pytest.raises(InvalidEnvironmentError, match=r"must hold arrays only, got 0\.3"):
        check(ball(), {"push": 0.3})


def test_a_sound_environment_passes_with_what_was_seen():
    from deepcrl.envs import check

    report = check(ball(), num_envs=8, seed=1)
    assert report.env_steps == 8 * 30  # two episodes of ten steps, and ten more
    assert report.episodes >= 8 * 3  # all by the clock at the latest, some by the task before
    assert 1.0 <= report.mean_episode_length <= 10.0
    assert 0.0 < report.success_rate < 0.5
    assert (report.distinct_starts, report.distinct_goals) == (8, 8)


@pytest.mark.parametrize("name", ["point_u_maze", "point_big_maze_eval"])
def test_point_mazes_pass(name):
    from deepcrl.envs import check, make

    env, params = make(name, episode_length=20)
    report = check(env, params)
    assert report.env_steps == 16 * 50
    assert (report.episodes, report.mean_episode_length) == (32, 20.0)
    assert report.distinct_starts == 16
    assert 1 < report.distinct_goals <= len(env.maze.cells("G"))
    assert 0.0 <= report.success_rate < 0.5


def test_cached_and_very_long_episodes_pass():
    from deepcrl.envs import check, make

    report = check(make("point_u_maze", episode_length=2000, goal_reset="cached")[0])
    assert (report.env_steps, report.episodes) == (16_000, 0)
    assert np.isnan(report.mean_episode_length)


def test_a_single_start_or_a_single_goal_is_no_breach():
    from deepcrl.envs import check, make

    env, params = make("point_u_maze_single", episode_length=5)
    assert check(env, params).distinct_goals == 1
    with pytest.warns(UserWarning, match="All keys gave one start and one goal"):
        report = check(env, eqx.tree_at(lambda p: p.start_noise, params, jnp.float32(0.0)))
    assert (report.distinct_starts, report.distinct_goals) == (1, 1)


def test_typed_keys_in_the_state_pass():
    class KeyState(eqx.Module):
        x: jax.Array
        goal: jax.Array
        count: jax.Array
        noise: jax.Array

    def reset_env(self, key, params):
        inner = ball_class().reset_env(self, key, params)
        return KeyState(inner.x, inner.goal, inner.count, key)

    def step_env(self, key, inner, action, params):
        noise, now = jr.split(inner.noise)
        x = jnp.clip(inner.x + params["push"] * action + 0.1 * jr.normal(now, (2,)), -1.0, 1.0)
        return KeyState(x, inner.goal, inner.count, noise), jnp.sum(x), jnp.zeros((), bool)

    from deepcrl.envs import check

    report = check(ball(reset_env=reset_env, step_env=step_env))
    assert report.mean_episode_length == 10.0


def test_what_the_base_class_owns_is_left_to_it():
    for name in ("reset", "step"):
        with pytest.raises(TypeError, match="must not have a `reset` or `step` of its own: write `reset_env`"):
            ball(**{name: lambda self, *args: None})
    with pytest.raises(TypeError, match=r"`Broken.default_params` must be a property, got a method: put `@property`"):
        ball(default_params=lambda self: {"push": jnp.float32(0.3)})


def test_bounds_made_by_jnp_serve_inside_programs():
    """A program that is traced would make tracers of them."""
    from deepcrl.envs import check, VectorEnv

    def action_space(self, params):
        from deepcrl.envs import Box

        return Box(jnp.full(2, -2.0), 2.0 * jnp.ones(2))

    env = ball(action_space=action_space)
    assert check(env) == check(ball())
    scaled = jax.jit(lambda action: VectorEnv(env, 3).action_space().from_unit(action))(jnp.ones(2))
    assert scaled.tolist() == [2.0, 2.0]


def test_bounds_that_are_not_known_when_a_program_is_built_are_refused():
    from deepcrl.envs import Box

    with pytest.raises(TypeError, match="bounds of a `Box` must be known when a program is built"):
        jax.jit(lambda limit: jnp.asarray(Box(-limit, limit, (2,)).high))(jnp.float32(2.0))


def test_no_trainer_is_built_on_shapes_that_disagree():
    from deepcrl import make_train
    from deepcrl.envs import InvalidEnvironmentError

    env = ball(observe=replaced(observation=lambda x, g: jnp.append(x, 0.0)))
    with pytest.raises(InvalidEnvironmentError, match=r"`observation` of `reset` must be float32 of shape \(2,\)"):
        make_train(tiny(env=env, episode_length=10))
