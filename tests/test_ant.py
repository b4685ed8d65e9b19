"""The ant and its mazes, held to the published tables."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from robots import mjx_options


LEGS = ((1, 1), (-1, 1), (-1, -1), (1, -1))  # signs of x and y
ANKLES = {1: ((-1, 1, 0), 30, 70), 2: ((1, 1, 0), -70, -30), 3: ((-1, 1, 0), -70, -30), 4: ((1, 1, 0), 30, 70)}


@pytest.fixture(scope="module")
def model():
    from deepcrl import envs

    return envs.make("ant", engine="native", body="gymnasium")[0].build_model()


@pytest.fixture(scope="module")
def maze():
    from deepcrl import envs

    return envs.make("ant_u_maze", engine="native", episode_length=30)


def test_sizes_and_masses(model):
    assert (model.nq, model.nv, model.nu) == (15, 14, 8)
    masses = {model.body(i).name: model.body_mass[i] for i in range(model.nbody)}
    assert masses["torso"] == pytest.approx(0.484, abs=1e-3)  # a sphere of 0.32725 kg and four upper legs
    for leg in (1, 2, 3, 4):
        assert masses[f"aux_{leg}"] == pytest.approx(0.03916, abs=1e-5)
        assert masses[f"lower_{leg}"] == pytest.approx(0.06759, abs=1e-5)
    assert model.body_mass.sum() == pytest.approx(0.911, abs=1e-3)


def test_the_body_of_the_paper_is_that_of_the_published_engine(model):
    """And all that MuJoCo derives from masses is derived from these. A ball keeps its own."""
    import mujoco

    from deepcrl import envs

    for task in ("ant", "ant_u_maze", "ant_ball"):
        heavy = envs.make(task, engine="native")[0].build_model()
        links = model.body_mass > 0
        assert (heavy.body_mass[: model.nbody] == np.where(links, 1.0, 0.0)).all()
        assert (heavy.body_inertia[: model.nbody][links] == 1).all()
        assert not heavy.dof_armature[:14].any() and not heavy.dof_damping[:6].any()
        assert (heavy.dof_damping[6:14] == 10).all() and (heavy.actuator_gear[:, 0] == 150).all()
        np.testing.assert_array_equal(heavy.body_pos[: model.nbody], model.body_pos)
        data = mujoco.MjData(heavy)
        mujoco.mj_forward(heavy, data)
        assert data.subtree_com[heavy.body("torso").id, 2] == pytest.approx(0.75)
        assert heavy.body_subtreemass[heavy.body("torso").id] == 9
    assert (heavy.dof_armature[14:] == 1).all()
    with pytest.raises((TypeError, ValueError), match="body"):
        envs.make("ant", body="heavy")


@pytest.mark.parametrize("body", ["paper", "gymnasium"])
def test_an_ant_that_does_nothing_stays_within_its_heights(body):
    """500 starts, 60 steps, on the floor of the open."""
    from deepcrl import envs

    env, params = envs.make("ant", engine="native", body=body)
    assert not ended_by_doing_nothing(env, params, 500).any()


TASKS = ["ant_u_maze", "ant_hardest_maze", "ant_u_maze_gen_1f2f3f", "ant_ball", "ant_ball_u_maze", "ant_push"]


@pytest.mark.parametrize("task", TASKS)
def test_nothing_throws_an_ant_up_that_does_nothing(task):
    """Walls, balls and blocks included: 100 starts, 60 steps."""
    from deepcrl import envs

    assert not ended_by_doing_nothing(*envs.make(task, engine="native"), 100).any()


def ended_by_doing_nothing(env, params, episodes):
    """Whether each of some episodes ended within 60 control steps without action, by MuJoCo alone."""
    import mujoco
    from mujoco import rollout

    model = env.build_model()
    qpos, qvel, _ = jax.vmap(lambda key: env.draw_episode(key, params))(jr.split(jr.key(0), episodes))
    size = mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS)
    start = np.zeros((episodes, size))
    start[:, 1 : 1 + model.nq], start[:, 1 + model.nq : 1 + model.nq + model.nv] = qpos, qvel
    states, _ = rollout.rollout(model, mujoco.MjData(model), start, nstep=60 * env.substeps)
    heights = states[:, env.substeps - 1 :: env.substeps, 3]
    assert heights.shape == (episodes, 60)
    return ((heights < 0.2) | (heights > 1.0)).any(axis=1)


def test_the_published_names_of_single_goals():
    from deepcrl import envs

    named = envs.make("ant_u_maze_single_eval", body="gymnasium")[0]
    assert named == envs.make("ant_u_maze_single", body="gymnasium")[0]
    with pytest.raises(KeyError, match="No environment is named"):
        envs.make("ant_big_maze_single_eval")


def test_joints_and_geometry(model):
    order = [model.joint(i).name for i in range(model.njnt)]
    assert order == ["root", *(f"{part}_{leg}" for leg in (1, 2, 3, 4) for part in ("hip", "ankle"))]
    assert not model.dof_armature[:6].any() and not model.dof_damping[:6].any()
    assert (model.dof_armature[6:] == 1).all() and (model.dof_damping[6:] == 1).all()
    for leg, (sx, sy) in zip((1, 2, 3, 4), LEGS, strict=True):
        hip, ankle = model.joint(f"hip_{leg}"), model.joint(f"ankle_{leg}")
        np.testing.assert_allclose(np.rad2deg(hip.range), [-30, 30])
        axis, low, high = ANKLES[leg]
        np.testing.assert_allclose(np.rad2deg(ankle.range), [low, high])
        np.testing.assert_allclose(ankle.axis, np.array(axis) / np.sqrt(2))
        np.testing.assert_allclose(model.body(f"aux_{leg}").pos, [0.2 * sx, 0.2 * sy, 0])
        np.testing.assert_allclose(model.geom(f"foot_{leg}").pos, [0.4 * sx, 0.4 * sy, 0])
        assert model.geom(f"foot_{leg}").size[0] == pytest.approx(0.08)


def test_actuators(model):
    order = [f"{part}_{leg}" for leg in (4, 1, 2, 3) for part in ("hip", "ankle")]
    assert [model.actuator(i).name for i in range(8)] == order
    assert [model.joint(int(i)).name for i in model.actuator_trnid[:, 0]] == order
    assert (model.actuator_gear[:, 0] == 150).all()
    np.testing.assert_array_equal(model.actuator_ctrlrange, np.tile([-1.0, 1.0], (8, 1)))


def test_only_explicit_pairs_collide(model):
    from deepcrl import envs

    assert not model.geom_contype.any() and not model.geom_conaffinity.any()
    assert model.npair == 4
    in_maze = envs.make("ant_u_maze", engine="native")[0].build_model()
    assert in_maze.npair == 4 + 5 * 9  # five boxes of walls, each against torso, upper legs and feet


@pytest.mark.parametrize("name", ["u_maze", "u4_maze", "big_maze", "hardest_maze", "giant_maze"])
def test_wall_boxes_fill_the_walls_and_nothing_else(name):
    from deepcrl.envs import MAZES
    from deepcrl.envs._mazes import wall_rectangles

    filled = np.zeros(MAZES[name].shape, int)
    for row, column, last_row, last_column in wall_rectangles(MAZES[name]):
        filled[row : last_row + 1, column : last_column + 1] += 1
    np.testing.assert_array_equal(filled, MAZES[name].walls.astype(int))  # covered once, and once only


def test_boxes_stand_where_the_grid_says():
    """Occupied area from the compiled model, on a fine grid of points."""
    from deepcrl import envs

    env = envs.make("ant_u4_maze", engine="native")[0]
    model, walls = env.build_model(), env.arena.maze.walls  # pyright: ignore[reportAttributeAccessIssue]
    points = np.stack(np.meshgrid(*(np.arange(-1.9, 4 * n - 2, 0.4) for n in walls.shape), indexing="ij"), -1)
    inside = np.zeros(points.shape[:2], bool)
    for i in range(model.ngeom):
        if model.geom(i).name.startswith("wall"):
            box, centre = model.geom_size[i], model.geom_pos[i]
            assert centre[2] == box[2] == 1.0  # 2 m high, on the floor
            inside |= (np.abs(points - centre[:2]) <= box[:2]).all(-1)
    cells = np.floor(points / 4.0 + 0.5).astype(int)
    np.testing.assert_array_equal(inside, walls[cells[..., 0], cells[..., 1]])


def test_the_fence_is_planes_along_its_inner_faces_where_walls_are_high():
    """In cells of 4 m; walls of half a metre an ant gets over, so they are boxes, and collide by type."""
    import mujoco

    from deepcrl import envs

    cells = envs.MAZES["u4_maze"]
    model = envs.RobotTask(envs.Ant(), envs.MazeArena(cells, 4.0), engine="native").build_model()
    data = mujoco.MjData(model)
    last_x, last_y = 4.0 * np.array(cells.shape) - 6.0  # the faces of the last row and column
    depth = 0.05
    for x, y, normal in (
        (2.25 - depth, 4.0, (1, 0, 0)),
        (last_x - 0.25 + depth, 4.0, (-1, 0, 0)),
        (4.0, 2.25 - depth, (0, 1, 0)),
        (4.0, last_y - 0.25 + depth, (0, -1, 0)),
    ):
        data.qpos[:3] = x, y, 1.9
        mujoco.mj_forward(model, data)
        torso = model.geom("torso").id
        ((distance, frame, friction),) = [(c.dist, c.frame, c.friction) for c in data.contact if torso in c.geom]
        assert distance == pytest.approx(-depth)
        np.testing.assert_allclose(frame[:3], normal, atol=1e-9)
        np.testing.assert_array_equal(friction, [1, 1, 0.5, 0.5, 0.5])
    low = envs.RobotTask(envs.Ant(), envs.MazeArena(cells, 1.0), engine="native").build_model()
    assert not (low.geom_type[1:] == mujoco.mjtGeom.mjGEOM_PLANE).any()
    assert [low.geom(i).name for i in np.flatnonzero(low.geom_contype)] == [f"wall_{i}" for i in range(4)]


def test_the_ant_cannot_walk_through_walls(maze):
    env, params = maze
    _, state = env.reset(jr.key(0), params)
    qpos = state.inner.physics.qpos.at[:3].set(jnp.array([4.0, 4.0, 0.6]))
    _, state = env.set_state(state, params, qpos=qpos, qvel=jnp.zeros(14).at[0].set(-10.0))  # towards x = 0, a wall
    step = jax.jit(env.step)
    lowest = 4.0
    for i in range(20):
        obs, state, *_ = step(jr.key(i), state, jnp.zeros(8), params)
        lowest = min(lowest, float(obs.achieved_goal[0]))
    assert 2.2 < lowest < 3.9  # the wall's face is at x = 2, the torso has a radius of 0.25, feet reach farther


def test_observation_is_positions_and_velocities(maze):
    """Against a simulation of MuJoCo's own, one step from a random state."""
    import mujoco

    env, params = maze
    obs, state = env.reset(jr.key(3), params)
    data = mujoco.MjData(env.build_model())
    data.qpos[:], data.qvel[:] = state.inner.physics.qpos, state.inner.physics.qvel
    np.testing.assert_allclose(obs.observation, np.concatenate([data.qpos, data.qvel]), rtol=1e-6)
    action = jr.uniform(jr.key(4), (8,), minval=-1.0, maxval=1.0)
    obs, *_ = jax.jit(env.step)(jr.key(5), state, action, params)
    data.ctrl[:] = action
    for _ in range(5):
        mujoco.mj_step(data.model, data)
    np.testing.assert_allclose(obs.observation, np.concatenate([data.qpos, data.qvel]), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(obs.achieved_goal, obs.observation[:2])


def test_resets(maze):
    """2,000 draws: every coordinate within 0.1 of rest and spread, every goal cell drawn, velocities normal."""
    env, params = maze
    obs, _ = jax.jit(jax.vmap(env.reset, in_axes=(0, None)))(jr.split(jr.key(0), 2000), params)
    rest = np.array([4.0, 4.0, 0.75, 1, 0, 0, 0, 0, 1, 0, -1, 0, -1, 0, 1])
    qpos = np.asarray(obs.observation[:, :15])
    lowest = lowest_feet(env.build_model(), qpos)
    raised = lowest < 1e-6  # by their feet, onto the floor
    assert lowest.min() > -1e-6 and 0.02 < raised.mean() < 0.3
    offset = qpos - rest
    assert np.abs(offset[~raised, 2]).max() <= 0.1 + 1e-5 and offset[:, 2].min() >= -0.1 - 1e-5
    offset = np.delete(offset, 2, axis=1)
    assert np.abs(offset).max() <= 0.1 + 1e-5
    np.testing.assert_allclose(offset.std(axis=0), 0.1 / np.sqrt(3), rtol=0.08)  # 4 standard errors: 5.7 %
    np.testing.assert_allclose(np.asarray(obs.observation[:, 15:]).std(axis=0), 0.1, rtol=0.08)
    goals, counts = np.unique(np.asarray(obs.desired_goal), axis=0, return_counts=True)
    assert {tuple(goal) for goal in goals} == {(4, 8), (4, 12), (8, 12), (12, 4), (12, 8), (12, 12)}
    assert counts.min() > 2000 / 6 - 5 * np.sqrt(2000 / 6)


def lowest_feet(model, qpos):
    """How high the lowest point of the feet is above the floor in each of these, by MuJoCo."""
    import mujoco

    data, feet = mujoco.MjData(model), [model.geom(f"foot_{leg}").id for leg in (1, 2, 3, 4)]
    heights = []
    for data.qpos[:] in qpos:
        mujoco.mj_kinematics(model, data)
        heights.append(data.geom_xpos[feet, 2].min() - 0.08)
    return np.array(heights)


def test_open_field_goals():
    from deepcrl import envs

    env, params = envs.make("ant", engine="native")
    goals = jax.vmap(lambda key: env.reset(key, params)[0].desired_goal)(jr.split(jr.key(1), 500))
    np.testing.assert_allclose(jnp.linalg.norm(goals, axis=1), 10.0, rtol=1e-5)
    quadrants = np.unique(np.sign(np.asarray(goals)), axis=0)
    assert len(quadrants) == 4


def test_episodes_end_by_height(maze):
    env, params = maze
    _, state = env.reset(jr.key(0), params)
    for height, ends in ((0.19, True), (0.21, False), (0.99, False), (1.01, True)):
        qpos = state.inner.physics.qpos.at[2].set(height)
        assert bool(env.fell(eqx.tree_at(lambda p: p.qpos, state.inner.physics, qpos), params)) == ends
    _, state = env.set_state(state, params, qpos=state.inner.physics.qpos.at[2].set(1.5))
    _, after, _, terminated, truncated, _ = jax.jit(env.step)(jr.key(1), state, jnp.zeros(8), params)
    assert terminated and not truncated and after.episode_id == 1


def test_failed_physics_ends_the_episode_with_finite_numbers(maze):
    env, params = maze
    _, state = env.reset(jr.key(0), params)
    _, state = env.set_state(state, params, qvel=jnp.full(14, 1e20))
    obs, state, _, terminated, _, info = jax.jit(env.step)(jr.key(1), state, jnp.zeros(8), params)
    assert terminated and info["failed"]
    assert jnp.isfinite(obs.observation).all() and jnp.isfinite(info["final_observation"].observation).all()
    assert not state.inner.physics.failed  # the next episode's


def test_rewards(maze):
    from deepcrl import envs

    env, params = maze
    dense, _ = envs.make("ant_u_maze", engine="native", reward="dense")
    _, state = env.reset(jr.key(0), params)
    action = jnp.full(8, 0.5)
    *_, info = jax.jit(env.step)(jr.key(1), state, action, params)
    reward = jax.jit(dense.step)(jr.key(1), state, action, params)[2]
    np.testing.assert_allclose(reward, 1.0 - info["distance"] - 0.5 * 8 * 0.25, rtol=1e-5)
    _, near = env.set_state(state, params, goal=state.inner.physics.qpos[:2] + 0.1)
    for other, expected in ((state, 0.0), (near, 1.0)):
        _, _, reward, _, _, info = jax.jit(env.step)(jr.key(1), other, jnp.zeros(8), params)
        assert float(reward) == expected == float(info["success"])


def test_stitching_pairs():
    """The published family: starts and goals k cells apart on the path, forward, each k as likely as another."""
    from deepcrl import envs

    env, params = envs.make("ant_u_maze_gen_1f2f3f", engine="native")
    path = [(1, 1), (1, 2), (1, 3), (2, 3), (3, 3), (3, 2), (3, 1)]
    draw = jax.vmap(lambda key: env.arena.draw(params.arena, key=key))  # pyright: ignore[reportAttributeAccessIssue]
    start, goal = draw(jr.split(jr.key(0), 3000))
    indices = [[path.index(tuple((np.asarray(x) / 4).astype(int))) for x in side] for side in (start, goal)]
    apart = np.array(indices[1]) - np.array(indices[0])
    counts = np.bincount(apart, minlength=4)
    assert counts[0] == 0 and len(counts) == 4
    np.testing.assert_allclose(counts[1:], 1000, atol=5 * np.sqrt(3000 * 2 / 9))
    assert len(set(zip(*indices, strict=True))) == 6 + 5 + 4


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ant_big_maze_gen_1f", "one corridor from its start"),
        ("ant_u_maze_gen_9f", "has 6 steps"),
        ("ant_u_maze_gen_", "No environment is named"),
    ],
)
def test_stitching_errors(name, message):
    from deepcrl import envs

    with pytest.raises((ValueError, KeyError), match=message):
        envs.make(name)


def test_user_mazes_and_checks():
    from deepcrl import envs

    env, _ = envs.make("ant_maze", maze="11111/1R0G1/11111", engine="native", episode_length=40)
    report = envs.check(env)
    assert report.distinct_starts == 16 and report.distinct_goals == 1
    with pytest.raises(ValueError, match="walled in"):
        envs.make("ant_maze", maze="111/1R0/1G1")


@pytest.mark.slow
def test_mjx_steps_as_mujoco_does(maze):
    """From the same 16 states and actions, one control step (5 substeps): float32 against float64, and another line
    search. Contacts make the difference: 1e-3 in positions, 2e-2 in velocities of several m/s and rad/s."""
    import dataclasses

    env, params = maze
    other = dataclasses.replace(env, engine="mjx")
    keys = jr.split(jr.key(0), 16)
    _, state = jax.vmap(env.reset, in_axes=(0, None))(keys, params)
    action = jr.uniform(jr.key(1), (16, 8), minval=-1.0, maxval=1.0)
    for _ in range(4):  # into contact, by MuJoCo itself
        state = jax.jit(jax.vmap(env.step, in_axes=(0, 0, 0, None)))(keys, state, action, params)[1]
    one, two = (
        jax.jit(jax.vmap(e.step, in_axes=(0, 0, 0, None)), compiler_options=options)(keys, state, action, params)[5][
            "final_observation"
        ]
        for e, options in ((env, None), (other, mjx_options()))
    )
    np.testing.assert_allclose(one.observation[:, :15], two.observation[:, :15], atol=1e-3)
    np.testing.assert_allclose(one.observation[:, 15:], two.observation[:, 15:], atol=2e-2)


@pytest.mark.parametrize("name", ["ant_ball", "ant_ball_big_maze", "ant_push"])
def test_ants_with_objects_keep_the_contract(name):
    from deepcrl import envs

    env, params = envs.make(name, engine="native", episode_length=40)
    report = envs.check(env, params)
    assert report.distinct_starts == 16
    obs, _ = env.reset(jr.key(0), params)
    assert obs.observation.shape == (31,)


def test_the_ball_is_the_achieved_goal_and_can_be_pushed():
    from deepcrl import envs

    env, params = envs.make("ant_ball", engine="native")
    model = env.build_model()
    assert model.body("ball").mass[0] == pytest.approx(0.576, abs=1e-3)
    obs, state = env.reset(jr.key(0), params)
    np.testing.assert_array_equal(obs.achieved_goal, obs.observation[29:31])
    qpos = state.inner.physics.qpos.at[:2].set(obs.achieved_goal - jnp.array([0.7, 0.0]))
    qvel = state.inner.physics.qvel.at[0].set(5.0)  # at the ball, which is 0.75 m away at contact
    _, state = env.set_state(state, params, qpos=qpos, qvel=qvel)
    later, *_ = jax.jit(env.step)(jr.key(1), state, jnp.zeros(8), params)
    assert later.achieved_goal[0] > obs.achieved_goal[0] + 0.01


def test_balls_in_the_open_start_clear_of_the_ant():
    """2,000 episodes: nothing touches, and all on the goal's side; some lie farther off than they must."""
    import mujoco

    from deepcrl import envs

    env, params = envs.make("ant_ball", engine="native")
    draw = jax.jit(jax.vmap(lambda key: env.draw_episode(key, params)))  # pyright: ignore[reportAttributeAccessIssue]
    qpos, _, goals = (np.asarray(x) for x in draw(jr.split(jr.key(0), 2000)))
    distance = np.linalg.norm(qpos[:, 15:], axis=1)
    assert distance.min() > 1.75 - 1e-5 and distance.max() > 1.9 and 0.2 < (distance > 1.76).mean() < 0.5
    assert (np.sum(qpos[:, 15:] * goals, axis=1) > 0).all()
    model = env.build_model()
    data, ball = mujoco.MjData(model), model.geom("ball").id
    for start in qpos:
        data.qpos[:] = start
        mujoco.mj_kinematics(model, data)
        mujoco.mj_collision(model, data)
        assert all(model.geom("floor").id in pair for pair in data.contact.geom if ball in pair)


def test_balls_start_in_their_cells():
    from deepcrl import envs

    env, params = envs.make("ant_ball_big_maze", engine="native")
    balls = jax.vmap(lambda key: env.reset(key, params)[0].achieved_goal)(jr.split(jr.key(0), 100))
    assert {tuple(ball) for ball in np.asarray(balls).tolist()} == {(12.0, 8.0), (12.0, 16.0)}
    with pytest.raises(ValueError, match="`cells` of a ball must be"):
        envs.RobotTask(envs.Ant(), envs.OpenArena(5.0, 5.0), (envs.Ball(((1, 1),)),))
    with pytest.raises(ValueError, match="needs an object"):
        envs.RobotTask(envs.Ant(), envs.OpenArena(5.0, 5.0), goal="object")


def test_pushing_task():
    from deepcrl import envs

    env, params = envs.make("ant_push", engine="native")
    model = env.build_model()
    assert model.body("torso").mass[0] == pytest.approx(3.87, abs=0.01)
    assert model.body("lower_1").mass[0] == pytest.approx(0.5407, abs=1e-3)
    obs, _ = jax.vmap(env.reset, in_axes=(0, None))(jr.split(jr.key(0), 200), params)
    np.testing.assert_array_equal(obs.observation[:, 29:], np.full((200, 2), 8.0))
    goals = np.asarray(obs.desired_goal)
    first = goals[:, 0] > goals[:, 1]
    assert 60 < first.sum() < 140  # binomial, 5.6 standard deviations
    low = np.where(first[:, None], [16.0, 8.0], [8.0, 16.0])
    assert (goals >= low).all() and (goals <= low + 2.0).all()
