"""The contract of environments, the physics of the point mazes against NumPy, spaces and names."""

import dataclasses
import functools as ft
import pathlib
import subprocess
import sys

import equinox as eqx
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import pytest
from hypothesis import assume, given
from scipy import stats
from strategies import registering


FIELDS = ("observation", "achieved_goal", "desired_goal")
P_VALUE = 1e-6  # of every statistical test here; n is stated by each
LANES, STEPS = 3, 17  # of most roll-outs, so that they share compiled programs


# -- environments under test ---------------------------------------------------------------------------------------


@ft.cache
def line_class():
    """A test environment that terminates: a point on a line that may not be pushed beyond `params`."""
    from deepcrl.envs import AbstractGoalEnv, Box, GoalObservation

    class LineState(eqx.Module):
        x: jax.Array
        goal: jax.Array

    class Line(AbstractGoalEnv):
        @property
        def default_params(self):
            return jnp.float32(1.0)

        def observation_space(self, params):
            box = Box(-2.0, 2.0, (1,))
            return GoalObservation(box, box, box)

        def action_space(self, params):
            return Box(-1.0, 1.0, (1,))

        def reset_env(self, key, params):
            x, goal = jr.uniform(key, (2,), minval=-0.5, maxval=0.5)
            return LineState(x[None], goal[None])

        def step_env(self, key, inner, action, params):
            x = inner.x + action
            return LineState(x, inner.goal), x[0], jnp.abs(x[0]) > params

        def observe(self, inner, params):
            return GoalObservation(inner.x, inner.x, inner.goal)

        def distance(self, achieved_goal, desired_goal, params):
            return jnp.abs(achieved_goal - desired_goal)[0]

        def success(self, achieved_goal, desired_goal, params):
            return self.distance(achieved_goal, desired_goal, params) < 0.1

    return Line


ENVS = {
    "resample": ("point_u_maze", {"episode_length": 7}),
    "cached": ("point_big_maze", {"episode_length": 5, "goal_reset": "cached", "starts": "free"}),
    "user": ("point_maze", {"maze": "111111/1R0G01/110111/11G111/111111", "episode_length": 6}),
    "terminating": ("line", {"episode_length": 4}),
}


@ft.cache
def build(which):
    from deepcrl import envs

    name, options = ENVS[which]
    if name == "line":
        env = line_class()(**options)
        return env, env.default_params
    return envs.make(name, **options)


@ft.cache
def jitted(env):
    """Compiled `reset`, `step` and a scanned roll-out of an environment; environments are hashable."""

    def rollout(key, state, params, actions):
        def step(state, xs):
            key, action = xs
            obs, new_state, reward, terminated, truncated, info = env.step(key, state, action, params)
            return new_state, (obs, new_state, reward, terminated, truncated, info)

        return jax.lax.scan(step, state, (jr.split(key, actions.shape[0]), actions))[1]

    return (
        jax.jit(lambda key, params: env.reset(key, params)),
        jax.jit(lambda key, state, action, params: env.step(key, state, action, params)),
        jax.jit(rollout),
        jax.jit(jax.vmap(rollout, in_axes=(0, 0, None, 0))),
    )


def random_actions(env, params, key, *shape):
    box = env.action_space(params)
    return jr.uniform(key, (*shape, *box.shape), minval=box.low[0], maxval=box.high[0])


def assert_close(actual, desired, tolerance):
    assert jtu.tree_structure(actual) == jtu.tree_structure(desired)
    for a, d in zip(jtu.tree_leaves(actual), jtu.tree_leaves(desired), strict=True):
        assert a.shape == d.shape and a.dtype == d.dtype
        np.testing.assert_allclose(np.asarray(a, np.float64), np.asarray(d, np.float64), rtol=0, atol=tolerance)


def take(tree, *index):
    return jax.tree.map(lambda leaf: leaf[index], tree)


def shapes(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)


# -- the contract --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=ENVS)
def run(request):
    """An environment, resets of it, and roll-outs of random steps: more than two episodes each."""
    env, params = build(request.param)
    key = jr.key(list(ENVS).index(request.param))
    keys, actions = jr.split(key, LANES), random_actions(env, params, jr.fold_in(key, 1), LANES, STEPS)
    reset, _, _, batched_rollout = jitted(env)
    first = jax.vmap(lambda k: reset(k, params))(keys)
    trace = batched_rollout(keys, first[1], params, actions)
    return {"env": env, "params": params, "keys": keys, "actions": actions, "first": first, "trace": trace}


def test_observations_have_the_shapes_and_dtypes_of_their_spaces_and_lie_inside(run):
    env, params = run["env"], run["params"]
    space = env.observation_space(params)
    obs, _, reward, terminated, truncated, info = run["trace"]
    for seen, lead in ((run["first"][0], (LANES,)), (obs, (LANES, STEPS)), (info["final_observation"], (LANES, STEPS))):
        for name in FIELDS:
            box, values = getattr(space, name), getattr(seen, name)
            assert values.shape == lead + box.shape
            assert values.dtype == jnp.float32
            assert jax.vmap(box.contains)(values.reshape(-1, *box.shape)).all()
    assert space.achieved_goal.shape == space.desired_goal.shape
    for scalar, dtype in ((reward, "float32"), (terminated, "bool"), (truncated, "bool")):
        assert (scalar.shape, scalar.dtype) == ((LANES, STEPS), dtype)
    assert (info["success"].dtype, info["distance"].dtype) == ("bool", "float32")
    assert (env.action_space(params).low < env.action_space(params).high).all()


def test_jit_matches_eager(run):
    env, params = run["env"], run["params"]
    key = run["keys"][0]
    assert_close(jitted(env)[0](key, params), env.reset(key, params), 1e-6)
    late = dataclasses.replace(take(run["first"][1], 0), time=jnp.int32(env.episode_length - 1))
    for state in (take(run["first"][1], 0), late):  # an ordinary step, and one with a reset behind it
        eager = env.step(key, state, run["actions"][0, 0], params)
        assert_close(jitted(env)[1](key, state, run["actions"][0, 0], params), eager, 1e-6)
        assert bool(eager[4]) is (state is late)


def test_vmap_matches_a_loop(run):
    env, params = run["env"], run["params"]
    reset, _, rollout, _ = jitted(env)
    for i in range(LANES):
        assert_close(reset(run["keys"][i], params), take(run["first"], i), 1e-5)
        lane = rollout(run["keys"][i], take(run["first"][1], i), params, run["actions"][i])
        assert_close(lane, take(run["trace"], i), 1e-5)


def test_a_step_of_all_is_the_step_of_each(run):
    """With none of them at its end, with few, and with all: each case has its own way to the next episodes."""
    from deepcrl.envs import VectorEnv

    env, params, key = run["env"], run["params"], run["keys"][0]
    step, state = jax.jit(VectorEnv(env, LANES).step), run["first"][1]
    for late in ([], [1], [0, 1, 2]):
        time = state.time.at[jnp.array(late, int)].set(env.episode_length - 1)
        states = eqx.tree_at(lambda state: state.time, state, time)
        together = step(key, states, run["actions"][:, 0], params)
        assert np.flatnonzero(together[4]).tolist() == late
        for i, one_key in enumerate(jr.split(key, LANES)):
            alone = jitted(env)[1](one_key, take(states, i), run["actions"][i, 0], params)
            assert_close(take(together, i), alone, 1e-5)


def test_scan_matches_a_loop_and_step_keeps_the_structure_of_the_state(run):
    env, params = run["env"], run["params"]
    state, keys = take(run["first"][1], 0), jr.split(run["keys"][0], STEPS)
    for t in range(STEPS):
        out = jitted(env)[1](keys[t], state, run["actions"][0, t], params)
        assert jtu.tree_structure(out[1]) == jtu.tree_structure(state)
        assert shapes(out[1]) == shapes(state)
        assert_close(out, take(run["trace"], 0, t), 1e-5)
        state = out[1]


def test_params_may_be_vmapped(run):
    env, params = run["env"], run["params"]
    twice = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), params)
    state, action = take(run["first"][1], 0), run["actions"][0, 0]
    stepped = jax.jit(jax.vmap(env.step, in_axes=(None, None, None, 0)))(run["keys"][0], state, action, twice)
    expected = jitted(env)[1](run["keys"][0], state, action, params)
    for i in range(2):
        assert_close(take(stepped, i), expected, 1e-5)


def test_the_same_key_gives_the_same_reset_and_other_keys_give_others(run):
    env, params = run["env"], run["params"]
    again = jitted(env)[0](run["keys"][1], params)
    assert_close(again, jitted(env)[0](run["keys"][1], params), 0.0)
    assert len(np.unique(np.asarray(run["first"][0].observation), axis=0)) == LANES


def test_every_registered_environment_keeps_the_contract_in_the_abstract():
    """Traced only, so it stays cheap for environments that are slow to compile."""
    from deepcrl import envs
    from deepcrl.envs._check import check_shapes

    names = [name for name in envs.names() if name not in envs.templates()]
    assert len(names) >= len(envs.MAZES)
    for name in names:
        env, params = envs.make(name)
        check_shapes(env, params)
        assert env.action_space() == env.action_space(params) and env.observation_space()  # as Gymnax has it
        assert env == envs.make(name)[0], name
        assert hash(env) == hash(envs.make(name)[0]), name


def test_every_point_maze_runs_inside_its_spaces():
    from deepcrl import envs

    names = [f"point_{name}" for name in envs.MAZES]
    assert set(names) <= set(envs.names())
    for name in names:
        env, params = envs.make(name)
        assert env.episode_length == (600 if "giant" in name else 300)
        obs, state = env.reset(jr.key(1), params)
        space = env.observation_space(params)
        assert all(space_contains(getattr(space, field), getattr(obs, field)) for field in FIELDS), name
        row, col = np.round(np.asarray(state.inner.position)).astype(int)
        assert (row, col) in env.maze.cells("R"), name
        assert tuple(np.asarray(state.inner.goal)) in env.maze.cells("G"), name


def space_contains(box, x):
    x = np.asarray(x)
    return x.shape == box.shape and bool(np.all((x >= box.low) & (x <= box.high)))


# -- auto-reset ----------------------------------------------------------------------------------------------------


def test_truncation_comes_exactly_at_the_episode_length():
    env, params = build("resample")
    reset, _, rollout, _ = jitted(env)
    trace = rollout(jr.key(0), reset(jr.key(1), params)[1], params, random_actions(env, params, jr.key(2), STEPS))
    _, state, _, terminated, truncated, _ = trace
    clock = np.arange(1, STEPS + 1)
    assert np.array_equal(truncated, clock % 7 == 0)
    assert not np.any(terminated)
    assert np.array_equal(state.time, clock % 7)
    assert np.array_equal(state.episode_id, clock // 7)
    assert state.time.dtype == state.episode_id.dtype == jnp.int32


@pytest.mark.parametrize("which", ["resample", "cached", "terminating"])
def test_final_observation_is_the_true_next_observation(which):
    """A twin whose clock never runs out, driven by the same actions, sees it as its ordinary next observation."""
    env, params = build(which)
    if which == "terminating":
        params = jnp.float32(9.0)  # far away: only the clock ends the episode
    twin = dataclasses.replace(env, episode_length=1_000_000)
    first, state = jitted(env)[0](jr.key(3), params)
    assert_close(jitted(twin)[0](jr.key(3), params), (first, state), 0.0)
    actions = random_actions(env, params, jr.key(4), STEPS)
    obs, states, _, terminated, truncated, info = jitted(env)[2](jr.key(5), state, params, actions)
    final = info["final_observation"]

    ends = np.flatnonzero(truncated)
    assert len(ends) == STEPS // env.episode_length and not np.any(terminated)
    start = 0
    for end in ends:
        # One compiled length for all calls: the actions of later episodes follow and are not looked at.
        shifted = jnp.roll(actions, -start, axis=0)
        seen = jitted(twin)[2](jr.key(6), state, params, shifted)[0]
        length = end + 1 - start
        assert_close(take(seen, slice(length)), take(final, slice(start, end + 1)), 1e-6)
        # The twin and the environment part ways just here: `obs` is that of the next episode.
        assert np.abs(seen.observation[length - 1] - obs.observation[end]).max() > 1e-3
        state, start = take(states, end), end + 1
    between = np.flatnonzero(~truncated)
    assert_close(take(final, between), take(obs, between), 0.0)


def test_success_and_distance_speak_of_the_state_before_the_reset():
    env, params = build("resample")
    reset, _, rollout, _ = jitted(env)
    trace = rollout(jr.key(0), reset(jr.key(1), params)[1], params, random_actions(env, params, jr.key(2), STEPS))
    final = trace[5]["final_observation"]
    distance = 2.0 * np.linalg.norm(final.achieved_goal - final.desired_goal, axis=-1)  # 2 m per unit in this maze
    np.testing.assert_allclose(trace[5]["distance"], distance, atol=1e-5)
    assert np.array_equal(trace[5]["success"], distance < 0.5)


@pytest.mark.parametrize(
    "pushes, terminated, truncated",
    [
        ([0.0, 0.0, 0.0, 0.0], [0, 0, 0, 0], [0, 0, 0, 1]),  # by the clock alone
        ([0.0, 1.9, 0.0, 0.0], [0, 1, 0, 0], [0, 0, 0, 0]),  # by the task alone
        ([0.0, 0.0, 0.0, 1.9], [0, 0, 0, 1], [0, 0, 0, 1]),  # by both at once
    ],
    ids=["clock", "task", "both"],
)
def test_terminated_and_truncated_stay_apart(pushes, terminated, truncated):
    env, params = build("terminating")
    reset, _, rollout, _ = jitted(env)
    first, state = reset(jr.key(7), params)
    x = float(first.observation[0])
    out = rollout(jr.key(8), state, params, jnp.asarray(pushes, jnp.float32)[:, None])
    obs, states, reward, seen_terminated, seen_truncated, info = out
    assert np.array_equal(seen_terminated, np.array(terminated, bool))
    assert np.array_equal(seen_truncated, np.array(truncated, bool))
    ended = np.array(terminated, bool) | np.array(truncated, bool)
    end = int(np.flatnonzero(ended)[0])
    reached = x + sum(pushes[: end + 1])
    np.testing.assert_allclose(info["final_observation"].observation[end, 0], reached, atol=1e-6)
    np.testing.assert_allclose(reward[end], reached, atol=1e-6)
    assert abs(float(obs.observation[end, 0])) <= 0.5
    assert (int(states.time[end]), int(states.episode_id[end])) == (0, 1)
    assert np.array_equal(states.episode_id, np.cumsum(ended))
    assert float(states.inner.goal[end, 0]) != float(state.inner.goal[0])


# -- where episodes start and what they command --------------------------------------------------------------------


def counts_of_cells(cells, positions):
    """How often each cell was drawn; every position must belong to one of them."""
    index = {cell: n for n, cell in enumerate(cells)}
    drawn = [index[tuple(cell)] for cell in np.round(np.asarray(positions)).astype(int).tolist()]
    return np.bincount(drawn, minlength=len(cells)), np.array(drawn)


@ft.cache
def many_resets():
    """A compiled function of `params`: the inner states of 8,192 resets in the big maze, starts anywhere free."""
    from deepcrl import envs

    env, params = envs.make("point_big_maze", starts="free")
    states = jax.jit(lambda key, params: jax.vmap(env.reset, in_axes=(0, None))(jr.split(key, 8192), params)[1].inner)
    return env, params, states


def test_resets_draw_every_start_and_goal_cell_evenly_and_apart():
    """n = 8,192. Catches a cell left out, drawn twice as often, and start and goal drawn by one key."""
    env, params, states = many_resets()
    inner = states(jr.key(10), params)
    starts, start_index = counts_of_cells(env.maze.free, inner.position)
    goals, goal_index = counts_of_cells(env.maze.cells("G"), inner.goal)
    assert (len(starts), len(goals)) == (26, 25)
    assert stats.chisquare(starts).pvalue > P_VALUE
    assert stats.chisquare(goals).pvalue > P_VALUE
    table = np.zeros((26, 25))
    np.add.at(table, (start_index, goal_index), 1)
    assert stats.chi2_contingency(table).pvalue > P_VALUE
    assert np.array_equal(inner.velocity, np.zeros((8192, 2)))
    assert np.array_equal(inner.goal, np.round(inner.goal))


def test_start_offsets_are_uniform_on_a_square():
    """n = 8,192, in 5 x 5 bins. Catches another width, a normal offset, and one number used for both axes."""
    _, params, states = many_resets()
    position = np.asarray(states(jr.key(11), params).position, np.float64)
    offset = position - np.round(position)
    assert np.abs(offset).max() <= 0.2 + 1e-6
    bins = np.clip(np.floor((offset + 0.2) / 0.08).astype(int), 0, 4)
    assert stats.chisquare(np.bincount(bins @ [5, 1], minlength=25)).pvalue > P_VALUE
    assert stats.kstest(offset.ravel(), stats.uniform(-0.2, 0.4).cdf).pvalue > P_VALUE


def test_weights_are_unnormalised_probabilities():
    """n = 8,192, cells weighted 0, 1, ..., 24. Catches weights that are only looked at for being positive."""
    from deepcrl import envs

    env, params, states = many_resets()
    cells, weights = env.maze.cells("G"), np.arange(25)
    of_pair = np.zeros((26, 26), np.float32)  # the first free cell is the start
    of_pair[0, 1:] = weights
    arena = envs.MazeArenaParams(pair_weights=jnp.asarray(of_pair))
    params = dataclasses.replace(params, arena=arena, start_noise=jnp.float32(0.0))
    inner = states(jr.key(12), params)
    goals, _ = counts_of_cells(cells, inner.goal)
    assert goals[0] == 0
    assert stats.chisquare(goals[1:], 8192 * weights[1:] / weights.sum()).pvalue > P_VALUE
    assert np.array_equal(inner.position, np.round(inner.position))


def test_params_with_different_goals_may_be_vmapped():
    env, params, _ = many_resets()
    goals = [(1, 6), (6, 1), (4, 4)]
    lanes = [dataclasses.replace(params, arena=env.arena.with_goals(params.arena, [cell])) for cell in goals]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *lanes)
    _, state = jax.vmap(env.reset, in_axes=(None, 0))(jr.key(0), stacked)
    assert np.array_equal(state.inner.goal, goals)
    assert np.array_equal(state.inner.position[0], state.inner.position[2])  # the start has a key of its own


def test_auto_reset_draws_every_start_and_goal_cell_too():
    """n = 8,192 episodes of one step. Catches an auto-reset that returns to the first state."""
    from deepcrl import envs

    env, params = envs.make("point_big_maze", starts="free", episode_length=1)
    reset, _, _, batched_rollout = jitted(env)
    keys = jr.split(jr.key(13), 32)
    state = jax.vmap(lambda key: reset(key, params))(keys)[1]
    inner = batched_rollout(keys, state, params, jnp.zeros((32, 256, 2)))[1].inner
    starts, _ = counts_of_cells(env.maze.free, inner.position.reshape(-1, 2))
    goals, _ = counts_of_cells(env.maze.cells("G"), inner.goal.reshape(-1, 2))
    assert stats.chisquare(starts).pvalue > P_VALUE
    assert stats.chisquare(goals).pvalue > P_VALUE


def test_cached_resets_repeat_the_first_start_and_goal_bit_for_bit():
    env, params = build("cached")
    reset, _, _, batched_rollout = jitted(env)
    keys = jr.split(jr.key(14), LANES)
    first_obs, first = jax.vmap(lambda key: reset(key, params))(keys)
    actions = random_actions(env, params, jr.key(15), LANES, STEPS)
    obs, states, _, _, truncated, _ = batched_rollout(keys, first, params, actions)
    ends = np.flatnonzero(truncated[0])
    assert list(ends) == [4, 9, 14]
    for end in ends:
        assert_close(take(states.inner, slice(None), end), first.inner, 0.0)
        assert_close(take(obs, slice(None), end), first_obs, 0.0)
    assert np.abs(states.inner.position[:, 3] - first.inner.position).max() > 0.05  # it did move in between
    assert len(np.unique(np.asarray(first.inner.position), axis=0)) == LANES  # and each environment has its own
    assert len(np.unique(np.asarray(first.inner.goal), axis=0)) > 1


FREE = [(1, 1), (1, 2), (1, 3), (2, 3)]


@pytest.mark.parametrize(
    "options, starts, goals",
    [
        ({}, FREE[:1], FREE[2:]),
        ({"starts": "R", "goals": "G"}, FREE[:1], FREE[2:]),
        ({"starts": "free"}, FREE, FREE[2:]),
        ({"goals": "free"}, FREE[:1], FREE),
        ({"starts": (1, 2)}, FREE[1:2], FREE[2:]),
        ({"goals": (1, 2)}, FREE[:1], FREE[1:2]),
    ],
)
def test_starts_and_goals_choose_cells(options, starts, goals):
    from deepcrl import envs

    env, params = envs.make("point_maze", maze="11111/1R0G1/111G1/11111", **options)
    assert env.arena.maze.free == FREE  # pyright: ignore[reportAttributeAccessIssue]
    expected = np.outer([cell in starts for cell in FREE], [cell in goals for cell in FREE])
    assert params.arena.pair_weights.dtype == np.float32
    np.testing.assert_array_equal(params.arena.pair_weights, expected)


@pytest.mark.parametrize("field", ["starts", "goals"])
@pytest.mark.parametrize("choice", [(0, 0), (2, 1), (9, 9), (-1, -1), "x", "", "GR", "other letter"])
def test_cells_that_are_not_free_are_refused(field, choice):
    from deepcrl import envs

    choice = {"starts": "G", "goals": "R"}[field] if choice == "other letter" else choice

    with pytest.raises(ValueError, match=rf"`{field}` must be .*one free cell, got .*Free cells: \[\(1, 1\), \(1, 2\)"):
        envs.make("point_maze", maze="11111/1R0G1/111G1/11111", **{field: choice})


# -- physics -------------------------------------------------------------------------------------------------------


def reference_walk(walls, position, velocity, actions, rule="one axis after the other"):
    """The point maze in float64 NumPy. Also: how many moves were refused, and how near any decision was to a tie."""
    position, velocity = np.array(position, np.float64), np.array(velocity, np.float64)
    positions, velocities, refused, margin, cells = [], [], 0, np.inf, np.argwhere(walls)

    def overlaps(p):
        nonlocal margin
        # A body of 0.4 m overlaps a cell of 1 m where the centres are nearer than 0.7 m along both axes.
        depth = (0.7 - np.abs(cells - p)).min(axis=1)
        margin = min(margin, np.abs(depth).min())
        return (depth > 0).any()

    for action in np.asarray(actions, np.float64):
        velocity = 0.8 * velocity + 0.04 * np.clip(action, -1.0, 1.0)
        for axes in ([0, 1],) if rule == "both axes at once" else ([0], [1]):
            moved = position.copy()
            moved[axes] += velocity[axes]
            if overlaps(moved):
                refused += 1
                if rule != "velocity kept":
                    velocity[axes] = 0.0
            else:
                position = moved
        positions.append(position)
        velocities.append(velocity.copy())
    return np.array(positions), np.array(velocities), refused, margin


@ft.cache
def long_maze():
    """The big maze with episodes that do not end, so that only physics speaks."""
    from deepcrl import envs

    return envs.make("point_big_maze", starts="free", episode_length=1_000_000)


@ft.cache
def drives():
    """32 drives of 150 steps by actions that last for ten steps, so that many end at walls."""
    env, params = long_maze()
    keys = jr.split(jr.key(20), 32)
    state = jax.vmap(lambda key: jitted(env)[0](key, params))(keys)[1]
    actions = jnp.repeat(jr.uniform(jr.key(21), (32, 15, 2), minval=-1.5, maxval=1.5), 10, axis=1)
    inner = jitted(env)[3](keys, state, params, actions)[1].inner
    return env, state.inner, actions, inner


def disagreement(rule):
    """How far the drives are from the reference's, in m, and how many moves it refused."""
    env, first, actions, inner = drives()
    worst, total = 0.0, 0
    for i in range(32):
        walk = reference_walk(env.maze.walls, first.position[i], first.velocity[i], actions[i], rule)
        positions, velocities, refused, margin = walk
        if margin > 1e-5:  # a tie closer than float32 may be decided either way
            worst = max(
                worst, np.abs(positions - inner.position[i]).max(), np.abs(velocities - inner.velocity[i]).max()
            )
            total += refused
    return worst, total


def test_long_drives_match_the_reference():
    worst, refused = disagreement("one axis after the other")
    assert worst < 1e-4
    assert refused > 500


@pytest.mark.parametrize("rule", ["both axes at once", "velocity kept"])
def test_wrong_physics_would_be_noticed(rule):
    assert disagreement(rule)[0] > 0.1


@given(
    actions=hnp.arrays(np.float32, (40, 2), elements=st.floats(-1.5, 1.5, width=32)),
    cell=st.integers(0, 25),
    offset=hnp.arrays(np.float32, 2, elements=st.floats(-0.1875, 0.1875, width=32)),
)
def test_physics_match_the_reference(actions, cell, offset):
    env, params = long_maze()
    start = np.asarray(env.maze.free[cell], np.float32) + offset
    positions, velocities, _, margin = reference_walk(env.maze.walls, start, (0.0, 0.0), actions)
    assume(margin > 1e-5)
    state = walk_from(start)
    _, states, _, _, _, info = jitted(env)[2](jr.key(0), state, params, jnp.asarray(actions))
    np.testing.assert_allclose(states.inner.position, positions, rtol=0, atol=1e-5)
    np.testing.assert_allclose(states.inner.velocity, velocities, rtol=0, atol=1e-5)
    expected = np.concatenate([(positions - 3.5) / 3.5, 5 * velocities], axis=1)
    np.testing.assert_allclose(info["final_observation"].observation, expected, rtol=0, atol=1e-4)


@ft.cache
def reset_long_maze():
    env, params = long_maze()
    return jitted(env)[0](jr.key(0), params)[1]


def walk_from(position):
    env, params = long_maze()
    return env.set_state(reset_long_maze(), params, position=position)[1]


def test_the_body_is_never_inside_a_wall_and_never_faster_than_the_top_speed():
    env, _, _, inner = drives()
    position, velocity = np.asarray(inner.position).reshape(-1, 2), np.asarray(inner.velocity).reshape(-1, 2)
    walls = np.argwhere(env.maze.walls)
    depth = (0.7 - np.abs(position[:, None, :] - walls[None])).min(axis=2)
    assert depth.max() < 1e-5
    assert depth.max() > -0.2  # and it does come near them
    assert np.abs(velocity).max() <= 0.2 + 1e-6


def test_the_top_speed_is_reached_on_a_straight():
    from deepcrl import envs

    env, params = envs.make("point_maze", maze=f"{'1' * 12}/1R{'0' * 8}G1/{'1' * 12}")

    def step(inner, action):
        inner = env.step_env(jr.key(0), inner, action, params)[0]
        return inner, inner

    actions = jnp.broadcast_to(jnp.array([0.0, 5.0]), (30, 2))  # clipped to 1
    inner = jax.lax.scan(step, env.reset_env(jr.key(0), params), actions)[1]
    np.testing.assert_allclose(inner.velocity[:, 1], 0.2 * (1 - 0.8 ** np.arange(1, 31)), atol=1e-6)
    assert np.array_equal(inner.velocity[:, 0], np.zeros(30))


def test_params_change_the_dynamics_without_compiling_again():
    env, params = long_maze()
    step, state = jitted(env)[1], walk_from([3.0, 3.0])
    action = jnp.array([0.5, -1.0])
    faster = dataclasses.replace(params, acceleration=jnp.float32(0.1))
    inner = step(jr.key(0), state, action, faster)[1].inner
    np.testing.assert_allclose(inner.velocity, [0.05, -0.1], atol=1e-7)
    slower = dataclasses.replace(params, drag=jnp.float32(0.5))
    inner = step(jr.key(0), env.set_state(state, params, velocity=[0.1, 0.0])[1], action, slower)[1].inner
    np.testing.assert_allclose(inner.velocity, [0.07, -0.04], atol=1e-7)
    assert step._cache_size() == 1


@pytest.mark.parametrize(
    "offset, success", [((0.0, 0.0), True), ((0.49, 0.0), True), ((0.51, 0.0), False), ((0.36, -0.36), False)]
)
def test_success_is_within_half_a_metre(offset, success):
    env, params = long_maze()
    goal = np.array([3.0, 3.0])
    _, state = env.set_state(reset_long_maze(), params, position=goal + offset, velocity=[0.0, 0.0], goal=goal)
    obs, _, reward, terminated, truncated, info = jitted(env)[1](jr.key(0), state, jnp.zeros(2), params)
    assert bool(info["success"]) is success
    assert float(reward) == float(success)
    np.testing.assert_allclose(info["distance"], np.hypot(*offset), atol=1e-5)
    assert not terminated and not truncated
    wider = dataclasses.replace(params, success_radius=jnp.float32(0.52))
    assert bool(env.success(obs.achieved_goal, obs.desired_goal, wider))


@pytest.mark.parametrize("maze", ["point_room", "point_u_maze"])
def test_the_dense_reward_is_minus_the_distance_of_the_state_that_the_step_led_to(maze):
    from deepcrl import envs

    env, params = envs.make(maze, reward="dense")
    _, state = env.reset(jr.key(0), params)
    _, state = env.set_state(state, params, position=[1.0, 1.0], goal=[3.0, 1.0])  # in the U maze behind a wall
    _, after, reward, terminated, _, info = jitted(env)[1](jr.key(0), state, jnp.array([0.0, 1.0]), params)
    np.testing.assert_allclose(after.inner.position, [1.0, 1.04], atol=1e-6)
    np.testing.assert_allclose(reward, -np.hypot(2.0, 0.04), rtol=1e-6)
    np.testing.assert_allclose(reward, -info["distance"], rtol=1e-6)
    assert not terminated
    sparse, _ = envs.make(maze)
    assert sparse != env
    assert float(jitted(sparse)[1](jr.key(0), state, jnp.zeros(2), params)[2]) == 0.0


def test_observations_are_scaled_positions_and_velocities():
    env, params = long_maze()
    fields = {"position": [2.0, 5.0], "velocity": [0.1, -0.2], "goal": [6.0, 1.0]}
    obs, _ = env.set_state(reset_long_maze(), params, **fields)
    np.testing.assert_allclose(obs.observation, [-1.5 / 3.5, 1.5 / 3.5, 0.5, -1.0], atol=1e-6)
    np.testing.assert_allclose(obs.achieved_goal, [-1.5 / 3.5, 1.5 / 3.5], atol=1e-6)
    np.testing.assert_allclose(obs.desired_goal, [2.5 / 3.5, -2.5 / 3.5], atol=1e-6)
    space = env.observation_space(params)
    np.testing.assert_allclose(space.observation.low, [-4 / 3.5, -4 / 3.5, -1, -1], rtol=1e-6)
    np.testing.assert_allclose(space.observation.high, [4 / 3.5, 4 / 3.5, 1, 1], rtol=1e-6)


def test_a_maze_that_is_not_square_is_seen_at_one_scale_for_both_axes():
    from deepcrl import envs

    env, params = envs.make("point_hardest_maze")  # 9 rows and 12 columns: centre (4, 5.5), 4 m to the outer cells
    position = np.array([[1.0, 1.0], [7.0, 10.0]], np.float32)
    np.testing.assert_allclose(env.to_goal(position), [[-3 / 4, -4.5 / 4], [3 / 4, 4.5 / 4]], rtol=1e-6)
    np.testing.assert_allclose(env.goal_place(env.to_goal(position)), position, rtol=1e-6)
    goals = jnp.asarray(env.to_goal(position))
    np.testing.assert_allclose(env.distance(goals[0], goals[1], params), np.hypot(6.0, 9.0), rtol=1e-6)


def test_distance_has_a_finite_gradient_at_the_goal():
    env, params = long_maze()
    goal = jnp.array([0.25, -0.25])
    assert np.isfinite(jax.grad(env.distance)(goal, goal, params)).all()


# -- set_state -----------------------------------------------------------------------------------------------------


def test_set_state_changes_the_named_fields_only():
    env, params = build("resample")
    reset, step, _, _ = jitted(env)
    state = step(jr.key(1), reset(jr.key(0), params)[1], jnp.ones(2), params)[1]
    obs, new = env.set_state(state, params, position=np.array([3.0, 2.0]))  # float64 is taken
    assert np.array_equal(new.inner.position, [3.0, 2.0])
    assert shapes(new) == shapes(state)
    assert_close(env.observe(new.inner, params), obs, 0.0)
    for field in ("velocity", "goal"):
        assert np.array_equal(getattr(new.inner, field), getattr(state.inner, field))
    assert (int(new.time), int(new.episode_id)) == (1, 0)
    assert_close(env.set_state(state, params)[1], state, 0.0)


def test_set_state_refuses_unknown_fields_and_wrong_shapes():
    env, params = build("resample")
    state = jitted(env)[0](jr.key(0), params)[1]
    with pytest.raises(ValueError, match=r"no field 'postion'\. Did you mean `position`\?"):
        env.set_state(state, params, postion=[1.0, 1.0])
    with pytest.raises(ValueError, match=r"field 'goal' of the state has shape \(2,\), got \(3,\)"):
        env.set_state(state, params, goal=[1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match=r"field 'velocity' of the state has shape \(2,\), got \(\)"):
        env.set_state(state, params, velocity=0.0)


# -- construction, names, equality ---------------------------------------------------------------------------------


def test_environments_built_alike_are_equal_and_hash_alike():
    from deepcrl import envs

    env = envs.make("point_u_maze", episode_length=9)[0]
    assert env == envs.make("point_u_maze", episode_length=9)[0]
    assert hash(env) == hash(envs.make("point_u_maze", episode_length=9)[0])
    others = [{}, {"episode_length": 8}, {"goal_reset": "cached"}, {"starts": "free"}, {"goals": (1, 1)}]
    others = [envs.make("point_u_maze", **{"episode_length": 9, **option})[0] for option in others[1:]]
    others += [envs.make("point_u_maze_eval", episode_length=9)[0]]
    assert len({env, *others}) == 6
    assert env == envs.PointMaze(envs.MAZES["u_maze"], episode_length=9)
    own, _ = envs.make("point_maze", maze="11111/1R0G1/11111", reward="dense", starts="free")
    assert own == envs.PointMaze(envs.Maze.from_text("11111/1R0G1/11111"), starts="free", reward="dense")
    assert not jtu.tree_leaves(env)  # structure only


def test_arguments_of_a_wrong_kind_are_named_without_the_type_checker_too():
    # In a process of its own: here the type checker, which users do not have, would speak first.
    code = """
from deepcrl import envs
maze = envs.MAZES["u_maze"]
for build in (
    lambda: envs.PointMaze(maze, goal_reset="cache"),
    lambda: envs.PointMaze(maze, episode_length=2.5),
    lambda: envs.PointMaze("11111/1R0G1/11111"),
    lambda: envs.PointMaze(maze, starts=[1, 1]),
    lambda: envs.PointMaze(maze, reward="shaped"),
    lambda: envs.make("point_maze", maze=["11111", "1R0G1", "11111"]),
    lambda: envs.make(envs.PointMaze(maze)),
    lambda: envs.PointMaze(maze, episode_length=0),
):
    try:
        build()
    except Exception as error:
        print(type(error).__name__, error)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = result.stdout.splitlines()
    assert len(lines) == 8
    assert lines[0].startswith("ValueError `goal_reset` must be one of") and "Did you mean `cached`?" in lines[0]
    assert lines[1].startswith("TypeError `episode_length` must be an integer, got 2.5")
    assert lines[2].startswith("TypeError `maze` must be a `Maze`") and "`Maze.from_text`" in lines[2]
    assert lines[3].startswith("ValueError `starts` must be 'R'") and "got [1, 1]" in lines[3]
    assert lines[4].startswith("ValueError `reward` must be one of ['sparse', 'dense'], got 'shaped'")
    assert lines[5].startswith("TypeError A maze is read from one text, such as '11111/1R0G1/11111'")
    assert lines[6].startswith("TypeError `make` takes a name, got a `PointMaze`.") and "`Config(env=...)`" in lines[6]
    assert lines[7].startswith("ValueError `episode_length` must be at least 1, got 0")


def test_unknown_names_are_answered_with_close_ones():
    from deepcrl import envs

    with pytest.raises(envs.UnknownEnvironmentError) as caught:
        envs.make("point_u_mase")
    assert str(caught.value).startswith("No environment is named 'point_u_mase'. Did you mean `point_u_maze`")
    assert isinstance(caught.value, KeyError)
    with pytest.raises(envs.UnknownEnvironmentError, match=r"Known names: .*`point_hardest_maze`"):
        envs.make("zzz")


def test_unknown_options_are_refused():
    from deepcrl import envs

    with pytest.raises(ValueError, match=r"`make\('point_u_maze', ...\)`, .*'gaols'. It takes \[.*'goals'"):
        envs.make("point_u_maze", gaols="free")
    with pytest.raises(ValueError, match=r"missing a required argument: 'maze'.*such as maze='11111/1R0G1/11111'"):
        envs.make("point_maze")
    with pytest.raises(ValueError, match="at least 3 rows"):
        envs.make("point_maze", maze="1RG1")


def test_registered_names_are_made_and_never_taken_over():
    from deepcrl import envs, register

    Line = line_class()
    with registering():
        register(Line, "line")
        assert envs.names() == tuple(sorted(envs.names()))
        assert "line" in envs.names()
        env, params = envs.make("line", episode_length=3)
        assert env == Line(episode_length=3)
        assert float(params) == 1.0
        with pytest.raises(ValueError, match="An environment named 'line' exists already"):
            register(lambda: Line(), "line")
        with pytest.raises(ValueError, match="named 'point_u_maze' exists already"):
            register(Line, "point_u_maze")
        assert isinstance(envs.make("point_u_maze")[0], envs.PointMaze)
    assert "line" not in envs.names()


def test_an_error_inside_a_factory_is_not_blamed_on_the_options():
    from deepcrl import envs, register

    def broken(size=1):
        return size + "a string"

    with registering(), pytest.raises(TypeError, match="unsupported operand"):
        register(broken, "broken")
        envs.make("broken", size=2)


def test_the_folder_may_not_be_imported_by_its_own_name():
    root = pathlib.Path(__file__).parent.parent
    assert (root / "envs" / "__init__.py").is_file()
    result = subprocess.run([sys.executable, "-c", "import envs"], cwd=root, capture_output=True, text=True)
    assert result.returncode != 0
    assert "ImportError: This folder is the package `deepcrl.envs`" in result.stderr
    assert "Write `import deepcrl.envs`." in result.stderr


# -- Box -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("low, high", [(0.0, 0.0), (1.0, -1.0), (np.nan, 1.0), (-1.0, np.nan), ([0.0, 2.0], 1.0)])
def test_bounds_that_do_not_bound_are_refused(low, high):
    from deepcrl.envs import Box

    with pytest.raises(ValueError, match="`low < high` everywhere"):
        Box(low, high)


def test_boxes_without_bounds_hold_everything_and_are_not_drawn_from():
    from deepcrl.envs import Box

    box, half = Box.unbounded(2), Box([-np.inf, 0.0], [np.inf, 1.0])
    assert not box.bounded and not half.bounded and Box(0.0, 1.0, (2,)).bounded
    assert box.contains(jnp.array([1e30, -1e30])) and half.contains(jnp.array([1e30, 0.5]))
    assert not half.contains(jnp.array([0.0, 1.5]))
    assert not Box([0.0, -np.inf], 1.0).contains(jnp.array([0.5, 1.5]))
    for use in (lambda: box.sample(jr.key(0)), lambda: half.from_unit(jnp.zeros(2))):
        with pytest.raises(ValueError, match="without bounds"):
            use()


def test_bounds_are_broadcast():
    from deepcrl.envs import Box

    box = Box(-1.0, [1.0, 2.0, 3.0])
    assert box.shape == (3,) and box.size == 3
    assert box.low.tolist() == [-1, -1, -1] and box.high.tolist() == [1, 2, 3]
    assert box.low.dtype == box.high.dtype == np.float32
    assert Box(0.0, 1.0, (2,)).shape == (2,)
    with pytest.raises(ValueError):
        Box([0.0, 0.0], [1.0, 1.0, 1.0])


def test_bounds_do_not_change_with_the_arrays_they_came_from():
    from deepcrl.envs import Box

    low = np.zeros(2, np.float32)
    box = Box(low, 1.0)
    before = hash(box)
    low[0] = -5.0
    assert box.low.tolist() == [0.0, 0.0]
    assert hash(box) == before
    with pytest.raises(ValueError, match="read-only"):
        box.low[0] = -1.0


def test_boxes_are_hashable_values():
    from deepcrl.envs import Box

    assert Box(0.0, 1.0, (2,)) == Box([0.0, 0.0], 1)
    assert hash(Box(0.0, 1.0, (2,))) == hash(Box([0.0, 0.0], 1))
    assert Box(0.0, 1.0, (2,)) != Box(0.0, 1.0, (3,))
    assert Box(0.0, 1.0, (2,)) != Box(0.0, 2.0, (2,))
    assert Box(0.0, 1.0, (2,)) != Box(-1.0, 1.0, (2,))
    assert Box(0.0, 1.0, (2,)) != (0.0, 1.0)
    assert "low=[0.0, 0.0]" in repr(Box(0.0, 1.0, (2,)))
    assert Box(-0.0, 1.0, (2,)) == Box(0.0, 1.0, (2,))
    assert hash(Box(-0.0, 1.0, (2,))) == hash(Box(0.0, 1.0, (2,)))


@given(x=hnp.arrays(np.float32, 3, elements=st.floats(-1.0, 1.0, width=32)))
def test_from_unit_maps_onto_the_box(x):
    from deepcrl.envs import Box

    box, unit = Box([-1.0, 0.0, 10.0], [3.0, 0.5, 30.0]), Box(-1.0, 1.0, (3,))
    mapped = box.from_unit(jnp.asarray(x))
    assert mapped.dtype == jnp.float32
    np.testing.assert_allclose(
        mapped, np.array([1.0, 0.25, 20.0]) + x * np.array([2.0, 0.25, 10.0]), rtol=1e-6, atol=1e-6
    )
    assert bool(box.contains(mapped))
    assert np.array_equal(unit.from_unit(jnp.asarray(x)), x)
    for corner in (-1.0, 1.0):
        np.testing.assert_allclose(box.from_unit(jnp.full(3, corner)), box.low if corner < 0 else box.high)


def test_contains_allows_rounding_and_nothing_more():
    from deepcrl.envs import Box

    box = Box([-1.0, 0.0], [1.0, 100.0])
    for x, inside in [
        ([0.0, 50.0], True),
        ([-1.0, 0.0], True),
        ([1.0, 100.0], True),
        ([1.0001, 50.0], True),  # 1e-4 of the range
        ([1.001, 50.0], False),
        ([0.0, -0.005], True),
        ([0.0, -0.02], False),
        ([np.nan, 50.0], False),
        ([0.0, np.inf], False),
    ]:
        seen = box.contains(jnp.asarray(x, jnp.float32))
        assert seen.shape == () and bool(seen) is inside, x
    assert not bool(box.contains(jnp.array([1.0001, 50.0]), tolerance=0.0))
    for shape in [(1,), (3,), (), (2, 2)]:
        with pytest.raises(ValueError, match=r"holds vectors of shape \(2,\)"):
            box.contains(jnp.zeros(shape))


def test_samples_are_uniform_in_the_box():
    """n = 4,096, Kolmogorov-Smirnov per number. Catches a box that is sampled as if it were [-1, 1]."""
    from deepcrl.envs import Box

    box = Box([-1.0, 0.0], [3.0, 0.5])
    x = np.asarray(jax.vmap(box.sample)(jr.split(jr.key(30), 4096)), np.float64)
    assert x.shape == (4096, 2)
    for column, low, high in zip(x.T, box.low, box.high, strict=True):
        assert stats.kstest(column, stats.uniform(low, high - low).cdf).pvalue > P_VALUE
    assert abs(np.corrcoef(x.T)[0, 1]) < 5 / np.sqrt(4096)
