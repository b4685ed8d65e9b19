"""The cost sheet: counted by tracing, equal to a count by hand."""

import jax
import jax.numpy as jnp
import pytest


BATCH, WIDTH, EMBEDDING = 8, 8, 8


def test_matrix_products_are_counted_through_loops():
    from deepcrl.train._cost import matmul_flops

    def program(x):
        x, _ = jax.lax.scan(lambda x, _: (x @ x, None), x, length=5)
        return jax.lax.cond(x[0, 0] > 0, lambda x: x @ x @ x, lambda x: x @ x, x)

    jaxpr = jax.make_jaxpr(program)(jnp.ones((4, 4))).jaxpr
    assert matmul_flops(jaxpr) == (5 + 2) * 2 * 4**3


def test_an_update_of_contrastive_rl_costs_what_a_count_by_hand_says(train):
    from deepcrl.train import cost

    blocks = 8 * WIDTH**2  # depth 8
    inputs = {"phi": 4 + 2, "psi": 2, "policy": 4 + 2}
    outputs = {"phi": EMBEDDING, "psi": EMBEDDING, "policy": 2 * 2}

    def passes(name, with_input_gradient=False, with_weight_gradient=True):
        per_layer = 2 + with_weight_gradient  # forward, gradient of the activations, gradient of the weights
        hidden = per_layer * (blocks + WIDTH * outputs[name])
        first = (1 + with_weight_gradient + with_input_gradient) * inputs[name] * WIDTH
        return hidden + first

    networks = passes("phi") + passes("psi") + passes("policy")
    judged = passes("phi", with_input_gradient=True, with_weight_gradient=False)  # by the actor
    pairs = 3 * BATCH * EMBEDDING  # all pairs of a batch and both gradients, per sample
    assert cost(train).flops_per_update == pytest.approx(2 * BATCH * (networks + judged + pairs), rel=0.02)


def test_sizes_are_those_of_the_arrays(train, host_loop):
    from deepcrl.nn import parameter_count
    from deepcrl.train import cost

    state = host_loop[0][0]
    sheet = cost(train, lanes=3)
    assert sheet.parameters == parameter_count(state.agent.policy) + parameter_count(state.agent.critic)
    held = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    assert sheet.state_bytes == held
    assert sheet.needed_bytes == 3 * held
    assert sheet.buffer_bytes == sum(leaf.nbytes for leaf in jax.tree.leaves(state.queue))


def test_measured_times_are_of_the_parts(train):
    from deepcrl.train import measure

    speed = measure(train, seconds=0.02)
    assert speed.activation_bytes > 0
    config = train.config
    lane = config.actual_updates * speed.seconds_per_update + config.actual_env_steps * speed.seconds_per_env_step
    assert speed.seconds(train, lanes=2) == pytest.approx(2 * lane) and lane > 0
