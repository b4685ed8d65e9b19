"""Wrappers: the flat vector, the old five-tuple, and Gymnasium's vector environments."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest


NUM_ENVS, EPISODE_LENGTH = 3, 5
UNIT = 2.0  # m per unit of observation in the U maze, from its centre at (2, 2)


@pytest.fixture(scope="module")
def maze():
    from deepcrl import envs

    return envs.make("point_u_maze", episode_length=EPISODE_LENGTH)


@pytest.fixture(scope="module")
def steps(maze):
    """The plain environment from one reset through seven steps, past an auto-reset."""
    env, params = maze
    keys, actions = jr.split(jr.key(0), 7), jr.uniform(jr.key(1), (7, 2), minval=-1.0, maxval=1.0)
    return (
        keys,
        actions,
        env.reset(jr.key(2), params),
        scan(env, params, keys, actions, env.reset(jr.key(2), params)[1]),
    )


def scan(env, params, keys, actions, state):
    def step(state, xs):
        out = env.step(xs[0], state, xs[1], params)
        return out[1], out

    return jax.jit(lambda *args: jax.lax.scan(step, *args)[1])(state, (keys, actions))


def flat(obs):
    return np.concatenate([obs.observation, obs.desired_goal], axis=-1)


# -- FlatObservation and LegacyStep --------------------------------------------------------------------------------


def test_flat_observations_are_observation_then_desired_goal(maze, steps):
    from deepcrl.envs import FlatObservation

    env, params = maze
    keys, actions, (first, state), plain = steps
    wrapped = FlatObservation(env)
    flat_first, flat_state = wrapped.reset(jr.key(2), params)
    assert np.array_equal(flat_first, flat(first))
    assert np.array_equal(flat_state.inner.position, state.inner.position)
    obs, states, reward, terminated, truncated, info = scan(wrapped, params, keys, actions, flat_state)
    assert obs.dtype == jnp.float32
    assert np.array_equal(obs, flat(plain[0]))
    assert np.array_equal(info["final_observation"], flat(plain[5]["final_observation"]))
    assert not np.array_equal(info["final_observation"][4], obs[4])  # the episode ended here
    for seen, expected in zip((states.time, reward, terminated, truncated), (plain[1].time, *plain[2:5]), strict=True):
        assert np.array_equal(seen, expected)
    assert set(info) == set(plain[5])
    assert np.array_equal(info["distance"], plain[5]["distance"])


def test_flat_spaces_hold_flat_observations(maze, steps):
    from deepcrl.envs import Box, FlatObservation

    env, params = maze
    wrapped, space = FlatObservation(env), env.observation_space(params)
    box = wrapped.observation_space(params)
    assert isinstance(box, Box) and box.shape == (6,)
    assert np.array_equal(box.low, np.concatenate([space.observation.low, space.desired_goal.low]))
    assert np.array_equal(box.high, np.concatenate([space.observation.high, space.desired_goal.high]))
    assert wrapped.action_space(params) == env.action_space(params)
    assert jax.vmap(box.contains)(jnp.asarray(flat(steps[3][0]))).all()
    assert wrapped == FlatObservation(env) and hash(wrapped) == hash(FlatObservation(env))


@pytest.mark.parametrize("flatten", [False, True])
def test_legacy_steps_join_both_ends_and_keep_them_in_info(maze, steps, flatten):
    from deepcrl.envs import FlatObservation, LegacyStep

    env, params = maze
    keys, actions, _, plain = steps
    wrapped = LegacyStep(FlatObservation(env) if flatten else env)
    _, state = wrapped.reset(jr.key(2), params)
    out = scan(wrapped, params, keys, actions, state)
    assert len(out) == 5
    obs, _, reward, done, info = out
    assert np.array_equal(done, np.arange(7) == EPISODE_LENGTH - 1)
    assert done.dtype == bool
    assert np.array_equal(info["truncated"], plain[4])
    assert np.array_equal(info["terminated"], plain[3])
    assert np.array_equal(obs if flatten else flat(obs), flat(plain[0]))
    assert np.array_equal(reward, plain[2])
    assert wrapped.action_space(params) == env.action_space(params)
    space = wrapped.observation_space(params)
    assert (space.shape if flatten else space.observation.shape) == ((6,) if flatten else (4,))


# -- Gymnasium -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vector(maze):
    from deepcrl.envs import to_gymnasium

    env, params = maze
    return to_gymnasium(env, params, num_envs=NUM_ENVS, seed=0)


def drive(vector, seed, num_steps=12):
    """Observations and everything else from a reset and some steps by seeded actions."""
    obs, infos = vector.reset(seed=seed)
    rng, trace = np.random.default_rng(0), []
    for _ in range(num_steps):
        trace.append(vector.step(rng.uniform(-1, 1, (NUM_ENVS, 2)).astype(np.float32)))
    return obs, infos, trace


def test_gymnasium_spaces_contain_what_is_seen(vector, maze):
    import gymnasium as gym
    from gymnasium.vector import AutoresetMode, VectorEnv

    env, params = maze
    assert isinstance(vector, VectorEnv)
    assert vector.num_envs == NUM_ENVS
    assert vector.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert set(vector.single_observation_space) == {"observation", "achieved_goal", "desired_goal"}
    assert vector.single_observation_space["observation"].shape == (4,)
    assert vector.observation_space["desired_goal"].shape == (NUM_ENVS, 2)
    assert vector.single_action_space == gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
    assert vector.action_space.shape == (NUM_ENVS, 2)
    first, infos, trace = drive(vector, 3)
    assert infos == {}
    for obs in (first, *(step[0] for step in trace)):
        assert vector.observation_space.contains(obs)
        assert all(isinstance(value, np.ndarray) for value in obs.values())
    box = env.observation_space(params).observation
    np.testing.assert_allclose(vector.single_observation_space["observation"].low, box.low, atol=1e-3)
    obs, reward, terminated, truncated, _ = vector.step(vector.action_space.sample())
    assert (reward.shape, reward.dtype) == ((NUM_ENVS,), np.float32)
    assert (terminated.shape, terminated.dtype) == ((NUM_ENVS,), bool)
    assert (truncated.shape, truncated.dtype) == ((NUM_ENVS,), bool)


def test_gymnasium_resets_in_the_same_step(vector):
    first, _, trace = drive(vector, 4)
    before = first
    for t, (obs, _, terminated, truncated, infos) in enumerate(trace, start=1):
        ended = t % EPISODE_LENGTH == 0
        assert (truncated == ended).all() and not terminated.any()
        assert ("final_obs" in infos) == ended
        assert infos["success"].shape == infos["distance"].shape == (NUM_ENVS,)
        if ended:
            assert infos["_final_obs"].all()
            for i in range(NUM_ENVS):
                # As Gymnasium has it: an array of objects, one observation per environment that ended.
                final = infos["final_obs"][i]
                assert vector.single_observation_space.contains(final)
                assert np.array_equal(final["desired_goal"], before["desired_goal"][i])
                assert np.abs(final["achieved_goal"] - before["achieved_goal"][i]).max() <= 0.2 / UNIT + 1e-5
                distance = UNIT * np.linalg.norm(final["achieved_goal"] - final["desired_goal"])
                np.testing.assert_allclose(infos["distance"][i], distance, atol=1e-4)
            assert np.array_equal(obs["observation"][:, 2:], np.zeros((NUM_ENVS, 2)))  # at rest: a fresh episode
        before = obs
    assert not np.array_equal(trace[4][0]["observation"], first["observation"])


def test_gymnasium_steps_are_those_of_the_environment(vector, maze):
    env, params = maze
    first, _, trace = drive(vector, 5, 4)
    position, velocity = UNIT * (first["achieved_goal"] + 1), np.zeros((NUM_ENVS, 2), np.float32)
    rng = np.random.default_rng(0)
    for obs, *_ in trace:
        actions = rng.uniform(-1, 1, (NUM_ENVS, 2)).astype(np.float32)
        for i in range(NUM_ENVS):
            fields = {"position": position[i], "velocity": velocity[i], "goal": UNIT * (first["desired_goal"][i] + 1)}
            inner = env.set_state(env.reset(jr.key(0), params)[1], params, **fields)[1].inner
            inner = env.step_env(jr.key(0), inner, jnp.asarray(actions[i]), params)[0]
            np.testing.assert_allclose(obs["observation"][i], env.observe(inner, params).observation, atol=1e-5)
        position, velocity = UNIT * (obs["achieved_goal"] + 1), obs["observation"][:, 2:] / 5


def test_gymnasium_seeds_are_reproducible(vector, maze):
    from deepcrl.envs import to_gymnasium

    def numbers(run):
        first, _, trace = run
        return np.concatenate([o["observation"].ravel() for o in (first, *(step[0] for step in trace))])

    once, again, other = (numbers(drive(vector, seed)) for seed in (6, 6, 7))
    assert np.array_equal(once, again)
    assert not np.array_equal(once, other)
    assert not np.array_equal(numbers(drive(vector, None)), numbers(drive(vector, None)))  # the stream goes on
    env, params = maze
    resets = [to_gymnasium(env, params, num_envs=2, seed=seed).reset()[0]["observation"] for seed in (8, 8, 9)]
    assert np.array_equal(resets[0], resets[1])
    assert not np.array_equal(resets[0], resets[2])
    assert not np.array_equal(resets[0][0], resets[0][1])


def test_gymnasium_errors_say_what_to_do(vector, maze):
    from deepcrl.envs import to_gymnasium

    env, params = maze
    with pytest.raises(RuntimeError, match="Call `reset` before the first `step`"):
        to_gymnasium(env, num_envs=2).step(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="`num_envs` must be at least 1, got 0"):
        to_gymnasium(env, params, num_envs=0)
    vector.reset()
    for shape in ((NUM_ENVS, 3), (2,), (NUM_ENVS + 1, 2)):
        with pytest.raises(ValueError, match=rf"`actions` must have shape \({NUM_ENVS}, 2\), got"):
            vector.step(np.zeros(shape))
    with pytest.raises(TypeError, match="`seed` must be one integer, got a list"):
        vector.reset(seed=[1, 2, 3])


def test_gymnasium_wrappers_work_on_top(vector):
    """Statistics and the list of infos read the masks that go with each entry of `infos`."""
    from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics

    wrapped = DictInfoToList(RecordEpisodeStatistics(vector))
    first, _ = wrapped.reset(seed=1)
    for _ in range(EPISODE_LENGTH):
        _, _, _, truncated, infos = wrapped.step(np.ones((NUM_ENVS, 2), np.float32))
    assert truncated.all()
    assert [int(info["episode"]["l"]) for info in infos] == [EPISODE_LENGTH] * NUM_ENVS
    for i, info in enumerate(infos):
        assert np.isfinite(info["distance"])
        assert np.array_equal(info["final_obs"]["desired_goal"], first["desired_goal"][i])
