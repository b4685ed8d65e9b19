"""Reacher, pusher and half-cheetah, held to the published tables and to MuJoCo itself."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from robots import data_of, make, mjx_options, model_of, stepper
from scipy import stats


NAMES = ("reacher", "pusher_easy", "pusher_hard", "cheetah")


def draws(name, n=2000):
    """Starts and goals of many episodes: positions, velocities, goals."""
    env, params = make(name)
    inner = jax.jit(jax.vmap(env.reset_env, in_axes=(0, None)))(jr.split(jr.key(11), n), params)
    return (np.asarray(x, float) for x in (inner.physics.qpos, inner.physics.qvel, inner.goal))


def assert_uniform(values, centre, reach):
    """Kolmogorov-Smirnov at 1e-6."""
    assert stats.kstest(values, stats.uniform(centre - reach, 2 * reach).cdf).pvalue > 1e-6


# -- models ----------------------------------------------------------------------------------------------------------


def test_reacher_model():
    model = model_of("reacher")
    assert (model.nq, model.nv, model.nu, model.npair) == (2, 2, 2, 0)
    for i in (0, 1):
        assert model.body(f"link{i}").mass == pytest.approx(0.0356, abs=5e-5)
        assert model.actuator(f"joint{i}").gear[0] == 25
        np.testing.assert_allclose(model.geom(f"link{i}").size[:2], [0.01, 0.05])
    np.testing.assert_allclose(model.body("link1").pos, [0.1, 0, 0])
    np.testing.assert_allclose(model.body("tip").pos, [0.11, 0, 0])
    assert (model.dof_armature == 1).all() and (model.dof_damping == 1).all()
    assert list(model.jnt_limited) == [0, 1]
    np.testing.assert_allclose(model.joint("joint1").range, [-3, 3])
    assert model.opt.timestep == 0.01 and make("reacher")[0].substeps == 4


def test_pusher_model():
    model = model_of("pusher_easy")
    assert (model.nq, model.nv, model.nu, model.npair) == (9, 9, 7, 6)
    ranges = {
        "shoulder_pan": (-2.285, 1.715),
        "shoulder_lift": (-0.524, 1.396),
        "upper_arm_roll": (-1.5, 1.7),
        "elbow_flex": (-2.321, 0),
        "forearm_roll": (-1.5, 1.5),
        "wrist_flex": (-1.094, 0),
        "wrist_roll": (-1.5, 1.5),
    }
    assert [model.joint(i).name for i in range(7)] == list(ranges)
    for name, limits in ranges.items():
        np.testing.assert_allclose(model.joint(name).range, limits)
        np.testing.assert_array_equal(model.actuator(name).ctrlrange, [-2, 2])
        assert model.actuator(name).gear[0] == 1
    np.testing.assert_allclose(model.dof_damping, [1, 1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.5, 0.5])
    np.testing.assert_allclose(model.dof_armature, 0.04)
    for body, offset in (("shoulder_pan", (0, -0.6, 0)), ("shoulder_lift", (0.1, 0, 0)), ("elbow", (0.4, 0, 0)),
                         ("wrist_flex", (0.321, 0, 0)), ("puck", (0.45, -0.05, -0.275)), ("tip", (0.1, 0, 0))):  # fmt: skip
        np.testing.assert_allclose(model.body(body).pos, offset)
    np.testing.assert_allclose(model.geom("puck").size[:2], [0.05, 0.05])
    assert model.geom("table").pos[2] == -0.325
    assert not model.opt.gravity.any() and model.opt.timestep == 0.01 and make("pusher_easy")[0].substeps == 5
    assert not model.geom_contype.any() and not model.geom_conaffinity.any()
    np.testing.assert_allclose(model.pair_friction[:, :3], np.tile([0.8, 0.8, 0.1], (6, 1)))


def test_cheetah_model():
    model = model_of("cheetah")
    assert (model.nq, model.nv, model.nu) == (9, 9, 6)
    table = {  # mass, offset, range, stiffness, damping, gear
        "bthigh": (1.474, (-0.5, 0, 0), (-0.52, 1.05), 240, 6, 120),
        "bshin": (1.516, (0.16, 0, -0.25), (-0.785, 0.785), 180, 4.5, 90),
        "bfoot": (1.046, (-0.28, 0, -0.14), (-0.4, 0.785), 120, 3, 60),
        "fthigh": (1.373, (0.5, 0, 0), (-1, 0.7), 180, 4.5, 120),
        "fshin": (1.147, (-0.14, 0, -0.24), (-1.2, 0.87), 120, 3, 60),
        "ffoot": (0.845, (0.13, 0, -0.18), (-0.5, 0.5), 60, 1.5, 30),
    }
    assert [model.actuator(i).name for i in range(6)] == list(table)
    assert [model.joint(i).name for i in range(3, 9)] == list(table)
    for name, (mass, offset, limits, stiffness, damping, gear) in table.items():
        joint = model.joint(name)
        assert model.body(name).mass == pytest.approx(mass, abs=1e-3)
        np.testing.assert_allclose(model.body(name).pos, offset)
        np.testing.assert_allclose(joint.range, limits)
        np.testing.assert_allclose([joint.stiffness[0], joint.damping[0], joint.armature[0]], [stiffness, damping, 0.1])
        np.testing.assert_allclose(model.jnt_solimp[joint.id, :3], [0, 0.8, 0.03])
        assert model.actuator(name).gear[0] == gear
    assert model.body("torso").mass == pytest.approx(5.97, abs=5e-3)
    assert model.body("torso").pos[2] == 0.7
    np.testing.assert_allclose(model.geom("torso").size[:2], [0.046, 0.5])
    np.testing.assert_allclose(model.geom("head").pos, [0.6, 0, 0.1])
    assert not model.dof_damping[:3].any() and not model.dof_armature[:3].any()
    touching = {model.geom(int(i)).name for i in model.pair_geom2}
    assert touching == {"head", "bthigh", "fthigh", "bfoot", "ffoot"}
    np.testing.assert_allclose(model.pair_friction, np.tile([0.4, 0.4, 0.1, 0.1, 0.1], (5, 1)))
    assert (model.opt.timestep, model.opt.iterations, make("cheetah")[0].substeps) == (0.01, 4, 5)


# -- observations ----------------------------------------------------------------------------------------------------


def expected_observation(name, data):
    """By MuJoCo's own routines."""
    import mujoco

    if name == "cheetah":
        return np.concatenate([data.qpos, data.qvel])
    if name == "reacher":
        velocity = np.zeros(6)
        mujoco.mj_objectVelocity(data.model, data, mujoco.mjtObj.mjOBJ_XBODY, data.model.body("tip").id, velocity, 0)
        return np.concatenate([np.cos(data.qpos), np.sin(data.qpos), data.body("tip").xpos, velocity[3:]])
    return np.concatenate([data.qpos[:7], data.body("tip").xpos, data.body("puck").xpos, data.qvel[:7]])


@pytest.mark.parametrize("name", ["reacher", "pusher_easy", "cheetah"])
def test_observations(name):
    """Of random states, and after steps of MuJoCo on its own at the same torques."""
    import mujoco

    env, params = make(name)
    model, rng = model_of(name), np.random.default_rng(0)
    torque = {"pusher_easy": 2.0}.get(name, 1.0)
    for seed in range(4):
        _, state = env.reset(jr.key(seed), params)
        qpos = state.inner.physics.qpos + 0.3 * rng.normal(size=model.nq).astype(np.float32)
        obs, state = env.set_state(state, params, qpos=qpos, qvel=rng.normal(size=model.nv))
        data = data_of(name, state.inner.physics)
        np.testing.assert_allclose(obs.observation, expected_observation(name, data), rtol=1e-4, atol=1e-5)
        action = rng.uniform(-1, 1, model.nu)
        obs, state, *_ = stepper(name)(jr.key(seed), state, jnp.asarray(action, jnp.float32), params)
        data.ctrl[:] = torque * action
        for _ in range(env.substeps):
            mujoco.mj_step(model, data)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_comVel(model, data)
        np.testing.assert_allclose(obs.observation, expected_observation(name, data), rtol=2e-3, atol=2e-3)
        entries = {"reacher": slice(4, 7), "pusher_easy": slice(10, 13), "cheetah": slice(0, 1)}[name]
        np.testing.assert_array_equal(obs.achieved_goal, obs.observation[entries])


# -- starts, goals, success ------------------------------------------------------------------------------------------


def test_reacher_starts_and_goals():
    qpos, qvel, goal = draws("reacher")
    for joint in (0, 1):
        assert_uniform(qpos[:, joint], 0, 0.1)
        assert_uniform(qvel[:, joint], 0, 0.005)
    assert_uniform(np.linalg.norm(goal[:, :2], axis=1), 0.1, 0.1)
    assert_uniform(np.arctan2(goal[:, 1], goal[:, 0]), 0, np.pi)
    np.testing.assert_allclose(goal[:, 2], 0.01)


@pytest.mark.parametrize(
    "name,goal_centre,goal_reach",
    [("pusher_easy", (0.05, -0.05), (0.15, 0.2)), ("pusher_hard", (0.3, -0.1), (0.5, 0.5))],
)
def test_pusher_starts_and_goals(name, goal_centre, goal_reach):
    qpos, qvel, goal = draws(name)
    puck = qpos[:, 7:] + [0.45, -0.05]
    distance = np.linalg.norm(puck - goal[:, :2], axis=1)
    assert distance.min() > 0.17 - 1e-5
    for axis in (0, 1):
        assert_uniform(goal[:, axis], goal_centre[axis], goal_reach[axis])
    moved = distance < 0.17 + 1e-5
    inside = np.abs(puck - [0.3, -0.05]) <= np.array([0.15, 0.2]) + 1e-6
    assert inside[~moved].all() and 0 < moved.mean() < 0.3
    np.testing.assert_allclose(goal[:, 2], -0.275, rtol=1e-6)
    assert not qpos[:, :7].any() and not qvel[:, 7:].any()
    assert_uniform(qvel[:, 0], 0, 0.005)


def test_cheetah_starts():
    qpos, qvel, goal = draws("cheetah")
    for i in range(9):
        assert_uniform(qpos[:, i], 0, 0.1)
        assert stats.kstest(qvel[:, i], stats.norm(0, 0.1).cdf).pvalue > 1e-6
    assert (goal == 5).all()


@pytest.mark.parametrize(
    "name,radius", [("reacher", 0.05), ("pusher_easy", 0.1), ("pusher_hard", 0.1), ("cheetah", 0.5)]
)
def test_success_radius(name, radius):
    env, params = make(name)
    goal = jnp.zeros(env.observation_space(params).achieved_goal.size)
    assert env.success(goal.at[0].set(0.99 * radius), goal, params)
    assert not env.success(goal.at[0].set(-1.01 * radius), goal, params)


# -- physics ---------------------------------------------------------------------------------------------------------


def test_fork_pushes_the_puck():
    """The fork, held level at the puck's height, turns against it."""
    env, params = make("pusher_easy")
    _, state = env.reset(jr.key(0), params)
    pan, lift = 0.6, 0.7
    radius = 0.1 + 0.4 * np.cos(lift) + 0.321 + 0.05  # from the shoulder to the middle of the prongs
    along, across = np.array([np.cos(pan), np.sin(pan)]), np.array([-np.sin(pan), np.cos(pan)])
    before = np.array([0.0, -0.6]) + radius * along + 0.2 * across  # 3 cm from the prong at 0.1
    qpos = jnp.array([pan, lift, 0, -lift, 0, 0, 0, *(before - [0.45, -0.05])])
    obs, state = env.set_state(state, params, qpos=qpos, qvel=jnp.zeros(9))
    np.testing.assert_allclose(obs.achieved_goal[:2], before, atol=1e-6)
    for i in range(15):
        obs, state, *_ = stepper("pusher_easy")(jr.key(i), state, jnp.zeros(7).at[0].set(1.0), params)
    assert (np.asarray(obs.achieved_goal[:2]) - before) @ across > 0.05
    np.testing.assert_allclose(obs.achieved_goal[2], -0.275)


def test_cheetah_stands_on_its_feet():
    env, params = make("cheetah")
    obs, state = env.reset(jr.key(0), params)
    for i in range(40):
        obs, state, *_ = stepper("cheetah")(jr.key(i), state, jnp.zeros(6), params)
    assert -0.25 < obs.observation[1] < 0.05  # its torso near its height at the start
    assert abs(obs.observation[10]) < 0.5  # and still


@pytest.mark.parametrize("name", NAMES)
def test_environment_checks(name):
    """The contract, and no NaN over some thousand random steps."""
    from deepcrl.envs import check

    env, params = make(name, episode_length=100)
    report = check(env, params)
    assert report.env_steps == 16 * 210 and report.distinct_starts == 16
    assert report.mean_episode_length == 100  # nothing failed


@pytest.mark.slow
@pytest.mark.parametrize("name", ["reacher", "pusher_easy", "cheetah"])
def test_mjx_steps_as_mujoco(name):
    """30 control steps at random actions, from the same state each: positions within 1e-3, velocities within 0.02; in the
    cheetah's contacts, whose solver stops after four iterations, within 0.01 and 0.5."""
    from deepcrl import envs

    env, params = make(name)
    other, _ = envs.make(name, engine="mjx")
    native = jax.jit(lambda state, ctrl: env.simulator.step(state, ctrl))
    mjx = jax.jit(lambda state, ctrl: other.simulator.step(state, ctrl), compiler_options=mjx_options())
    state = env.reset(jr.key(0), params)[1].inner.physics
    near, slow = (1e-2, 0.5) if name == "cheetah" else (1e-3, 0.02)
    for i in range(30):
        action = jr.uniform(jr.key(i), env.action_space(params).shape, minval=-1.0, maxval=1.0)
        ctrl = env.control(state, action, params)
        ours, state = mjx(state, ctrl), native(state, ctrl)
        np.testing.assert_allclose(ours.qpos, state.qpos, atol=near)
        np.testing.assert_allclose(ours.qvel, state.qvel, atol=slow)
