"""The Panda's tasks, held to the published tables and to MuJoCo itself."""

import functools as ft

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from robots import data_of, make, mjx_options, model_of, stepper
from scipy import stats


WHOLE_ARM = ("arm_push_easy", "arm_push_hard", "arm_binpick_easy", "arm_binpick_hard", "arm_grasp", "arm_reach")
NAMES = (*WHOLE_ARM, "arm_binpick_easy_EEF")
# Of links 1 to 7: offset, mass, centre of mass, inertia (xx, yy, zz, xy, xz, yz).
BODIES = (
    ((0, 0, 0.333), 4.970684, (0.003875, 0.002081, -0.04762), (0.70337, 0.70661, 0.0091170, -139e-6, 6772e-6, 0.019169)),
    ((0, 0, 0), 0.646926, (-0.003141, -0.02872, 0.003495), (7962e-6, 0.028110, 0.025995, -3925e-6, 0.010254, 704e-6)),
    ((0, -0.316, 0), 3.228604, (0.027518, 0.039252, -0.066502),
     (0.037242, 0.036155, 0.01083, -0.004761, -0.011396, -0.012805)),
    ((0.0825, 0, 0), 3.587895, (-0.05317, 0.104419, 0.027454),
     (0.025853, 0.019552, 0.028323, 0.007796, -0.001332, 0.008641)),
    ((-0.0825, 0.384, 0), 1.225946, (-0.011953, 0.041065, -0.038437),
     (0.035549, 0.029474, 0.008627, -0.002117, -0.004037, 0.000229)),
    ((0, 0, 0), 1.666555, (0.060149, -0.014117, -0.010517), (1964e-6, 4354e-6, 5433e-6, 109e-6, -1158e-6, 341e-6)),
    ((0.088, 0, 0), 0.735522, (0.010517, -0.004252, 0.061597), (0.012516, 0.010027, 4815e-6, -428e-6, -1196e-6, -741e-6)),
)  # fmt: skip
# Of joints 1 to 7: range, gain, bias, force limit.
SERVOS = (
    ((-2.8973, 2.8973), 4500, (-4500, -450), 87),
    ((-1.7628, 1.7628), 4500, (-4500, -450), 87),
    ((-2.8973, 2.8973), 2000, (-3500, -350), 87),
    ((-3.0718, -0.0698), 2000, (-3500, -350), 87),
    ((-2.8973, 2.8973), 1000, (-2000, -200), 12),
    ((-0.0175, 3.7525), 1000, (-2000, -200), 12),
    ((-2.8973, 2.8973), 1000, (-2000, -200), 12),
)
BASE_PAIRS = 8  # cube: table, hand, two fingers; table: hand, two fingers; finger with finger


def rotation(quat):
    import mujoco

    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, np.asarray(quat, float))
    return matrix.reshape(3, 3)


# -- models ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WHOLE_ARM)
def test_arm_is_the_table_s(name):
    model = model_of(name)
    for i in range(1, 8):
        (offset, mass, com, inertia), (joint_range, gain, bias, force) = BODIES[i - 1], SERVOS[i - 1]
        body, joint, servo = model.body(f"link{i}"), model.joint(f"joint{i}"), model.actuator(f"joint{i}")
        np.testing.assert_allclose(body.pos, offset)
        assert body.mass == pytest.approx(mass)
        np.testing.assert_allclose(body.ipos, com)
        xx, yy, zz, xy, xz, yz = inertia
        turn = rotation(body.iquat)
        np.testing.assert_allclose(
            turn @ np.diag(body.inertia) @ turn.T, [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]], atol=1e-6
        )
        np.testing.assert_allclose(joint.range, joint_range)
        np.testing.assert_array_equal(joint.axis, [0, 0, 1])
        assert (model.dof_armature[joint.dofadr], model.dof_damping[joint.dofadr]) == (0.1, 5)
        assert servo.gainprm[0] == gain
        np.testing.assert_array_equal(servo.biasprm[:3], [0, *bias])
        np.testing.assert_array_equal(model.jnt_actfrcrange[joint.id], [-force, force])
        np.testing.assert_allclose(servo.ctrlrange, joint_range)
    assert model.body("hand").mass == pytest.approx(0.871, abs=5e-4)
    np.testing.assert_allclose(model.body("hand").pos, [0, 0, 0.107])
    np.testing.assert_allclose(model.body("hand").quat, [0.92388, 0, 0, -0.38268], atol=1e-5)
    assert model.opt.impratio == (10 if "bin" in name else 1)


@pytest.mark.parametrize("name", NAMES)
def test_sizes_pairs_and_options(name):
    import mujoco

    model = model_of(name)
    sizes = {"arm_reach": (7, 7, 7), "arm_binpick_easy_EEF": (12, 11, 5)}.get(name, (16, 15, 9))
    assert (model.nq, model.nv, model.nu) == sizes
    walls = 32 if "bin" in name else 0  # cube, hand and two fingers with eight walls
    expected = 1 if name == "arm_reach" else BASE_PAIRS + walls + (4 if name.endswith("EEF") else 0)
    assert model.npair == expected
    assert not model.geom_contype.any() and not model.geom_conaffinity.any()
    np.testing.assert_allclose(model.pair_friction, np.tile([1, 1, 0.005, 1e-4, 1e-4], (expected, 1)))
    assert (model.pair_dim == 3).all() and not model.pair_margin.any()
    opt = model.opt
    assert (opt.timestep, opt.iterations, opt.ls_iterations) == (0.002, 6, 12)
    assert opt.integrator == mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    assert (opt.solver, opt.cone) == (mujoco.mjtSolver.mjSOL_NEWTON, mujoco.mjtCone.mjCONE_PYRAMIDAL)
    assert make(name)[0].substeps == 25
    assert model.body("goal").mass == 0 and model.body("goal").mocapid[0] == 0


@pytest.mark.parametrize("name", [name for name in NAMES if name != "arm_reach"])
def test_gripper_and_cube(name):
    model = model_of(name)
    hand = name.endswith("EEF")
    for i, side in ((1, "left"), (2, "right")):
        finger, joint, servo = model.body(f"{side}_finger"), model.joint(f"finger_{i}"), model.actuator(f"finger_{i}")
        assert finger.mass == pytest.approx(0.015)
        np.testing.assert_allclose(finger.inertia, [2.375e-6, 2.375e-6, 7.5e-7])
        np.testing.assert_allclose(finger.pos, [0, 0, 0.0584])
        np.testing.assert_allclose(joint.range, [0, 0.05 if hand else 0.08])
        assert (model.dof_armature[joint.dofadr], model.dof_damping[joint.dofadr]) == (0.1, 5)
        assert servo.gainprm[0] == pytest.approx(0.09804 if hand else 0.15686)
        np.testing.assert_array_equal(servo.biasprm[:3], [0, -500, -50])
        np.testing.assert_array_equal(servo.ctrlrange, [0, 255])
        np.testing.assert_array_equal(model.jnt_actfrcrange[joint.id], [-500, 500])
        np.testing.assert_allclose(model.geom(f"{side}_finger").size, [0.015, 0.005, 0.04])
        np.testing.assert_allclose(model.geom(f"{side}_finger").pos, [0, 0.0055, 0.035])
    np.testing.assert_allclose(model.geom("hand").size[:2], [0.04, 0.06])
    np.testing.assert_allclose(np.abs(rotation(model.geom("hand").quat) @ [0, 0, 1]), [0, 1, 0], atol=1e-9)
    assert model.body("cube").mass == pytest.approx(0.216)
    np.testing.assert_allclose(model.body("cube").inertia, np.full(3, 1.296e-4))
    np.testing.assert_allclose(model.geom("cube").size, np.full(3, 0.03))
    assert model.neq == 1
    np.testing.assert_allclose(model.eq_solref[0], [0.005, 1])
    np.testing.assert_allclose(model.eq_solimp[0, :3], [0.95, 0.99, 0.001])


@pytest.mark.parametrize("name,x,half", [("arm_binpick_easy", 0.17, 0.14), ("arm_binpick_hard", 0.3, 0.19)])
def test_bins(name, x, half):
    model = model_of(name)
    for side, sign in (("left", -1), ("right", 1)):
        for wall, dx, dy in (("near", 0, -1), ("far", 0, 1), ("low", -1, 0), ("high", 1, 0)):
            geom = model.geom(f"bin_{side}_{wall}")
            np.testing.assert_allclose(geom.pos, [sign * x + dx * half, 0.6 + dy * half, 0.033])
            size = [half + 0.005, 0.005, 0.033] if dy else [0.005, half - 0.005, 0.033]
            np.testing.assert_allclose(geom.size, size)


def test_hand_on_slides():
    model = model_of("arm_binpick_easy_EEF")
    for name, joint_range in (("x", [-0.4, 0.4]), ("y", [0.35, 0.85]), ("z", [0, 0.3])):
        joint, servo = model.joint(name), model.actuator(name)
        np.testing.assert_allclose(joint.range, joint_range)
        assert model.dof_damping[joint.dofadr] == 0
        assert servo.gainprm[0] == 1000
        np.testing.assert_array_equal(servo.biasprm[:3], [0, -1000, -100])
        np.testing.assert_array_equal(model.jnt_actfrcrange[joint.id], [-87, 87])
    assert model.body_gravcomp[model.body("hand").id] == 1
    for name, place in (("left", (-0.4, 0.6)), ("right", (0.4, 0.6)), ("near", (0, 0.35)), ("far", (0, 0.85))):
        np.testing.assert_allclose(model.geom(f"fence_{name}").pos, [*place, 0.15])


def test_rows_of_bodies_are_those_that_observations_take():
    from deepcrl.envs._tasks import _arm

    for name in WHOLE_ARM:
        assert model_of(name).body("link0").id == _arm._LINK0
        assert model_of(name).body("link7").id == _arm._LINK7
    assert model_of("arm_grasp").body("left_tip").id == _arm._LEFT_TIP
    assert model_of("arm_grasp").body("right_tip").id == _arm._RIGHT_TIP


# -- observations ----------------------------------------------------------------------------------------------------


def expected_observation(name, data):
    """By MuJoCo's own routines: frames by `xpos`, velocities by `mj_objectVelocity`."""
    import mujoco

    def frame(body):
        return data.body(body).xpos

    def velocity(body):
        both = np.zeros(6)
        kind = mujoco.mjtObj.mjOBJ_XBODY
        mujoco.mj_objectVelocity(data.model, data, kind, data.model.body(body).id, both, 0)
        return both[3:]

    def gap(a, b):
        return [np.linalg.norm(frame(a) - frame(b))]

    if name.endswith("EEF"):
        force = [0.1 * data.qfrc_actuator[3:5].mean()]
        return np.concatenate(
            [frame("cube"), frame("hand"), velocity("hand"), gap("left_finger", "right_finger"), force]
        )
    joints = [data.joint(f"joint{i}").qpos[0] for i in range(1, 8)]
    arm = np.concatenate([joints, frame("link7"), velocity("link7")])
    if name == "arm_reach":
        return arm
    if name == "arm_grasp":
        tips = (frame("left_tip"), frame("right_tip"), gap("left_tip", "right_tip"))
        return np.concatenate([frame("cube"), arm, *tips])
    return np.concatenate([frame("cube"), arm, gap("left_finger", "right_finger")])


def random_state(name, seed):
    """A state in which everything moves, through `set_state`."""
    env, params = make(name)
    _, state = env.reset(jr.key(seed), params)
    rng, model = np.random.default_rng(seed), model_of(name)
    qpos, qvel = np.array(state.inner.physics.qpos), rng.normal(size=model.nv).astype(np.float32)
    joints = model.njnt - ("cube" in [model.joint(i).name for i in range(model.njnt)])
    low, high = model.jnt_range[:joints].T
    qpos[:joints] = rng.uniform(low, high)
    return env.set_state(state, params, qpos=qpos, qvel=qvel)


@pytest.mark.parametrize("name", ["arm_push_easy", "arm_reach", "arm_grasp", "arm_binpick_easy_EEF"])
def test_observation_of_random_states(name):
    for seed in range(5):
        obs, state = random_state(name, seed)
        want = expected_observation(name, data_of(name, state.inner.physics))
        if name.endswith("EEF"):
            want[-1] = 0.0  # no servo has acted yet
        np.testing.assert_allclose(obs.observation, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["arm_push_easy", "arm_reach", "arm_grasp", "arm_binpick_easy_EEF"])
def test_observation_after_a_step(name):
    """Against MuJoCo stepped on its own, 25 substeps at the same controls."""
    import mujoco

    env, params = make(name)
    _, state = env.reset(jr.key(5), params)
    data = data_of(name, state.inner.physics)
    action = jr.uniform(jr.key(6), env.action_space(params).shape, minval=-1.0, maxval=1.0)
    for i in range(3):
        data.ctrl[:] = env.control(state.inner.physics, action, params)
        obs, state, *_ = stepper(name)(jr.key(i), state, action, params)
        for _ in range(25):
            mujoco.mj_step(data.model, data)
    force = data.qfrc_actuator.copy()
    mujoco.mj_kinematics(data.model, data)
    mujoco.mj_comPos(data.model, data)
    mujoco.mj_fwdVelocity(data.model, data)
    np.testing.assert_array_equal(data.qfrc_actuator, force)
    np.testing.assert_allclose(obs.observation, expected_observation(name, data), rtol=1e-3, atol=1e-3)
    if name.endswith("EEF"):
        assert obs.observation[-1] != 0


def test_achieved_goals_are_the_published_entries():
    for name, entries in (("arm_push_easy", slice(0, 3)), ("arm_reach", slice(7, 10)), ("arm_grasp", slice(16, 23))):
        obs, _ = random_state(name, 1)
        np.testing.assert_array_equal(obs.achieved_goal, obs.observation[entries])
    obs, _ = random_state("arm_binpick_easy_EEF", 1)
    np.testing.assert_array_equal(obs.achieved_goal, obs.observation[:3])


def test_the_goal_of_grasping_follows_the_cube():
    env, params = make("arm_grasp")
    _, state = env.reset(jr.key(0), params)
    qpos = state.inner.physics.qpos.at[9:12].set(jnp.array([0.2, 0.5, 0.1]))
    obs, state = env.set_state(state, params, qpos=qpos)
    for _ in range(3):
        obs, state, *_ = stepper("arm_grasp")(jr.key(0), state, jnp.zeros(5), params)
        cube = np.asarray(obs.observation[:3])
        offset = np.array([0.0375, 0, 0])
        want = np.concatenate([cube + offset, cube - offset, [0.075]])
        np.testing.assert_allclose(obs.desired_goal, want, atol=1e-6)
    assert abs(float(obs.observation[2]) - 0.1) > 0.01  # the cube fell meanwhile


# -- control ---------------------------------------------------------------------------------------------------------


def test_joint_targets():
    env, params = make("arm_push_easy")
    physics = env.reset_env(jr.key(0), params).physics
    low = env.control(physics, jnp.array([-1.0, -1.0, -1.0, -1.0, -1.0]), params)
    np.testing.assert_allclose(low, [0.3491, 0, 0, -3.0718, 0, 2.3562, 1.4487, 255, 255], rtol=1e-6)
    high = env.control(physics, jnp.array([1.0, 1.0, 1.0, 1.0, 1.0]), params)
    np.testing.assert_allclose(high, [2.7925, 1.48353, 0, -0.0698, 0, 3.7525, 1.4487, 0, 0], rtol=1e-5)
    middle = env.control(physics, jnp.zeros(5), params)
    np.testing.assert_allclose(middle[jnp.array([0, 1, 3, 5])], 0.5 * (low + high)[jnp.array([0, 1, 3, 5])], rtol=1e-5)
    assert (middle[7:] == 255).all()  # zero opens
    reach, reach_params = make("arm_reach")
    np.testing.assert_array_equal(reach.control(physics, jnp.ones(4), reach_params), high[:7])


def test_steady_state_without_gravity():
    """Joints 3 and 4 settle at 4/7 of their targets, 5 to 7 at a half, the others at them."""
    import mujoco

    model = make("arm_reach")[0].build_model()
    model.opt.gravity[:] = 0
    data = mujoco.MjData(model)
    targets = np.array([1.0, 0.4, 0.3, -2.0, 0.4, 2.8, 1.4487])
    data.ctrl[:] = targets
    for _ in range(4000):
        mujoco.mj_step(model, data)
    np.testing.assert_allclose(data.qpos / targets, [1, 1, 4 / 7, 4 / 7, 0.5, 0.5, 0.5], rtol=2e-3)


def test_fingers_open_and_close():
    env, params = make("arm_push_easy")
    _, state = env.reset(jr.key(0), params)
    gaps = []
    for grip in (-1.0, 1.0):
        for i in range(25):
            obs, state, *_ = stepper("arm_push_easy")(jr.key(i), state, jnp.array([0.0, 0, 0, 0, grip]), params)
        gaps.append(float(obs.observation[16]))
    np.testing.assert_allclose(gaps, [0.16, 0.0], atol=2e-3)


def test_hand_goes_where_it_is_sent():
    env, params = make("arm_binpick_easy_EEF")
    obs, state = env.reset(jr.key(0), params)
    np.testing.assert_allclose(obs.observation[3:6], [0, 0.6, 0.2], atol=1e-6)
    np.testing.assert_allclose(
        env.control(state.inner.physics, jnp.array([1.0, -1.0, 0.5, 1.0]), params), [0.2, 0.4, 0.3, 0, 0], rtol=1e-5
    )
    for _ in range(10):
        obs, state, *_ = stepper("arm_binpick_easy_EEF")(jr.key(0), state, jnp.array([0.5, -0.3, 0.1, 1.0]), params)
    moved = np.asarray(obs.observation[3:6]) - [0, 0.6, 0.2]
    assert moved[0] > 0.1 and moved[1] < -0.05 and moved[2] > 0.01


# -- starts and goals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name,start,start_reach,goal,goal_reach",
    [
        ("arm_push_easy", (-0.1, 0.6), 0.1, (0.1, 0.6, 0.03), (0.1, 0.1, 0)),
        ("arm_push_hard", (-0.25, 0.65), 0.25, (0.25, 0.65, 0.03), (0.25, 0.25, 0)),
        ("arm_binpick_easy", (-0.15, 0.6), 0.09, (0.17, 0.6, 0.03), (0.09, 0.09, 0)),
        ("arm_binpick_hard", (-0.3, 0.6), 0.15, (0.3, 0.6, 0.03), (0.15, 0.15, 0)),
        ("arm_binpick_easy_EEF", (-0.15, 0.6), 0.07, (0.17, 0.6, 0.03), (0.005, 0.005, 0)),
        ("arm_grasp", (0.0, 0.6), 0.3, None, None),
        ("arm_grasp_0.5", (0.0, 0.6), 0.5, None, None),
        ("arm_reach", None, None, (0, 0.5, 0.3), (0.2, 0.2, 0.2)),
    ],
)
def test_starts_and_goals(name, start, start_reach, goal, goal_reach):
    """2,000 draws of each coordinate against the uniform distribution, Kolmogorov-Smirnov at 1e-6; nothing else moves."""
    env, params = make(name)
    inner = jax.jit(jax.vmap(env.reset_env, in_axes=(0, None)))(jr.split(jr.key(11), 2000), params)
    qpos, cube = np.asarray(inner.physics.qpos, float), (5 if name.endswith("EEF") else 9)

    def uniform(values, centre, reach):
        assert stats.kstest(values, stats.uniform(centre - reach, 2 * reach).cdf).pvalue > 1e-6

    if start is not None:
        for axis in (0, 1):
            uniform(qpos[:, cube + axis], start[axis], start_reach)
        np.testing.assert_allclose(qpos[:, cube + 2 :], np.tile([0.07, 1, 0, 0, 0], (2000, 1)), rtol=1e-6)
    if goal is not None:
        goals = np.asarray(inner.goal, float)
        for axis in range(3):
            if goal_reach[axis]:
                uniform(goals[:, axis], goal[axis], goal_reach[axis])
            else:
                np.testing.assert_allclose(goals[:, axis], goal[axis], rtol=1e-6)
        if start is not None:
            assert abs(np.corrcoef(goals[:, 0], qpos[:, cube])[0, 1]) < 0.11  # five standard errors
    rest = [0, 0.6, 0.2, 0.04, 0.04] if name.endswith("EEF") else [1.571, 0.742, 0, -1.571, 0, 3.054, 1.449, 0.04, 0.04]
    np.testing.assert_allclose(qpos[:, :cube], np.tile(rest, (2000, 1))[:, : qpos.shape[1]], rtol=1e-6)
    assert not inner.physics.qvel.any()


@pytest.mark.parametrize(
    "name", ["arm_push_easy", "arm_grasp", "arm_reach", "arm_binpick_hard", "arm_binpick_easy_EEF"]
)
def test_success_radius(name):
    env, params = make(name)
    size = env.observation_space(params).achieved_goal.size
    goal = jnp.zeros(size)
    if name == "arm_grasp":
        opposite = jnp.array([0.3, 0, 0, -0.3, 0, 0, 0.01])  # tips far off on both sides: their middle is right
        assert env.success(goal + opposite, goal, params)
        for shift, ok in ((0.049, True), (0.051, False)):
            assert env.success(goal.at[jnp.array([1, 4])].set(shift), goal, params) == ok
        for openness, ok in ((0.019, True), (-0.021, False)):
            assert env.success(goal.at[6].set(openness), goal, params) == ok
        return
    for shift, ok in ((0.099, True), (0.101, False)):
        assert env.success(goal.at[2].set(shift), goal, params) == ok
    np.testing.assert_allclose(env.distance(jnp.array([0.3, 0.4, 0.0]), goal, params), 0.5, rtol=1e-6)


def test_rewards():
    for reward in ("sparse", "dense"):
        env, params = make("arm_push_easy", reward=reward)
        _, state = env.reset(jr.key(0), params)
        _, _, value, terminated, _, info = jax.jit(env.step)(jr.key(0), state, jnp.zeros(5), params)
        want = -info["distance"] if reward == "dense" else info["success"].astype(jnp.float32)
        np.testing.assert_allclose(value, want, rtol=1e-6)
        assert not terminated


# -- physics ---------------------------------------------------------------------------------------------------------


def pushing_plan():
    """Actions that bring the closed fingers down left of a cube at (-0.1, 0.6) and sweep them to the right."""
    low = [0.15, -0.65, 1.0, 1.0]
    turns = np.linspace(0.68, -0.2, 28)
    plan = [[0.68, -0.5, *low[1:]]] * 15 + [[0.68, *low]] * 15 + [[turn, *low] for turn in turns]
    return jnp.asarray(plan, jnp.float32)


@ft.cache
def before_the_push():
    env, params = make("arm_push_easy")
    _, state = env.reset(jr.key(0), params)
    qpos = state.inner.physics.qpos.at[9:16].set(jnp.array([-0.1, 0.6, 0.03, 1, 0, 0, 0]))
    return env.set_state(state, params, qpos=qpos, goal=jnp.array([0.15, 0.6, 0.03]))


def test_pushing_moves_the_cube_to_its_goal():
    env, params = make("arm_push_easy")

    def step(state, action):
        obs, state, reward, *_ = env.step(jr.key(0), state, action, params)
        return state, (obs.achieved_goal, reward)

    _, (cube, reward) = jax.lax.scan(step, before_the_push()[1], pushing_plan())
    np.testing.assert_allclose(cube[30], [-0.1, 0.6, 0.03], atol=1e-3)  # untouched so far
    assert cube[-1, 0] > 0.05 and abs(cube[-1, 1] - 0.6) < 0.1 and cube[-1, 2] < 0.05
    assert not reward[:30].any() and reward.max() == 1


def test_walls_of_a_bin_stop_the_cube():
    env, params = make("arm_binpick_easy")
    _, state = env.reset(jr.key(0), params)
    qpos = state.inner.physics.qpos.at[9:12].set(jnp.array([-0.17, 0.6, 0.03]))
    qvel = jnp.zeros(15).at[9].set(1.5)  # towards the other bin
    obs, state = env.set_state(state, params, qpos=qpos, qvel=qvel)
    for i in range(10):
        obs, state, *_ = stepper("arm_binpick_easy")(jr.key(i), state, jnp.array([1.0, -1, 0, 0, 0]), params)
    assert -0.15 < obs.achieved_goal[0] < -0.17 + 0.135 - 0.03 + 2e-3


SAME_CLASS = ("arm_push_hard", "arm_binpick_easy")  # as others here, at other places


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in SAME_CLASS else ()) for n in NAMES])
def test_environment_checks(name):
    """The contract, and no NaN over some thousand random steps."""
    from deepcrl.envs import check

    env, params = make(name, episode_length=100)
    report = check(env, params)
    assert report.env_steps == 16 * 210 and report.distinct_goals == 16
    assert report.mean_episode_length == 100  # nothing failed


@pytest.mark.slow
def test_mjx_steps_as_mujoco():
    """From every state of a push, one control step in MJX (float32) and in C.

    Until the fingers touch the cube: positions within 1e-3 (m, rad), velocities within 0.02 (m/s, rad/s). While they do,
    the two choose other points of contact between boxes: frames within 1 cm, coordinates (a quaternion's too) within 0.1.
    """
    from deepcrl import envs

    env, params = make("arm_push_easy")
    other, _ = envs.make("arm_push_easy", engine="mjx")
    native = jax.jit(lambda state, ctrl: env.simulator.step(state, ctrl))
    mjx = jax.jit(lambda state, ctrl: other.simulator.step(state, ctrl), compiler_options=mjx_options())
    state = before_the_push()[1].inner.physics
    for action in pushing_plan():
        ctrl = env.control(state, action, params)
        ours, state = mjx(state, ctrl), native(state, ctrl)
        free = abs(float(state.qpos[9]) + 0.1) < 1e-3 and float(jnp.linalg.norm(state.qvel[9:])) < 1e-2
        np.testing.assert_allclose(ours.qpos, state.qpos, atol=1e-3 if free else 0.1)
        np.testing.assert_allclose(ours.derived["xpos"], state.derived["xpos"], atol=1e-3 if free else 1e-2)
        np.testing.assert_allclose(
            ours.derived["subtree_com"], state.derived["subtree_com"], atol=1e-3 if free else 1e-2
        )
        if free:
            np.testing.assert_allclose(ours.qvel, state.qvel, atol=0.02)
            np.testing.assert_allclose(ours.derived["cvel"], state.derived["cvel"], atol=0.02)


@pytest.mark.slow
def test_under_half_of_the_places_to_reach_can_be_held():
    """By 2,048 constant actions, 60 steps each: as published, servos settle at a share of their targets, which leaves
    much of the box of goals out of reach."""
    env, params = make("arm_reach")
    obs, state = jax.vmap(env.reset, in_axes=(0, None))(jr.split(jr.key(0), 2048), params)
    action = jr.uniform(jr.key(1), (2048, 4), minval=-1.0, maxval=1.0)

    @jax.jit
    def hold(state):
        step = lambda state, key: (jax.vmap(env.step, in_axes=(0, 0, 0, None))(key, state, action, params)[1], None)
        return jax.lax.scan(step, state, jr.split(jr.key(2), (60, 2048)))[0]

    reached = jax.vmap(env.observe, in_axes=(0, None))(hold(state).inner, params).achieved_goal
    goals, reached = np.asarray(obs.desired_goal), np.asarray(reached)
    nearest = np.array([np.linalg.norm(reached - goal, axis=1).min() for goal in goals])
    assert 0.38 < np.mean(nearest < 0.1) < 0.48
