"""The humanoid: its model against the table, its observation against MuJoCo's own data, its engines against each other."""

import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from robots import mjx_options
from scipy import stats


P_VALUE = 1e-6  # of every statistical test here; n is stated by each
LINKS = ("torso", "lower_waist", "pelvis", "right_thigh", "right_shin", "left_thigh", "left_shin", "right_upper_arm",
         "right_lower_arm", "left_upper_arm", "left_lower_arm")  # fmt: skip
# kg, parent, offset from it in m
BODIES = {
    "torso": (8.907, "world", (0, 0, 1.4)),
    "lower_waist": (2.262, "torso", (-0.01, 0, -0.26)),
    "pelvis": (6.616, "lower_waist", (0, 0, -0.165)),
    "right_thigh": (4.752, "pelvis", (0, -0.1, -0.04)),
    "right_shin": (4.523, "right_thigh", (0, 0.01, -0.403)),
    "left_thigh": (4.752, "pelvis", (0, 0.1, -0.04)),
    "left_shin": (4.523, "left_thigh", (0, -0.01, -0.403)),
    "right_upper_arm": (1.661, "torso", (0, -0.17, 0.06)),
    "right_lower_arm": (1.230, "right_upper_arm", (0.18, -0.18, -0.18)),
    "left_upper_arm": (1.661, "torso", (0, 0.17, 0.06)),
    "left_lower_arm": (1.230, "left_upper_arm", (0.18, 0.18, -0.18)),
}
# body, place in m, axis, range in degrees, stiffness, armature, damping; in the order of `qpos`
JOINTS = {
    "abdomen_z": ("lower_waist", 0.065, (0, 0, 1), (-45, 45), 20, 0.02, 5),
    "abdomen_y": ("lower_waist", 0.065, (0, 1, 0), (-75, 30), 10, 0.02, 5),
    "abdomen_x": ("pelvis", 0.1, (1, 0, 0), (-35, 35), 10, 0.02, 5),
    "right_hip_x": ("right_thigh", 0, (1, 0, 0), (-25, 5), 10, 0.01, 5),
    "right_hip_z": ("right_thigh", 0, (0, 0, 1), (-60, 35), 10, 0.01, 5),
    "right_hip_y": ("right_thigh", 0, (0, 1, 0), (-110, 20), 20, 0.008, 5),
    "right_knee": ("right_shin", 0.02, (0, -1, 0), (-160, -2), 0, 0.006, 1),
    "left_hip_x": ("left_thigh", 0, (-1, 0, 0), (-25, 5), 10, 0.01, 5),
    "left_hip_z": ("left_thigh", 0, (0, 0, -1), (-60, 35), 10, 0.01, 5),
    "left_hip_y": ("left_thigh", 0, (0, 1, 0), (-110, 20), 20, 0.01, 5),
    "left_knee": ("left_shin", 0.02, (0, -1, 0), (-160, -2), 1, 0.006, 1),
    "right_shoulder1": ("right_upper_arm", 0, (2, 1, 1), (-85, 60), 1, 0.0068, 1),
    "right_shoulder2": ("right_upper_arm", 0, (0, -1, 1), (-85, 60), 1, 0.0051, 1),
    "right_elbow": ("right_lower_arm", 0, (0, -1, 1), (-90, 50), 0, 0.0028, 1),
    "left_shoulder1": ("left_upper_arm", 0, (2, -1, 1), (-60, 85), 1, 0.0068, 1),
    "left_shoulder2": ("left_upper_arm", 0, (0, 1, 1), (-60, 85), 1, 0.0051, 1),
    "left_elbow": ("left_lower_arm", 0, (0, -1, -1), (-90, 50), 0, 0.0028, 1),
}
# body, radius, ends (a capsule) or centre (a ball) in m
GEOMS = {
    "chest": ("torso", 0.07, (0, -0.07, 0), (0, 0.07, 0)),
    "head": ("torso", 0.09, (0, 0, 0.19)),
    "upper_waist": ("torso", 0.06, (-0.01, -0.06, -0.12), (-0.01, 0.06, -0.12)),
    "lower_waist": ("lower_waist", 0.06, (0, -0.06, 0), (0, 0.06, 0)),
    "pelvis": ("pelvis", 0.09, (-0.02, -0.07, 0), (-0.02, 0.07, 0)),
    "right_thigh": ("right_thigh", 0.06, (0, 0, 0), (0, 0.01, -0.34)),
    "right_shin": ("right_shin", 0.049, (0, 0, 0), (0, 0, -0.3)),
    "right_foot": ("right_shin", 0.075, (0, 0, -0.35)),
    "left_thigh": ("left_thigh", 0.06, (0, 0, 0), (0, -0.01, -0.34)),
    "left_shin": ("left_shin", 0.049, (0, 0, 0), (0, 0, -0.3)),
    "left_foot": ("left_shin", 0.075, (0, 0, -0.35)),
    "right_upper_arm": ("right_upper_arm", 0.04, (0, 0, 0), (0.16, -0.16, -0.16)),
    "right_lower_arm": ("right_lower_arm", 0.031, (0.01, 0.01, 0.01), (0.17, 0.17, 0.17)),
    "right_hand": ("right_lower_arm", 0.04, (0.18, 0.18, 0.18)),
    "left_upper_arm": ("left_upper_arm", 0.04, (0, 0, 0), (0.16, 0.16, -0.16)),
    "left_lower_arm": ("left_lower_arm", 0.031, (0.01, -0.01, 0.01), (0.17, -0.17, 0.17)),
    "left_hand": ("left_lower_arm", 0.04, (0.18, -0.18, 0.18)),
}
# in the order of actions
GEARS = {
    "abdomen_y": 100, "abdomen_z": 100, "abdomen_x": 100,
    "right_hip_x": 100, "right_hip_z": 100, "right_hip_y": 300, "right_knee": 200,
    "left_hip_x": 100, "left_hip_z": 100, "left_hip_y": 300, "left_knee": 200,
    "right_shoulder1": 25, "right_shoulder2": 25, "right_elbow": 25,
    "left_shoulder1": 25, "left_shoulder2": 25, "left_elbow": 25,
}  # fmt: skip


@pytest.fixture(scope="module")
def model():
    from deepcrl import envs

    return envs.make("humanoid", body="gymnasium")[0].build_model()


@pytest.fixture(scope="module")
def maze_model():
    from deepcrl import envs

    return envs.make("humanoid_u_maze")[0].build_model()


# -- the model -----------------------------------------------------------------------------------------------------


def test_sizes_and_options(model):
    assert (model.nq, model.nv, model.nu, model.nbody) == (24, 23, 17, 2 + len(LINKS))
    assert model.opt.timestep == 0.003
    assert np.array_equal(model.opt.gravity, [0, 0, -9.81])
    assert tuple(model.body(i).name for i in range(2, model.nbody)) == LINKS == tuple(BODIES)


def test_bodies_match_the_table(model):
    for name, (mass, parent, offset) in BODIES.items():
        body = model.body(name)
        assert body.mass[0] == pytest.approx(mass, abs=6e-4), name
        assert model.body(body.parentid[0]).name == parent, name
        assert np.allclose(body.pos, offset), name
        tilted = name in ("lower_waist", "pelvis")
        assert np.allclose(body.quat, [1, 0, -0.002, 0] if tilted else [1, 0, 0, 0], atol=1e-5), name
    assert model.body_mass.sum() == pytest.approx(42.1, abs=0.05)
    assert model.body("goal").mocapid[0] == 0 and model.body("goal").mass[0] == 0


def test_joints_match_the_table(model):
    assert tuple(model.joint(i).name for i in range(model.njnt)) == ("root", *JOINTS)
    assert not model.dof_armature[:6].any() and not model.dof_damping[:6].any()
    for name, (body, height, axis, degrees, stiffness, armature, damping) in JOINTS.items():
        joint = model.joint(name)
        assert model.body(joint.bodyid[0]).name == body, name
        assert np.allclose(joint.pos, [0, 0, height]), name
        assert np.allclose(joint.axis, np.array(axis) / np.linalg.norm(axis)), name
        assert joint.limited[0] and np.allclose(np.rad2deg(joint.range), degrees), name
        found = (joint.stiffness.item(), joint.armature.item(), joint.damping.item())
        assert found == pytest.approx((stiffness, armature, damping)), name


def test_geoms_match_the_table(model):
    from mujoco import mjtGeom

    assert model.ngeom == len(GEOMS) + 2  # floor, goal
    for name, (body, radius, *points) in GEOMS.items():
        geom = model.geom(name)
        assert model.body(geom.bodyid[0]).name == body, name
        assert geom.size[0] == radius, name
        assert np.allclose(geom.pos, np.mean(points, axis=0)), name
        if len(points) == 1:
            assert geom.type[0] == mjtGeom.mjGEOM_SPHERE, name
            continue
        assert geom.type[0] == mjtGeom.mjGEOM_CAPSULE, name
        along = np.subtract(*points)
        assert geom.size[1] == pytest.approx(0.5 * np.linalg.norm(along)), name
        w, x, y, z = geom.quat
        axis = [2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)]
        assert abs(np.dot(axis, along)) == pytest.approx(np.linalg.norm(along)), name


def test_actuators_match_the_table(model):
    assert tuple(model.actuator(i).name for i in range(model.nu)) == tuple(GEARS)
    for name, gear in GEARS.items():
        actuator = model.actuator(name)
        assert model.joint(actuator.trnid[0]).name == name
        assert actuator.gear[0] == gear and actuator.ctrllimited[0] and np.allclose(actuator.ctrlrange, [-0.4, 0.4])


def test_the_body_of_the_paper_is_that_of_the_published_engine(model, maze_model):
    """The same geometry and masses; other inertias, joints and gears."""
    for name in LINKS:
        assert np.array_equal(maze_model.body(name).inertia, [1, 1, 1]), name
        assert maze_model.body(name).mass == model.body(name).mass, name
    assert not maze_model.dof_armature.any() and not maze_model.jnt_stiffness.any()
    assert not maze_model.dof_damping[:6].any() and (maze_model.dof_damping[6:] == 30).all()
    gears = [100 if "shoulder" in name or "elbow" in name else 350 for name in GEARS]
    assert maze_model.actuator_gear[:, 0].tolist() == gears
    assert np.array_equal(maze_model.jnt_range, model.jnt_range) and np.array_equal(maze_model.qpos0, model.qpos0)


def contacts(model, data):
    """Pairs of names of the geoms that touch."""
    return {frozenset(model.geom(i).name for i in pair) for pair in data.contact.geom}


def test_every_part_touches_the_floor_and_no_other_part(model):
    import mujoco

    assert not model.geom_contype.any() and not model.geom_conaffinity.any()
    assert model.npair == 17 and np.all(model.pair_dim == 3)
    assert np.allclose(model.pair_friction, [1, 1, 0.1, 0.1, 0.1])
    data = mujoco.MjData(model)
    data.qpos[2] = -1.5  # all below the floor
    mujoco.mj_forward(model, data)
    assert contacts(model, data) == {frozenset(("floor", name)) for name in GEOMS}


def test_walls_stop_every_part_below_one_metre(maze_model):
    import mujoco

    data = mujoco.MjData(maze_model)
    walls = [i for i in range(maze_model.ngeom) if maze_model.geom(i).name.startswith("wall_")]
    assert maze_model.npair == 17 * (1 + len(walls) - 4)  # the four outer ones collide by type
    highest = [maze_model.geom(i).pos[2] + maze_model.geom(i).size[2] for i in walls]
    assert np.allclose(highest, 1.0)
    paired = {maze_model.geom(i).name for i in maze_model.pair_geom2[maze_model.pair_geom1 == walls[4]]}
    paired |= {maze_model.geom(i).name for i in maze_model.pair_geom1[maze_model.pair_geom2 == walls[4]]}
    assert paired == set(GEOMS)
    assert np.flatnonzero(maze_model.geom_contype).tolist() == walls[:4]
    assert {maze_model.geom(i).name for i in np.flatnonzero(maze_model.geom_conaffinity)} == set(GEOMS)
    low = {"pelvis", "right_thigh", "left_thigh", "right_shin", "left_shin", "right_foot", "left_foot", "lower_waist"}
    for place, touches in (((2, 2), False), ((2, 4), False), ((0, 2), True), ((4, 4), True)):
        data.qpos[:3] = *place, 1.2  # upright at the cells' centres; the last two are walls
        mujoco.mj_forward(maze_model, data)
        touching = {name for pair in contacts(maze_model, data) for name in pair if "wall_" in "".join(pair)}
        at_walls = [contact.friction for contact in data.contact if not set(walls).isdisjoint(contact.geom)]
        assert np.allclose(np.reshape(at_walls, (-1, 5)), [1, 1, 0.005, 0.0001, 0.0001])
        assert {name for name in touching if "wall_" not in name and "arm" not in name and "hand" not in name} == (
            low if touches else set()
        ), place


# -- the observation -----------------------------------------------------------------------------------------------


def reference_observation(model, qpos, qvel, torques, goal, paper):
    """The published layout from positions, rotations and Jacobians, in NumPy."""
    import mujoco

    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = qpos, qvel
    mujoco.mj_forward(model, data)
    links = []
    for name in LINKS:
        body = model.body(name).id
        linear, angular = np.zeros((3, model.nv)), np.zeros((3, model.nv))
        mujoco.mj_jacBodyCom(model, data, linear, angular, body)
        rotation = data.ximat[body].reshape(3, 3)
        inertia = rotation @ np.diag(model.body_inertia[body]) @ rotation.T
        links.append((model.body_mass[body], data.xipos[body], inertia, linear @ data.qvel, angular @ data.qvel))
    if paper:  # 1 kg at the goal
        links.append((1.0, goal, np.eye(3), np.zeros(3), np.zeros(3)))
    total = sum(link[0] for link in links)
    centre = sum(link[0] * link[1] for link in links) / total
    inertias, velocities = np.zeros((12, 10)), np.zeros((12, 6))
    for i, (mass, place, inertia, speed, spin) in enumerate(links):
        offset = place - centre
        about = inertia + mass * (offset @ offset * np.eye(3) - np.outer(offset, offset))
        inertias[i] = [*about.ravel(), mass]
        velocities[i] = [*(mass * speed / total), *spin]
    place = goal[:2] if paper else np.zeros(2)
    none = np.zeros(2)
    return np.concatenate([qpos, place, qvel, none, inertias.ravel(), velocities.ravel(), torques, none])


def random_states(key, num_states):
    """Positions, velocities and goals of robots in any pose, as float32."""
    keys = jr.split(key, 4)
    qpos = jnp.concatenate(
        [jr.uniform(keys[0], (num_states, 3), minval=-5, maxval=5), jr.normal(keys[1], (num_states, 21))], 1
    )
    quaternion = qpos[:, 3:7] / jnp.linalg.norm(qpos[:, 3:7], axis=1, keepdims=True)
    return (
        qpos.at[:, 3:7].set(quaternion),
        3.0 * jr.normal(keys[2], (num_states, 23)),
        5.0 * jr.normal(keys[3], (num_states, 3)),
    )


@pytest.mark.parametrize("paper", [False, True])
def test_the_observation_matches_mujoco_s_data(model, key, paper):
    from deepcrl import envs

    env, params = envs.make("humanoid", paper_observation=paper, engine="native", body="gymnasium")
    qpos, qvel, goals = random_states(jr.fold_in(key, 1), 32)

    def see(qpos, qvel, goal):
        inner = env.refresh_env(envs.MujocoState(env.simulator.init(qpos, qvel), goal), jnp.ones((), bool), params)
        return env.observe(inner, params)

    seen = jax.jit(jax.vmap(see))(qpos, qvel, goals)
    assert seen.observation.shape == (32, 268)
    assert np.array_equal(seen.achieved_goal, qpos[:, :3]) and np.array_equal(seen.desired_goal, goals)
    for i in range(32):
        state = [np.asarray(x[i], np.float64) for x in (qpos, qvel, goals)]
        expected = reference_observation(model, *state[:2], np.zeros(23), state[2], paper)
        assert np.allclose(seen.observation[i], expected, rtol=1e-4, atol=1e-4 * np.abs(expected[51:171]).max())
        assert np.allclose(seen.observation[i][171:], expected[171:], rtol=1e-4, atol=1e-4)
    # without the switch nothing tells the goal
    other = jax.jit(jax.vmap(see))(qpos, qvel, goals + 1.0).observation
    changed = np.any(np.asarray(other != seen.observation), axis=0)
    if paper:
        assert changed[24:26].all() and changed[161:170].all() and changed[51:].any()
    else:
        assert not changed.any()
        assert not np.any(np.asarray(seen.observation)[:, [24, 25, *range(161, 171), *range(237, 243), 266, 267]])


@pytest.fixture(scope="module")
def steps():
    """Three steps of 17 robots in the U maze, each driving a joint of its own; the third step ends the episode."""
    from deepcrl import envs

    env, params = envs.make("humanoid_u_maze", episode_length=3, engine="native", reward="dense")
    many = envs.VectorEnv(env, 17)
    obs, state = jax.jit(many.reset)(jr.key(0), params)
    step = jax.jit(lambda state, action, key: many.step(key, state, action, params))
    trace = [(obs, state)]
    for i in range(3):
        trace.append(step(trace[-1][1], 0.5 * jnp.eye(17), jr.key(1 + i)))
    return env, params, trace


def test_each_action_is_a_torque_on_its_joint(maze_model, steps):
    _, _, trace = steps
    torques = np.asarray(trace[1][0].observation[:, 243:])
    expected = np.zeros((17, 25))
    for i, name in enumerate(GEARS):
        expected[i, maze_model.joint(name).dofadr[0]] = 0.5 * 0.4 * maze_model.actuator(name).gear[0]
    assert np.allclose(torques, expected, rtol=1e-6)
    # and it speeds its joint up the way it points
    speeds = np.asarray(trace[1][0].observation[:, 26:49])
    for i, name in enumerate(GEARS):
        dof = maze_model.joint(name).dofadr[0]
        assert speeds[i, dof] > np.median(speeds[:, dof]) + 0.02, name


def test_observations_after_a_step_match_mujoco_s_data(maze_model, steps):
    _, _, trace = steps
    for obs, state, *_ in trace[1:3]:
        for i in range(0, 17, 4):
            physics = jax.tree.map(lambda x, i=i: np.asarray(x[i], np.float64), state.inner.physics)
            goal = np.asarray(obs.desired_goal[i], np.float64)
            torques = np.asarray(obs.observation[i, 243:266])
            expected = reference_observation(maze_model, physics.qpos, physics.qvel, torques, goal, False)
            assert np.allclose(obs.observation[i], expected, rtol=1e-4, atol=1e-3)


def test_one_control_step_is_mujoco_s(maze_model, steps):
    import mujoco

    env, _, trace = steps
    assert env.substeps == 5
    for i in range(17):
        data = mujoco.MjData(maze_model)
        data.qpos[:] = np.asarray(trace[0][1].inner.physics.qpos[i])
        data.ctrl[i] = 0.2
        mujoco.mj_step(maze_model, data, 5)
        assert np.allclose(trace[1][1].inner.physics.qpos[i], data.qpos, atol=1e-6)
        assert np.allclose(trace[1][1].inner.physics.qvel[i], data.qvel, rtol=1e-5, atol=1e-5)


def test_a_reset_leaves_nothing_of_the_episode_before(steps):
    _, _, trace = steps
    obs, state, _, terminated, truncated, info = trace[3]
    assert truncated.all() and not terminated.any()
    assert np.array_equal(obs.observation, trace[0][0].observation)
    assert not np.any(np.asarray(obs.observation[:, 243:]))
    assert np.asarray(info["final_observation"].observation[:, 243:]).any(axis=1).all()
    assert np.array_equal(state.time, np.zeros(17))


def test_the_dense_reward(steps):
    _, _, trace = steps
    _, _, reward, _, _, info = trace[2]
    assert np.allclose(reward, 5.0 - np.asarray(info["distance"]) - 0.1 * 0.2**2, atol=1e-5)
    final = info["final_observation"]
    distance = np.linalg.norm(np.asarray(final.achieved_goal - final.desired_goal), axis=1)
    assert np.allclose(info["distance"], distance, atol=1e-5)


# -- the task ------------------------------------------------------------------------------------------------------


def test_an_episode_ends_below_one_and_above_two_metres():
    from deepcrl import envs

    env, params = envs.make("humanoid", engine="native")
    for height, fell in ((0.99, True), (1.01, False), (1.99, False), (2.01, True)):
        physics = env.simulator.init(jnp.zeros(24).at[2].set(height), jnp.zeros(23))
        assert bool(env.fell(physics, params)) is fell


def test_success_is_within_half_a_metre_in_space():
    from deepcrl import envs

    env, params = envs.make("humanoid", engine="native")
    goal = jnp.array([1.0, 2.0, 1.25])
    for offset, success in (([0.3, 0.3, 0.2], True), ([0.3, 0.3, 0.3], False), ([0.0, 0.0, -0.6], False)):
        assert bool(env.success(goal + jnp.array(offset), goal, params)) is success


def episodes(env, params, key, num_episodes):
    return [
        np.asarray(x) for x in jax.jit(jax.vmap(lambda key: env.draw_episode(key, params)))(jr.split(key, num_episodes))
    ]


def test_starts_are_upright_and_goals_uniform_in_distance_and_angle(key):
    """4,000 episodes. Would catch goals uniform in the disc and a start that wobbles."""
    from deepcrl import envs

    env, params = envs.make("humanoid", engine="native")
    qpos, qvel, goals = episodes(env, params, jr.fold_in(key, 2), 4000)
    assert np.allclose(np.unique(qpos, axis=0), [np.eye(24)[3] + 1.4 * np.eye(24)[2]])
    assert not qvel.any()
    assert np.all(goals[:, 2] == 1.25)
    distance = np.linalg.norm(goals[:, :2], axis=1)
    angle = np.arctan2(goals[:, 1], goals[:, 0])
    assert stats.kstest(distance, stats.uniform(1, 4).cdf).pvalue > P_VALUE
    assert stats.kstest(angle, stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > P_VALUE
    assert stats.kstest(np.sqrt(distance), stats.uniform(1, np.sqrt(5) - 1).cdf).pvalue < P_VALUE  # a wrong law


def test_noise_at_the_start_is_a_parameter(key):
    """2,000 episodes."""
    from deepcrl import envs

    env, params = envs.make("humanoid", engine="native")
    params = dataclasses.replace(params, pose_noise=jnp.float32(0.1), velocity_noise=jnp.float32(0.2))
    qpos, qvel, _ = episodes(env, params, jr.fold_in(key, 3), 2000)
    assert stats.kstest(qpos[:, 10], stats.uniform(-0.1, 0.2).cdf).pvalue > P_VALUE
    assert stats.kstest(qvel[:, 10], stats.norm(0, 0.2).cdf).pvalue > P_VALUE


@pytest.mark.parametrize("name, num_goals", [("u_maze", 6), ("big_maze_eval", 10)])
def test_mazes_draw_every_goal_cell_evenly(key, name, num_goals):
    """3,000 episodes."""
    from deepcrl import envs

    env, params = envs.make(f"humanoid_{name}", engine="native")
    qpos, _, goals = episodes(env, params, jr.fold_in(key, 4), 3000)
    assert np.allclose(qpos[:, :3], [2.0, 2.0, 1.4])
    cells, counts = np.unique(goals, axis=0, return_counts=True)
    assert len(cells) == num_goals and np.all(cells[:, 2] == 1.25) and np.all(cells[:, :2] % 2 == 0)
    assert stats.chisquare(counts).pvalue > P_VALUE


def test_names_and_options():
    from deepcrl import envs

    open_field, mazes = envs.make("humanoid")[0], ("u_maze", "u_maze_eval", "big_maze", "big_maze_eval", "hardest_maze")
    assert isinstance(open_field.robot, envs.Humanoid) and (open_field.robot.control_step, open_field.substeps) == (
        0.03,
        10,
    )
    assert envs.make("humanoid", control_step=0.015)[0].substeps == 5
    for name in mazes:
        env = envs.make(f"humanoid_{name}")[0]
        assert (env.robot.control_step, env.substeps, env.arena.cell_size, env.episode_length) == (0.015, 5, 2.0, 1000)
        assert envs.make(f"humanoid_{name}", control_step=0.03, paper_observation=True)[0].robot.paper_observation
    own = envs.make("humanoid_maze", maze="11111/1R0G1/11111", control_step=0.03)[0]
    assert own.arena.maze.shape == (3, 5) and own.substeps == 10
    for wrong in (0.0, -0.015, 0.016, 0.001):
        with pytest.raises(ValueError, match=f"multiple of 0.003 s, got {wrong}"):
            envs.make("humanoid", control_step=wrong)


def test_random_actions_keep_the_contract():
    from deepcrl import envs

    env, params = envs.make("humanoid_u_maze", episode_length=40, engine="native")
    report = envs.check(env, params)
    assert report.distinct_goals > 1 and report.mean_episode_length > 5


# -- parity --------------------------------------------------------------------------------------------------------


def tumbling_states(model, num_states):
    """Positions, velocities, warm starts and controls along rollouts in C: falls, falls against walls, at up to 3 m/s."""
    import mujoco

    rng = np.random.default_rng(0)
    data, states = mujoco.MjData(model), []
    while len(states) < num_states:
        mujoco.mj_resetData(model, data)
        data.qpos[:3] = 2.0, 2.0, rng.uniform(1.0, 1.5)
        data.qpos[3:] += rng.normal(size=21) * np.repeat([0.3, 0.2], [4, 17])
        data.qvel[:] = rng.normal(size=23) * 0.5
        data.qvel[:2] += rng.normal(size=2) * 3.0 * rng.integers(2)
        for t in range(200):
            if t % 5 == 0:
                data.ctrl[:] = rng.uniform(-0.4, 0.4, 17)
            if t % 12 == 7:
                states.append([x.copy() for x in (data.qpos, data.qvel, data.qacc_warmstart, data.ctrl)])
            mujoco.mj_step(model, data)
    return [np.array(x, np.float32) for x in zip(*states[:num_states], strict=True)]


@pytest.fixture(scope="module")
def simulate(maze_model):
    """One simulation step of 64 robots, by engine: `step(qpos, qvel, warmstart, ctrl)` gives a `PhysicsState`."""
    from deepcrl import envs
    from deepcrl.envs._physics import make_engine

    derived = envs.make("humanoid_u_maze")[0].derived

    def stepper(name):
        engine = make_engine(maze_model, name, substeps=1, derived=derived)

        def step(qpos, qvel, warmstart, ctrl):
            return engine.step(dataclasses.replace(engine.init(qpos, qvel), warmstart=warmstart), ctrl)

        return jax.jit(jax.vmap(step), compiler_options=mjx_options() if name == "mjx" else None)

    return {name: stepper(name) for name in ("native", "mjx")}


def num_contacts(model, qpos):
    import mujoco

    data, counts = mujoco.MjData(model), []
    for q in np.asarray(qpos):
        data.qpos[:] = q
        mujoco.mj_fwdPosition(model, data)
        counts.append(data.ncon)
    return np.array(counts)


@pytest.mark.slow
def test_mjx_steps_as_mujoco_does(maze_model, simulate):
    """256 states, every other one in touch with floor or walls. MJX turns the pyramids of friction of steep capsules
    otherwise, and finds other contacts of capsules with edges of boxes: one state in twenty may differ by more than
    2e-3."""
    states = tumbling_states(maze_model, 256)
    touching = num_contacts(maze_model, states[0]) > 0
    assert 0.3 < touching.mean() < 0.7
    speeds, torques, links = [], [], []
    for i in range(0, 256, 64):
        native, mjx = (simulate[name](*(jnp.asarray(x[i : i + 64]) for x in states)) for name in ("native", "mjx"))
        assert not native.failed.any() and not mjx.failed.any()
        speeds.append(np.abs(np.asarray(native.qvel - mjx.qvel)).max(axis=1))
        torques.append(np.abs(np.asarray(native.derived["qfrc_actuator"] - mjx.derived["qfrc_actuator"])).max())
        links.append(np.abs(np.asarray(native.derived["cinert"] - mjx.derived["cinert"])).max(axis=(1, 2)))
    speeds, links = np.concatenate(speeds), np.concatenate(links)
    assert speeds[~touching].max() < 1e-3
    assert np.median(speeds) < 5e-5 and np.quantile(speeds, 0.95) < 2e-3  # m/s, rad/s
    assert np.quantile(links, 0.95) < 1e-3  # kg m², kg m, kg
    assert max(torques) < 1e-5  # N m


@pytest.mark.slow
def test_rollouts_agree_in_distribution(maze_model, simulate):
    """50 control steps of 64 robots from the same starts by the same actions."""
    rng = np.random.default_rng(1)
    qpos = np.zeros((64, 24), np.float32)
    qpos[:, :4] = 2.0, 2.0, 1.4, 1.0
    actions = rng.uniform(-0.4, 0.4, (50, 64, 17)).astype(np.float32)
    seen = {}
    for name, step in simulate.items():
        state = (jnp.asarray(qpos), jnp.zeros((64, 23)), jnp.zeros((64, 23)))
        trace = []
        for ctrl in actions:
            for _ in range(5):
                physics = step(*state, jnp.asarray(ctrl))
                assert not physics.failed.any()
                state = (physics.qpos, physics.qvel, physics.warmstart)
            height, speed = np.asarray(physics.qpos[:, 2]), np.linalg.norm(np.asarray(physics.qvel), axis=1)
            trace.append([height, speed, num_contacts(maze_model, physics.qpos)])
        seen[name] = np.array(trace)  # time, quantity, robot
    native, mjx = seen["native"], seen["mjx"]
    # as long as they have not touched the ground, robot for robot
    assert np.allclose(native[:5, :2], mjx[:5, :2], atol=1e-3)
    # height to 2 cm, speed and contacts to 10 %, on average over robots and the last 25 steps; and in distribution
    expected, found = (np.mean(x[25:], axis=(0, 2)) for x in (native, mjx))
    assert found[0] == pytest.approx(expected[0], abs=0.02)
    assert found[1:] == pytest.approx(expected[1:], rel=0.1)
    for quantity in range(3):
        assert stats.ks_2samp(native[-1, quantity], mjx[-1, quantity]).pvalue > P_VALUE
