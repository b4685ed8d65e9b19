"""Engines: pure, the same as MuJoCo itself, and never a hang."""

import subprocess
import sys
import textwrap
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from robots import mjx_options


# An arm with a servo that takes its time, a weight on a muscle; a limit, contacts, sensors of all stages.
ARM = """
<mujoco><option timestep="0.002"/><worldbody><geom type="plane" size="5 5 0.1"/>
<body name="arm" pos="0 0 1">
<joint name="shoulder" axis="0 1 0" damping="0.1" range="-40 40"/><geom type="capsule" size="0.05" fromto="0 0 0 0.5 0 0"/>
<body name="hand" pos="0.5 0 0"><joint name="elbow" axis="0 1 0" damping="0.1"/>
<geom type="capsule" size="0.05" fromto="0 0 0 0.3 0 0"/><site name="palm" pos="0.3 0 0"/></body></body>
<body name="weight" pos="1 1 0.2"><joint name="lift" type="slide" axis="0 0 1"/>
<geom size="0.2" solref="0.3 1"/><site name="sole" size="0.3"/></body>
</worldbody>
<actuator><motor joint="shoulder" gear="5"/><position joint="elbow" kp="5" kv="0.5" timeconst="0.05"/>
<muscle joint="lift" lengthrange="-1 2" force="20"/></actuator>
<sensor><jointpos joint="elbow"/><framelinvel objtype="site" objname="palm"/><accelerometer site="palm"/><gyro site="palm"/>
<touch site="sole"/><force site="palm"/><subtreelinvel body="arm"/></sensor></mujoco>
"""


@pytest.fixture(scope="module")
def model():
    import mujoco

    # MJX knows no sensor of limits, which needs the constraints of the present state
    return mujoco.MjModel.from_xml_string(ARM.replace("</sensor>", '<jointlimitpos joint="shoulder"/></sensor>'))


@pytest.fixture(scope="module")
def native(model):
    from deepcrl.envs._physics import _model, make_engine

    return make_engine(model, "native", substeps=3, derived=_model.DERIVED)


def starts(count: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    keys = jr.split(jr.key(0), 3)
    return tuple(jr.uniform(key, (count, 3), minval=-1.0, maxval=1.0) for key in keys)  # pyright: ignore


def serial(model, qpos, qvel, ctrl, substeps=3):
    """One simulation after another by `mj_step`: after each control, what `mj_step1` derives of the new state."""
    import mujoco

    from deepcrl.envs._physics import _model

    names = ("qpos", "qvel", "act", "qacc_warmstart", *_model.DERIVED)
    out = []
    for q, v, controls in zip(np.asarray(qpos), np.asarray(qvel), np.asarray(ctrl), strict=True):
        data = mujoco.MjData(model)
        data.qpos[:], data.qvel[:] = q, v
        seen = []
        for u in controls:
            data.ctrl[:] = u
            for _ in range(substeps):
                mujoco.mj_step(model, data)
            mujoco.mj_step1(model, data)
            seen.append({name: np.array(getattr(data, name)) for name in names})
        out.append({name: np.stack([step[name] for step in seen]) for name in names})
    return {name: np.stack([one[name] for one in out]) for name in names}


def after_controls(engine, qpos, qvel, ctrl, **jit):
    """The same by one of our engines: what each control leads to."""

    def run(q, v, controls):
        def step(state, u):
            state = engine.step(state, u)
            seen = {"qpos": state.qpos, "qvel": state.qvel, "act": state.act, "qacc_warmstart": state.warmstart}
            return state, ({**seen, **state.derived}, state.failed)

        return jax.lax.scan(step, engine.init(q, v), controls)[1]

    seen, failed = jax.jit(jax.vmap(run), **jit)(qpos, qvel, ctrl)
    assert not failed.any()
    return seen


def controls_of(ctrl):
    return jnp.stack([ctrl, -ctrl, jnp.roll(ctrl, 1, axis=0)], axis=1)


def test_native_engine_is_mujoco(model, native):
    """State, activations among it, and everything derived; several controls, as a state must suffice to go on."""
    qpos, qvel, ctrl = starts(7)
    theirs = serial(model, qpos, qvel, controls_of(ctrl))
    ours = after_controls(native, qpos, qvel, controls_of(ctrl))
    assert np.abs(theirs["act"][:, 1:]).min(axis=(0, 1)).all() and ours["act"].shape == (7, 3, 2)
    assert set(ours) == set(theirs)
    for name, value in theirs.items():
        assert value.any(), name
        np.testing.assert_allclose(ours[name], value, rtol=1e-4, atol=1e-5 * np.abs(value).max(), err_msg=name)


def test_nested_vmap_scan_and_single_calls_agree(native):
    """Lanes of environments in one call give each simulation what it gets alone."""
    qpos, qvel, ctrl = starts(6)

    def run(q, v, u):
        def step(state, _):
            return native.step(state, u), None

        return jax.lax.scan(step, native.init(q, v), length=4)[0]

    alone = [jax.jit(run)(qpos[i], qvel[i], ctrl[i]) for i in range(6)]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *alone)
    grid = jax.tree.map(lambda x: x.reshape(2, 3, *x.shape[1:]), (qpos, qvel, ctrl))
    nested = jax.jit(jax.vmap(jax.vmap(run)))(*grid)
    for ours, theirs in zip(jax.tree.leaves(nested), jax.tree.leaves(stacked), strict=True):
        np.testing.assert_array_equal(ours.reshape(theirs.shape), theirs)


def test_other_devices_get_the_same_by_way_of_the_host(native, monkeypatch):
    """A GPU cannot lend its memory; its way to the callback, taken here on the CPU."""
    qpos, qvel, ctrl = starts(6)
    grid = jax.tree.map(lambda x: x.reshape(2, 3, 3), (qpos, qvel, ctrl))

    def run(q, v, u):
        return native.step(native.refresh(native.init(q, v), u[0] > 0), u)

    lent = jax.jit(jax.vmap(jax.vmap(run)))(*grid)
    monkeypatch.setattr(jax.lax, "platform_dependent", lambda *args, cpu, default: default(*args))
    copied = jax.jit(jax.vmap(jax.vmap(lambda *args: run(*args))))(*grid)
    jax.tree.map(np.testing.assert_array_equal, lent, copied)


def test_state_is_all_there_is(native):
    """The same state gives the same step, whatever was simulated in between: simulations remember nothing."""
    qpos, qvel, ctrl = starts(5)
    state = jax.vmap(native.init)(qpos, qvel)
    step = jax.jit(jax.vmap(native.step))
    first = step(state, ctrl)
    second = step(first, -ctrl)
    step(jax.tree.map(lambda x: x[::-1], second), ctrl)
    jax.tree.map(np.testing.assert_array_equal, first, step(state, ctrl))
    jax.tree.map(np.testing.assert_array_equal, second, step(first, -ctrl))


def test_refresh_computes_what_is_stale_and_nothing_else(model, native):
    import mujoco

    from deepcrl.envs._physics import _model

    qpos, qvel, ctrl = starts(4)
    state = jax.jit(jax.vmap(native.step))(jax.vmap(native.init)(qpos, qvel), ctrl)
    moved = eqx.tree_at(lambda s: (s.qpos, s.qvel), state, (qpos, qvel))
    stale = jnp.array([True, False, True, False])
    fresh = jax.jit(jax.vmap(native.refresh))(moved, stale)
    late = _model.of_substep(model)
    assert late.sum() == 7  # accelerometer, touch and force
    for i in range(4):
        data = mujoco.MjData(model)
        data.qpos[:], data.qvel[:] = qpos[i], qvel[i]
        mujoco.mj_forward(model, data)
        data.sensordata[late] = 0.0
        for name in _model.DERIVED:
            now = np.zeros_like(getattr(data, name)) if name in _model.FORCES else getattr(data, name)
            expected = now if stale[i] else state.derived[name][i]
            np.testing.assert_allclose(fresh.derived[name][i], expected, rtol=1e-5, atol=1e-5, err_msg=name)
    kept = eqx.tree_at(lambda s: s.derived, fresh, moved.derived)
    jax.tree.map(np.testing.assert_array_equal, kept, moved)


def test_a_failed_simulation_is_marked_and_harms_no_other(native):
    qpos, qvel, ctrl = starts(4)
    state = jax.vmap(native.init)(qpos, qvel.at[2].set(jnp.nan))
    after = jax.jit(jax.vmap(native.step))(state, ctrl)
    np.testing.assert_array_equal(after.failed, [False, False, True, False])
    good = jnp.array([0, 1, 3])
    alone = jax.jit(jax.vmap(native.step))(jax.tree.map(lambda x: x[good], state), ctrl[good])
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[good], b), after, alone)
    np.testing.assert_array_equal(after.qpos[2], state.qpos[2])


@pytest.mark.parametrize("engine", ["native", "mjx"])
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'kp="5"',
            'kp="5" delay="0.02" nsample="3"',
            r"not carried .*: delays of actuators or sensors \(\d+ numbers\)\. Take",
        ),
        (
            'timestep="0.002"/>',
            'timestep="0.002"><flag sleep="enable"/></option>',
            "not carried .*: which bodies sleep",
        ),
    ],
)
def test_a_model_whose_state_is_not_carried_is_refused(old, new, message, engine):
    import mujoco

    from deepcrl.envs._physics import make_engine

    with pytest.raises(ValueError, match=message):
        make_engine(mujoco.MjModel.from_xml_string(ARM.replace(old, new)), engine, substeps=1)


def test_all_of_the_integration_state_is_carried_or_an_input_that_nobody_writes(model):
    """By MuJoCo's own account of what a step depends on."""
    import mujoco

    from deepcrl.envs._physics._model import state_names

    bits, example = mujoco.mjtState, mujoco.MjData(model)
    carried = sum(getattr(example, name).size for name in state_names(model))
    inputs = mujoco.mj_stateSize(model, int(bits.mjSTATE_USER)) + mujoco.mj_stateSize(model, int(bits.mjSTATE_TIME))
    assert carried + inputs == mujoco.mj_stateSize(model, int(bits.mjSTATE_INTEGRATION))
    assert state_names(model) == ("qpos", "qvel", "qacc_warmstart", "act")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cfrc_ext", "names 'cfrc_ext', which is not computed. .*Those that work: xpos, .*sensordata"),
        ("xposs", "Did you mean 'xpos'?"),
    ],
)
def test_quantities_that_are_not_computed_are_refused(model, name, message):
    from deepcrl.envs._physics import make_engine

    with pytest.raises(ValueError, match=message):
        make_engine(model, "native", substeps=1, derived=("xpos", name))


def test_a_clock_is_no_sensor_here():
    import mujoco

    from deepcrl.envs._physics import make_engine

    clock = mujoco.MjModel.from_xml_string(ARM.replace("<sensor>", "<sensor><clock/>"))
    make_engine(clock, "native", substeps=1)
    with pytest.raises(ValueError, match="one of them is a clock"):
        make_engine(clock, "native", substeps=1, derived=("sensordata",))


def test_mjx_says_what_it_does_not_know(model):
    from deepcrl.envs._physics import make_engine

    with pytest.raises(
        ValueError, match=r"engine=mjx cannot simulate this model: .*JOINTLIMITPOS.*; use engine=native"
    ):
        make_engine(model, "mjx", substeps=1)


@pytest.mark.parametrize("change", [('timestep="0.002"', 'timestep="0.002" integrator="RK4"'), "free"])
def test_sensors_of_forces_that_mjx_gets_wrong_are_refused(model, change):
    import mujoco

    from deepcrl.envs._physics import make_engine

    if change == "free":
        text = ARM.replace("<geom ", '<geom contype="0" conaffinity="0" ').replace('range="-40 40"', "")
    else:
        text = ARM.replace(*change)
    with pytest.raises(ValueError, match=r"sensors of forces or accelerations, and MJX .* use engine=native"):
        make_engine(mujoco.MjModel.from_xml_string(text), "mjx", substeps=1, derived=("sensordata",))


def products(jaxpr):
    """Every matrix product of a program."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield equation
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from products(inner)


@pytest.mark.parametrize("task", ["reacher", "pusher_easy", "humanoid_u_maze", "arm_grasp", "ant_ball"])
def test_physics_and_tasks_multiply_at_full_precision(task):
    """Whatever else an accelerator would take by default."""
    from deepcrl import envs

    env, params = envs.make(task, engine="native")
    state = jax.eval_shape(env.reset, jr.key(0), params)[1]
    action = jnp.zeros(env.action_space(params).shape)
    for equation in products(jax.make_jaxpr(env.step)(jr.key(0), state, action, params).jaxpr):
        assert equation.params["precision"] == (jax.lax.Precision.HIGHEST,) * 2, equation


def test_mjx_multiplies_at_full_precision():
    import mujoco

    from deepcrl.envs._physics import make_engine

    engine = make_engine(mujoco.MjModel.from_xml_string(ARM), "mjx", substeps=1, derived=("xpos",))
    found = list(products(jax.make_jaxpr(engine.step)(engine.init(jnp.zeros(3), jnp.zeros(3)), jnp.zeros(3)).jaxpr))
    assert found
    assert all(equation.params["precision"] == (jax.lax.Precision.HIGHEST,) * 2 for equation in found)


def test_unknown_and_missing_engines(model, monkeypatch):
    from deepcrl.envs._physics import _engines

    with pytest.raises(ValueError, match="`engine` must be one of"):
        _engines.make_engine(model, "spring", substeps=1)
    monkeypatch.setattr(_engines.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="the extra `cuda`"):
        _engines.make_engine(model, "warp", substeps=1)


def test_an_mjx_engine_that_is_made_under_trace_holds_no_tracers():
    """It is kept, and other programs use it."""
    from deepcrl import envs
    from deepcrl.envs._tasks import _mujoco

    _mujoco._simulator.cache_clear()
    env, params = envs.make("ant", engine="mjx")
    jax.eval_shape(env.reset, jr.key(0), params)
    leaves = jax.tree.leaves((env.simulator.model, env.simulator.data))
    assert leaves and not any(isinstance(leaf, jax.core.Tracer) for leaf in leaves)


def test_mjx_on_a_cpu_names_the_settings_it_needs(monkeypatch):
    from deepcrl import envs
    from deepcrl.envs._tasks import _mujoco

    def simulator():
        _mujoco._simulator.cache_clear()
        return envs.make("reacher", engine="mjx")[0].simulator

    monkeypatch.delenv("NPROC", raising=False)
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    with pytest.warns(UserWarning, match="MJX on a CPU needs .*NPROC=1 in the environment") as seen:
        simulator()
    assert all(f"XLA_FLAGS=--{name}=false" in str(seen[0].message) for name in mjx_options())
    monkeypatch.setenv("NPROC", "1")
    monkeypatch.setenv("XLA_FLAGS", " ".join(f"--{name}=false" for name in mjx_options()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        simulator()


@pytest.mark.parametrize("task", ["ant_u_maze", "ant_push", "humanoid_u_maze", "arm_binpick_easy"])
def test_mjx_solves_for_more_contacts_than_there_are(task):
    """Of robots that are thrown about; those that fell lie on."""
    import mujoco

    from deepcrl import envs

    env, params = envs.make(task, engine="native")
    model = env.build_model()  # pyright: ignore[reportAttributeAccessIssue]
    starts = jax.vmap(env.reset, in_axes=(0, None))(jr.split(jr.key(0), 8), params)[1]
    rng, most = np.random.default_rng(0), 0
    for i in range(8):
        data = mujoco.MjData(model)
        data.qpos[:] = starts.inner.physics.qpos[i]
        push = rng.uniform(-3.0, 3.0, 2)
        for step in range(1000):
            if step % 25 == 0:
                data.ctrl[:] = rng.uniform(*model.actuator_ctrlrange.T)
                data.qvel[:2] += push
            mujoco.mj_step(model, data)
            most = max(most, data.ncon)
    assert 0 < most < model.numeric("max_contact_points").data[0]


@pytest.mark.slow
@pytest.mark.parametrize("impl", ["mjx", "warp"])
def test_mjx_engines_are_mujoco(impl):
    """Float32 against float64, three control steps of three substeps of 2 ms."""
    import mujoco

    from deepcrl.envs._physics import _model, make_engine

    if impl == "warp":
        pytest.importorskip("warp")
    model = mujoco.MjModel.from_xml_string(ARM)
    engine, native = (make_engine(model, name, substeps=3, derived=_model.DERIVED) for name in (impl, "native"))
    qpos, qvel, ctrl = starts(3)
    theirs = serial(model, qpos, qvel, controls_of(ctrl))
    options = {"compiler_options": mjx_options()}
    ours = after_controls(engine, qpos, qvel, controls_of(ctrl), **options)
    for name, value in theirs.items():
        # contacts are stiff: accelerations differ more than what they lead to
        rtol = 2e-3 if name in (*_model.FORCES, "qacc_warmstart", "sensordata") else 1e-4
        np.testing.assert_allclose(ours[name], value, rtol=rtol, atol=rtol * np.abs(value).max(), err_msg=name)

    state, stale = jax.vmap(native.init)(qpos, qvel), jnp.array([True, False, True])
    fresh = jax.jit(jax.vmap(engine.refresh), **options)(state, stale)
    expected = jax.jit(jax.vmap(native.refresh))(state, stale)
    for name, value in expected.derived.items():
        np.testing.assert_allclose(fresh.derived[name], value, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.slow
def test_warp_has_room_for_the_contacts_of_all_simulations():
    """In nested vmaps; its store is shared, and what does not fit would fall through the floor."""
    import mujoco

    from deepcrl.envs._physics import make_engine

    pytest.importorskip("warp")
    qpos = jnp.zeros((10, 20, 3)).at[..., 2].set(-0.05)
    still = jnp.zeros_like(qpos)

    def after(name):
        engine = make_engine(mujoco.MjModel.from_xml_string(ARM), name, substeps=3, derived=("xpos",))
        run = lambda q, v, u: engine.step(engine.refresh(engine.init(q, v), u[0] == 0), u)
        return jax.jit(jax.vmap(jax.vmap(run)))(qpos, still, still)

    warp, native = after("warp"), after("native")
    np.testing.assert_allclose(warp.qpos, native.qpos, atol=1e-6)
    np.testing.assert_allclose(warp.derived["xpos"], native.derived["xpos"], atol=1e-5)


def test_all_at_once_sees_every_sample_of_nested_vmaps():
    """In a branch that is chosen per sample too, which hands constants on as arguments."""
    from deepcrl.envs._physics._warp import all_at_once

    constant = jnp.full((1, 4), 2.0)
    single = all_at_once(lambda count, x, y: {"sum": constant * x + y["a"], "count": jnp.full(count, count)})
    x, y = jnp.arange(24.0).reshape(2, 3, 4), {"a": jnp.arange(8.0).reshape(2, 4)}
    zero = lambda x, y: {"sum": x, "count": jnp.zeros((), jnp.int32)}
    either = lambda x, y: jax.lax.cond(x[1] > 4.0, single, zero, x, y)
    for function, chosen in ((single, x[..., :1] >= 0.0), (either, x[..., 1:2] > 4.0)):
        out = jax.jit(jax.vmap(lambda x, y: jax.vmap(function, in_axes=(0, None))(x, y)))(x, y)  # noqa: B023
        np.testing.assert_array_equal(out["sum"], jnp.where(chosen, 2.0 * x + y["a"][:, None], x))
        np.testing.assert_array_equal(out["count"], jnp.where(chosen[..., 0], 6, 0))
    assert single(x[0, 0], {"a": y["a"][0]})["count"] == 1


_NEVER_HANGS = """
    import os
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
    import jax, jax.numpy as jnp, jax.random as jr, numpy as np
    from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
    from deepcrl import envs

    env, params = envs.make("ant_u_maze", engine="native")
    many = envs.VectorEnv(env, 4)

    def run(key):  # one lane: four environments, 20 steps
        reset_key, steps_key = jr.split(key)
        obs, state = many.reset(reset_key, params)

        def step(state, key):
            action_key, step_key = jr.split(key)
            action = jr.uniform(action_key, (4, 8), minval=-1.0, maxval=1.0)
            obs, state, *_ = many.step(step_key, state, action, params)
            return state, obs.observation

        return jax.lax.scan(step, state, jr.split(steps_key, 20))[1]

    keys = jr.split(jr.key(0), 4)
    plain = jax.jit(jax.vmap(run))(keys)
    mesh = Mesh(jax.devices(), ("lane",))
    spread = {"in_specs": P("lane"), "out_specs": P("lane"), "axis_names": {"lane"}, "check_vma": False}
    lanes = jax.shard_map(jax.vmap(run), mesh=mesh, **spread)
    sharded = jax.jit(lanes)(jax.device_put(keys, NamedSharding(mesh, P("lane"))))
    # XLA fuses the two programs differently: a last bit at the start, which contacts make grow
    assert jnp.allclose(plain[:, :4], sharded[:, :4], atol=1e-5) and jnp.isfinite(sharded).all()

    grid = Mesh(np.reshape(jax.devices(), (2, 2)), ("lane", "env"))  # two devices share the environments of two lanes
    shared = jax.jit(jax.shard_map(jax.vmap(run), mesh=grid, **spread))(keys)
    assert jnp.allclose(plain[:, :4], shared[:, :4], atol=1e-5) and jnp.isfinite(shared).all()
    print("done")
"""


def test_callbacks_never_hang():
    """Under jit, scan and nested vmap, on one device, on four at once, on two that share
    environments: it ends, with the same numbers to rounding."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_NEVER_HANGS)], capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.strip() == "done"
