"""Wrappers for clients of Gymnax and of Gymnasium."""

import warnings

import equinox as eqx
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


# -- Gymnax --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("legacy", [False, True])
def test_gymnax_steps_are_those_of_the_environment_in_one_vector(maze, steps, legacy):
    from deepcrl.envs import to_gymnax

    env, params = maze
    keys, actions, (first, state), plain = steps
    wrapped = to_gymnax(env, params, legacy=legacy)
    flat_first, flat_state = wrapped.reset(jr.key(2))
    assert np.array_equal(flat_first, flat(first))
    assert np.array_equal(flat_state.inner.position, state.inner.position)
    obs, states, reward, *flags, info = scan(wrapped, None, keys, actions, flat_state)
    assert obs.dtype == jnp.float32
    assert np.array_equal(obs, flat(plain[0]))
    assert np.array_equal(info["final_observation"], flat(plain[5]["final_observation"]))
    assert not np.array_equal(info["final_observation"][4], obs[4])  # the episode ended here
    assert np.array_equal(states.time, plain[1].time) and np.array_equal(reward, plain[2])
    assert np.array_equal(info["terminated"], plain[3]) and np.array_equal(info["truncated"], plain[4])
    ends = [plain[3] | plain[4]] if legacy else plain[3:5]
    assert len(flags) == len(ends) and all(map(np.array_equal, flags, ends))
    assert set(info) == {*plain[5], "terminated", "truncated"}


def test_gymnax_clients_find_what_they_look_for(maze, steps):
    from deepcrl.envs import to_gymnax

    env, params = maze
    wrapped, space = to_gymnax(env, params), env.observation_space(params)
    assert (wrapped.name, wrapped.num_actions) == ("PointMaze", 2)
    assert wrapped.default_params.max_steps_in_episode == EPISODE_LENGTH
    box, action = wrapped.observation_space(wrapped.default_params), wrapped.action_space(wrapped.default_params)
    assert (box.shape, action.shape) == ((6,), (2,))
    assert np.array_equal(box.low, np.concatenate([space.observation.low, space.desired_goal.low]))
    assert np.array_equal(box.high, np.concatenate([space.observation.high, space.desired_goal.high]))
    assert jax.vmap(box.contains)(jnp.asarray(flat(steps[3][0]))).all()
    assert wrapped.action_space().contains(wrapped.action_space().sample(jr.key(0)))
    assert hash(wrapped) != hash(to_gymnax(env, params))  # it may be static, as Gymnax's own: never one for the other


def test_gymnax_parameters_are_those_that_are_given(maze):
    from deepcrl.envs import to_gymnax

    env, params = maze
    still = eqx.tree_at(lambda p: p.acceleration, params, jnp.float32(0.0))
    frozen = to_gymnax(env, still)
    assert to_gymnax(env).default_params.replace(inner=still) == frozen.default_params
    first, state = frozen.reset(jr.key(0))
    obs, *_ = frozen.step(jr.key(1), state, jnp.ones(2))
    assert np.array_equal(obs, first)
    short = frozen.default_params.replace(max_steps_in_episode=1)
    *_, truncated, _ = frozen.step(jr.key(1), state, jnp.ones(2), short)
    assert truncated


@pytest.mark.slow
def test_clients_of_gymnax_run_unaided():
    """Train with rejax's own evaluation, which runs by `max_steps_in_episode`; step through Gymnax's own wrapper."""
    rejax, wrappers = pytest.importorskip("rejax"), pytest.importorskip("gymnax.wrappers")
    from deepcrl.envs import make, to_gymnax

    env, params = make("point_room", episode_length=20, reward="dense")
    client = to_gymnax(env, params, legacy=True)
    sac = {"buffer_size": 4_000, "fill_buffer": 200, "batch_size": 64}
    ppo = {"num_steps": 32, "num_minibatches": 2, "num_epochs": 2}
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for algorithm, settings in ((rejax.SAC, sac), (rejax.PPO, ppo)):
            agent = algorithm.create(env=client, num_envs=8, total_timesteps=8_192, eval_freq=4_096, **settings)
            _, (lengths, returns) = jax.jit(agent.train)(jr.key(0))
            assert lengths.shape == (3, 128) and (lengths == 20).all()
            assert returns[-1].mean() > returns[0].mean()
        gym_env = wrappers.GymnaxToGymWrapper(to_gymnax(env, params))
        obs, _ = gym_env.reset(seed=0)
        assert gym_env.observation_space.contains(np.asarray(obs)) and len(gym_env.step(jnp.zeros(2))) == 5


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


def test_gymnasium_arrays_may_be_written_to(vector):
    """As `ClipReward` does in place."""
    from gymnasium.wrappers.vector import ClipReward

    wrapped = ClipReward(vector, 0.25, 0.5)
    wrapped.reset(seed=0)
    obs, reward, terminated, truncated, infos = wrapped.step(np.zeros((NUM_ENVS, 2)))
    assert (reward == 0.25).all()
    assert all(array.flags.writeable for array in (*obs.values(), terminated, truncated, infos["distance"]))


def test_gymnasium_resets_those_that_are_asked_for(vector):
    with pytest.raises(ValueError, match="`reset_mask` must hold 3 booleans, got array"):
        vector.reset(options={"reset_mask": np.ones(2, bool)})
    vector.reset(seed=0)
    before, *_ = vector.step(np.ones((NUM_ENVS, 2)))
    mask = np.array([False, True, False])
    after, _ = vector.reset(options={"reset_mask": mask})
    assert np.array_equal((after["observation"] == before["observation"]).all(axis=1), ~mask)
    *_, truncated, _ = [vector.step(np.ones((NUM_ENVS, 2))) for _ in range(EPISODE_LENGTH - 1)][-1]
    assert np.array_equal(truncated, ~mask)  # its clock began anew


# -- Gymnasium's GoalEnv -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def single(maze):
    from deepcrl.envs import to_gymnasium

    return to_gymnasium(*maze)


def test_environments_by_name_pass_gymnasiums_checker():
    import gymnasium as gym
    from gymnasium.utils.env_checker import check_env

    from deepcrl import envs

    envs.register_in_gymnasium()
    envs.register_in_gymnasium()  # adds nothing, and Gymnasium warns of nothing
    check_env(gym.make("deepcrl/point_u_maze-v0", episode_length=EPISODE_LENGTH).unwrapped)
    many = gym.make_vec("deepcrl/point_u_maze-v0", num_envs=2, episode_length=EPISODE_LENGTH)
    assert many.reset(seed=0)[0]["observation"].shape == (2, 4)
    assert f"deepcrl/{envs.names()[-1]}-v0" in gym.registry


def test_the_single_environment_shows_an_episode_to_its_end(single):
    first, infos = single.reset(seed=1)
    assert infos == {} and single.observation_space.contains(first)
    again, _ = single.reset(seed=1)
    assert np.array_equal(again["observation"], first["observation"])
    assert not np.array_equal(single.reset()[0]["observation"], first["observation"])
    position, velocity = UNIT * (single.reset(seed=1)[0]["achieved_goal"] + 1), np.zeros(2, np.float32)
    for t in range(1, EPISODE_LENGTH + 1):
        obs, reward, terminated, truncated, info = single.step(np.ones(2))
        velocity = 0.8 * velocity + 0.04
        assert not terminated and truncated is (t == EPISODE_LENGTH)
        assert np.array_equal(obs["desired_goal"], first["desired_goal"])  # the last too: none of the next episode
        assert np.all(obs["achieved_goal"] <= (position + velocity) / UNIT - 1 + 1e-5)
        distance = UNIT * np.linalg.norm(obs["achieved_goal"] - obs["desired_goal"])
        assert reward == single.compute_reward(obs["achieved_goal"], obs["desired_goal"], info) == float(distance < 0.5)
        assert info["reward"] == reward and np.isclose(info["distance"], distance, atol=1e-4)
        position = UNIT * (obs["achieved_goal"] + 1)
    with pytest.raises(RuntimeError, match="Call `reset` before the first `step` of an episode"):
        single.step(np.zeros(2))
    single.reset()
    with pytest.raises(ValueError, match=r"`action` must have shape \(2,\), got \(3,\)"):
        single.step(np.zeros(3))


def test_rewards_of_other_goals_are_computed_in_batches(single):
    """Hindsight hands over arrays of goals, and one info for each."""
    achieved = np.array([[0.0, 0.0], [0.2, 0.0], [0.5, 0.5]])
    reward = single.compute_reward(achieved, np.zeros((3, 2)), [{}] * 3)
    assert reward.dtype == np.float32 and reward.tolist() == [1.0, 1.0, 0.0]  # within 0.5 m: 0.25 units


@pytest.mark.slow
def test_hindsight_of_stable_baselines3_learns_unaided():
    sb3 = pytest.importorskip("stable_baselines3")
    from deepcrl.envs import make, to_gymnasium

    def success_rate(model, env, episodes=30):
        reached = []
        for seed in range(episodes):
            obs, ended = env.reset(seed=1000 + seed)[0], False
            while not ended:
                obs, reward, terminated, truncated, _ = env.step(model.predict(obs, deterministic=True)[0])
                ended = terminated or truncated or reward > 0
            reached.append(reward > 0)
        return np.mean(reached)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env, other = (to_gymnasium(*make("point_u_maze", episode_length=100)) for _ in range(2))
        model = sb3.SAC(
            "MultiInputPolicy",
            env,
            replay_buffer_class=sb3.HerReplayBuffer,
            learning_starts=1_000,
            gamma=0.95,
            train_freq=8,
            gradient_steps=4,
            seed=0,
        )
        before = success_rate(model, other)
        model.learn(15_000)
        assert success_rate(model, other) > before + 0.3
