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


PENDULUM = """
<mujoco><option timestep="0.01"/><worldbody><body name="arm" pos="0 0 1">
<joint name="hinge" type="hinge" axis="0 1 0" damping="0.1"/><geom type="capsule" size="0.05" fromto="0 0 0 0.5 0 0"/>
</body></worldbody><actuator><motor joint="hinge" gear="5"/></actuator></mujoco>
"""
DERIVED = ("xipos", "cvel", "qfrc_actuator")


@pytest.fixture(scope="module")
def model():
    import mujoco

    return mujoco.MjModel.from_xml_string(PENDULUM)


@pytest.fixture(scope="module")
def native(model):
    from deepcrl.envs._physics import make_engine

    return make_engine(model, "native", substeps=3, derived=DERIVED)


def starts(count: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    keys = jr.split(jr.key(0), 3)
    return tuple(jr.uniform(key, (count, 1), minval=-1.0, maxval=1.0) for key in keys)  # pyright: ignore


def serial(model, qpos, qvel, ctrl, substeps=3):
    """One simulation after another by `mj_step`, then what is derived of the new state."""
    import mujoco

    out = []
    for q, v, u in zip(np.asarray(qpos), np.asarray(qvel), np.asarray(ctrl), strict=True):
        data = mujoco.MjData(model)
        data.qpos[:], data.qvel[:], data.ctrl[:] = q, v, u
        for _ in range(substeps):
            mujoco.mj_step(model, data)
        mujoco.mj_step1(model, data)
        out.append([np.array(getattr(data, name)) for name in ("qpos", "qvel", *DERIVED)])
    return [np.stack(column) for column in zip(*out, strict=True)]


def flat(state):
    return [state.qpos, state.qvel, *(state.derived[name] for name in DERIVED)]


def test_native_engine_is_mujoco(model, native):
    qpos, qvel, ctrl = starts(7)
    state = jax.vmap(native.init)(qpos, qvel)
    after = jax.jit(jax.vmap(native.step))(state, ctrl)
    for ours, theirs in zip(flat(after), serial(model, qpos, qvel, ctrl), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)
    assert not after.failed.any()


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
    grid = jax.tree.map(lambda x: x.reshape(2, 3, 1), (qpos, qvel, ctrl))

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
    step(jax.tree.map(lambda x: x[::-1], first), -ctrl)
    again = step(state, ctrl)
    jax.tree.map(np.testing.assert_array_equal, first, again)


def test_refresh_computes_what_is_stale_and_nothing_else(model, native):
    import mujoco

    qpos, qvel, _ = starts(4)
    state = jax.vmap(native.init)(qpos, qvel)
    stale = jnp.array([True, False, True, False])
    fresh = jax.jit(jax.vmap(native.refresh))(state, stale)
    for i in range(4):
        data = mujoco.MjData(model)
        data.qpos[:], data.qvel[:] = qpos[i], qvel[i]
        mujoco.mj_forward(model, data)
        expected = data.xipos if stale[i] else np.zeros_like(data.xipos)
        np.testing.assert_allclose(fresh.derived["xipos"][i], expected, atol=1e-6)


def test_a_failed_simulation_is_marked_and_harms_no_other(native):
    qpos, qvel, ctrl = starts(4)
    state = jax.vmap(native.init)(qpos, qvel.at[2].set(jnp.nan))
    after = jax.jit(jax.vmap(native.step))(state, ctrl)
    np.testing.assert_array_equal(after.failed, [False, False, True, False])
    good = jnp.array([0, 1, 3])
    alone = jax.jit(jax.vmap(native.step))(jax.tree.map(lambda x: x[good], state), ctrl[good])
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[good], b), after, alone)
    np.testing.assert_array_equal(after.qpos[2], state.qpos[2])


def test_unknown_and_missing_engines(model, monkeypatch):
    from deepcrl.envs._physics import _engines

    with pytest.raises(ValueError, match="`engine` must be one of"):
        _engines.make_engine(model, "spring", substeps=1)
    monkeypatch.setattr(_engines.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'deepcrl\[cuda\]'"):
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
def test_mjx_engine_is_mujoco(model):
    """Float32 against float64, three substeps of 0.01 s: to 1e-5."""
    from deepcrl.envs._physics import make_engine

    engine = make_engine(model, "mjx", substeps=3, derived=DERIVED)
    qpos, qvel, ctrl = starts(3)
    after = jax.jit(jax.vmap(engine.step), compiler_options=mjx_options())(jax.vmap(engine.init)(qpos, qvel), ctrl)
    for ours, theirs in zip(flat(after), serial(model, qpos, qvel, ctrl), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    blank = eqx.tree_at(lambda state: state.derived["xipos"], after, jnp.zeros_like(after.derived["xipos"]))
    fresh = jax.jit(jax.vmap(engine.refresh), compiler_options=mjx_options())(blank, jnp.array([True, False, True]))
    np.testing.assert_allclose(fresh.derived["xipos"][::2], after.derived["xipos"][::2], atol=1e-6)
    assert not fresh.derived["xipos"][1].any()


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
