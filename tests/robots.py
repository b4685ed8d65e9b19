"""What tests of robots share: each task on the native engine, made once, and MuJoCo beside it."""

import functools as ft

import jax


@ft.cache
def mjx_options():
    """What MJX is compiled with here."""
    from deepcrl.envs._physics._mjx import cpu_options

    return cpu_options()


@ft.cache
def make(name, **options):
    from deepcrl import envs

    return envs.make(name, engine="native", **options)


@ft.cache
def model_of(name):
    return make(name)[0].build_model()


@ft.cache
def stepper(name):
    return jax.jit(make(name)[0].step)


def data_of(name, physics):
    """A simulation of MuJoCo's own in the same state, with all that follows from it computed."""
    import mujoco

    data = mujoco.MjData(model_of(name))
    data.qpos[:], data.qvel[:] = physics.qpos, physics.qvel
    mujoco.mj_forward(data.model, data)
    return data
