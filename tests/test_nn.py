"""Networks against a float64 NumPy model, against themselves unrolled, and against the paper's parameter counts."""

import functools as ft

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import pytest
import references as ref
from scipy import stats


WIDTH, BLOCKS = 8, 4

apply = eqx.filter_jit(lambda module, *args: module(*args))
build = eqx.filter_jit(lambda cls, *sizes, key, **options: cls(*sizes, key=key, **options))


def assert_close(actual, desired, tolerance):
    """Largest absolute error, relative to the largest value (or to 1)."""
    for a, d in zip(jtu.tree_leaves(actual), jtu.tree_leaves(desired), strict=True):
        a, d = np.asarray(a, np.float64), np.asarray(d, np.float64)
        assert a.shape == d.shape
        assert np.all(np.isfinite(a))
        assert np.max(np.abs(a - d)) <= tolerance * max(1.0, np.max(np.abs(d)))


def assert_identical(actual, desired):
    for a, d in zip(jtu.tree_leaves(actual), jtu.tree_leaves(desired), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(d))


def perturbed(module):
    """The module with noise on every leaf, so that biases, scales and shifts matter."""
    rng = np.random.default_rng(4)
    noise = lambda leaf: leaf + jnp.asarray(0.3 * rng.normal(size=leaf.shape), jnp.float32)
    return jtu.tree_map(noise, module)


def first(blocks):
    return jnp.asarray(blocks, jnp.int32)


def block_of(trunk, index):
    return jtu.tree_map(lambda leaf: leaf[index], trunk.blocks)


@pytest.fixture(scope="module")
def trunk(key):
    from deepcrl.nn import ResidualTrunk

    return build(ResidualTrunk, WIDTH, BLOCKS, key=jr.fold_in(key, 1))


@pytest.fixture(scope="module")
def x(key):
    return jr.normal(jr.fold_in(key, 2), (WIDTH,))


@eqx.filter_jit
def value_and_grads(module, x, *args):
    """A scalar of the output, its gradient in weights and input."""

    def scalar(inputs):
        module, x = inputs
        return jnp.sum(jnp.sin(module(x, *args)))

    return eqx.filter_value_and_grad(scalar)((module, x))


# Scan, mask, remat


def test_scanned_trunk_is_the_loop_over_blocks(trunk, x):
    @eqx.filter_jit
    def looped(trunk, x):
        for index in range(BLOCKS):
            x = x + block_of(trunk, index)(x)
        return x

    assert_close(apply(trunk, x), looped(trunk, x), 1e-6)


@pytest.fixture(scope="module")
def truncated_trunks(key):
    from deepcrl.nn import ResidualTrunk

    return {k: build(ResidualTrunk, WIDTH, k, key=jr.fold_in(key, 1)) for k in (1, 2, 3)}


def test_initial_block_weights_do_not_depend_on_the_number_of_blocks(trunk, truncated_trunks):
    for k, short in truncated_trunks.items():
        assert_identical(short.blocks, jtu.tree_map(lambda leaf, k=k: leaf[:k], trunk.blocks))


def test_blocks_and_layers_have_weights_of_their_own(trunk):
    kernels = np.stack([layer.linear.weight for layer in trunk.blocks.layers]).reshape(-1, WIDTH, WIDTH)
    assert len(np.unique(kernels[:, 0, 0])) == 4 * BLOCKS


def assert_masked_is_truncated(masked, truncated, active):
    # XLA inlines a loop of one step and then fuses its sums otherwise: one block is one block to rounding.
    if active == 1:
        assert_close(masked, truncated, 2e-6)
    else:
        assert_identical(masked, truncated)


def test_masked_trunk_is_the_truncated_trunk_bitwise(trunk, truncated_trunks):
    for k, short in truncated_trunks.items():
        for seed in range(32):
            x = jr.normal(jr.key(np.uint32(seed)), (WIDTH,))
            assert_masked_is_truncated(apply(trunk, x, first(k)), apply(short, x), k)


def test_no_active_block_is_the_identity(trunk, x):
    assert_identical(apply(trunk, x, first(0)), x)


def test_gradient_of_idle_blocks_is_zero_and_of_active_blocks_that_of_the_truncated_trunk(trunk, truncated_trunks, x):
    for k, short in truncated_trunks.items():
        value, (grads, x_grad) = value_and_grads(trunk, x, first(k))
        short_value, (short_grads, short_x_grad) = value_and_grads(short, x)
        active_grads = jtu.tree_map(lambda g, k=k: g[:k], grads.blocks)
        assert_masked_is_truncated((value, x_grad), (short_value, short_x_grad), k)
        assert_masked_is_truncated(active_grads, short_grads.blocks, k)
        for leaf in jtu.tree_leaves(grads.blocks):
            assert np.all(np.asarray(leaf[k:]) == 0.0)
            assert np.any(np.asarray(leaf[:k]) != 0.0)


@pytest.fixture(scope="module")
def nets(key):
    """One net of each kind, 3 blocks, and its inputs: an observation of 4, an action of 2, a goal of 3 numbers."""
    from deepcrl.nn import GaussianPolicy, GoalEncoder, StateActionEncoder

    observation, action, goal = (jr.normal(jr.fold_in(key, n), (n,)) for n in (4, 2, 3))
    return {
        "sa": (StateActionEncoder(4, 2, 3, width=WIDTH, num_blocks=3, key=key), (observation, action)),
        "goal": (GoalEncoder(3, 3, width=WIDTH, num_blocks=3, key=key), (goal,)),
        "policy": (GaussianPolicy(4, 3, 2, width=WIDTH, num_blocks=3, key=key), (observation, goal)),
    }


@pytest.mark.parametrize("kind", ["sa", "goal", "policy"])
def test_every_net_passes_the_mask_on(nets, truncated_trunks, kind):
    net, inputs = nets[kind]
    first_blocks = jtu.tree_map(lambda leaf: leaf[:2], net.encoder.trunk.blocks)
    short_trunk = eqx.tree_at(lambda trunk: trunk.blocks, truncated_trunks[2], first_blocks)
    short = eqx.tree_at(lambda net: net.encoder.trunk, net, short_trunk)
    masked, whole = apply(net, *inputs, first(2)), apply(net, *inputs, first(3))
    assert_identical(masked, apply(short, *inputs))
    assert np.all(np.asarray(jtu.tree_leaves(masked)[0]) != np.asarray(jtu.tree_leaves(whole)[0]))


def test_remat_changes_neither_values_nor_gradients(trunk, x, key):
    from deepcrl.nn import ResidualTrunk

    remat = build(ResidualTrunk, WIDTH, BLOCKS, remat=True, key=jr.fold_in(key, 1))
    assert "checkpoint" in str(jax.make_jaxpr(remat)(x)) or "remat" in str(jax.make_jaxpr(remat)(x))
    value, (grads, x_grad) = value_and_grads(trunk, x)
    remat_value, (remat_grads, remat_x_grad) = value_and_grads(remat, x)
    assert_close((remat_value, remat_x_grad, remat_grads.blocks), (value, x_grad, grads.blocks), 1e-6)


def test_lane_of_a_vmapped_trunk_is_the_single_trunk(trunk, key, x):
    from deepcrl.nn import ResidualTrunk

    keys = jnp.stack([jr.fold_in(key, 1), jr.fold_in(key, 9), jr.fold_in(key, 10)])  # the first is that of `trunk`
    depths = jnp.array([4, 1, 2], jnp.int32)
    lanes = eqx.filter_vmap(lambda key: build(ResidualTrunk, WIDTH, BLOCKS, key=key))(keys)
    call = eqx.filter_vmap(lambda trunk, depth, x: trunk(x, first(depth)), in_axes=(0, 0, None))
    outputs = eqx.filter_jit(call)(lanes, depths, x)
    assert_identical(jtu.tree_map(lambda leaf: leaf[0], lanes.blocks), trunk.blocks)
    for lane in range(3):
        single = jtu.tree_map(lambda leaf, lane=lane: leaf[lane], lanes)
        assert_close(outputs[lane], apply(single, x, first(depths[lane])), 1e-5)


def test_jit_is_eager(trunk, x):
    assert_close(apply(trunk, x), trunk(x), 1e-6)


# Depth


@pytest.mark.parametrize(
    ("depth", "advice"), [(6, "Use 4 or 8."), (0, "Use 4."), (-4, "Use 4."), (2, "Use 4."), (1023, "Use 1020 or 1024.")]
)
def test_wrong_depth_names_its_neighbours(depth, advice):
    from deepcrl.nn import blocks_of_depth

    with pytest.raises(ValueError, match=rf"`critic_depth` .* multiple of 4; got {depth}\. {advice}"):
        blocks_of_depth(depth, "critic_depth")


@pytest.mark.parametrize("depth", [True, "8", 8.0])
def test_depth_of_the_wrong_kind(depth):
    from deepcrl.nn import blocks_of_depth

    with pytest.raises(TypeError):
        blocks_of_depth(depth)


def test_depth_counts_layers_inside_blocks():
    from deepcrl.nn import blocks_of_depth

    assert [blocks_of_depth(depth) for depth in (4, 8, 64, 1024)] == [1, 2, 16, 256]


def test_a_trunk_has_at_least_one_block(key):
    from deepcrl.nn import ResidualTrunk

    with pytest.raises(ValueError, match="`num_blocks` must be at least 1, got 0"):
        ResidualTrunk(WIDTH, 0, key=key)


def equation_count(jaxpr):
    count = len(jaxpr.eqns)
    for equation in jaxpr.eqns:
        for inner in jax.tree_util.tree_leaves(list(equation.params.values())):
            inner = getattr(inner, "jaxpr", inner)
            count += equation_count(inner) if hasattr(inner, "eqns") else 0
    return count


def test_program_does_not_grow_with_depth_and_depth_1024_is_finite(key):
    from deepcrl.nn import blocks_of_depth, ResidualTrunk

    width = 4
    trunks = {depth: build(ResidualTrunk, width, blocks_of_depth(depth), key=key) for depth in (16, 1024)}
    x = jr.normal(key, (width,))
    programs = {depth: jax.make_jaxpr(jax.grad(lambda x, t=t: jnp.sum(t(x))))(x) for depth, t in trunks.items()}
    counts = {depth: equation_count(program.jaxpr) for depth, program in programs.items()}
    assert counts[16] == counts[1024] > 50
    value, (grads, x_grad) = value_and_grads(trunks[1024], x)
    assert all(np.all(np.isfinite(leaf)) for leaf in jtu.tree_leaves((value, grads.blocks, x_grad)))
    assert np.all(np.isfinite(apply(trunks[1024], x)))


# Initial weights


@ft.cache
def initial_encoder():
    """Sizes in, width and out all differ, so that fan-in cannot be mistaken for anything else."""
    from deepcrl.nn import Encoder

    return Encoder(200, 100, 32, 2, key=jr.key(7))


def kernels_with_fan_in():
    net = initial_encoder()
    yield net.input_layer.linear, 200
    for layer in net.trunk.blocks.layers:
        yield layer.linear, 32
    yield net.output, 32


def assert_drawn_from_paper_law(kernel, fan_in):
    """Inside U(-1/sqrt(fan_in), 1/sqrt(fan_in)), near its ends, and Kolmogorov-Smirnov at p = 1e-6."""
    bound = 1.0 / np.sqrt(fan_in)
    kernel = np.asarray(kernel, np.float64).ravel()
    assert np.all(np.abs(kernel) <= bound * (1.0 + 1e-6))
    assert np.max(np.abs(kernel)) > 0.99 * bound  # fails with p = 0.99^1600 = 1e-7
    assert stats.kstest(kernel, stats.uniform(-bound, 2.0 * bound).cdf).pvalue > 1e-6


def test_initial_kernels_and_biases():
    # n = 6400, 4 x 2048 and 3200 weights. Catches fan-out, lecun-uniform, normal, zero heads.
    for linear, fan_in in kernels_with_fan_in():
        assert_drawn_from_paper_law(linear.weight, fan_in)
        n = linear.weight.size
        # The variance of a uniform's sample variance is (4 / 45) a^4 / n; 5 standard errors.
        bound = 1.0 / np.sqrt(fan_in)
        error = 5.0 * bound**2 * np.sqrt(4.0 / 45.0 / n)
        assert abs(np.var(np.asarray(linear.weight, np.float64)) - bound**2 / 3.0) < error
        assert np.all(np.asarray(linear.bias) == 0.0)


@pytest.mark.parametrize(
    "wrong", [lambda kernel: kernel * np.sqrt(3.0), lambda kernel: kernel * 0.9, lambda kernel: np.abs(kernel)]
)
def test_wrong_initial_kernels_fail(wrong):
    for linear, fan_in in kernels_with_fan_in():
        with pytest.raises(AssertionError):
            assert_drawn_from_paper_law(wrong(np.asarray(linear.weight)), fan_in)


def test_both_heads_of_the_policy_are_drawn_from_the_same_law(key):
    from deepcrl.nn import GaussianPolicy

    # n = 1600 weights a head. Catches zero or small initial heads.
    policy = GaussianPolicy(3, 2, 50, width=32, key=jr.fold_in(key, 5))
    for head in np.split(np.asarray(policy.encoder.output.weight), 2):
        assert_drawn_from_paper_law(head, 32)


def test_initial_layer_norms():
    net = initial_encoder()
    for layer in (net.input_layer, *net.trunk.blocks.layers):
        assert layer.norm.eps == 1e-6
        assert np.all(np.asarray(layer.norm.weight) == 1.0)
        assert np.all(np.asarray(layer.norm.bias) == 0.0)


# Parameter counts of the paper's networks, in millions as printed: state-action encoder, goal encoder, actor, all three.
HUMANOID, ANT, ARM = (268, 17, 3), (29, 8, 2), (17, 5, 3)  # sizes of state, action, goal
PARAMETERS = [
    (HUMANOID, 256, 4, "0.355 0.283 0.344 0.983"),
    (HUMANOID, 256, 8, "0.621 0.548 0.609 1.778"),
    (HUMANOID, 256, 16, "1.151 1.079 1.140 3.370"),
    (HUMANOID, 256, 32, "2.212 2.140 2.201 6.552"),
    (HUMANOID, 256, 64, "4.334 4.261 4.322 12.917"),
    (HUMANOID, 256, 128, "8.577 8.505 8.566 25.65"),
    (HUMANOID, 256, 256, "17.06 16.99 17.05 51.11"),
    (HUMANOID, 256, 512, "34.04 33.97 34.03 102.0"),
    (HUMANOID, 256, 1024, "67.99 67.91 67.97 203.9"),
    (HUMANOID, 128, 4, "0.112 0.076 0.107 0.295"),
    (HUMANOID, 512, 4, "1.235 1.091 1.212 3.538"),
    (HUMANOID, 1024, 4, "4.567 4.278 4.522 13.37"),
    (HUMANOID, 2048, 4, "17.52 16.95 17.43 51.90"),
    (HUMANOID, 4096, 4, "68.60 67.45 68.42 204.5"),
    (ANT, 256, 4, "0.292 0.283 0.278 0.853"),
    (ANT, 256, 8, "0.557 0.548 0.543 1.649"),
    (ANT, 256, 16, "1.088 1.079 1.074 3.240"),
    (ANT, 256, 32, "2.148 2.139 2.135 6.422"),
    (ANT, 256, 64, "4.270 4.261 4.256 12.788"),
    (ANT, 256, 128, "8.514 8.505 8.500 25.52"),
    (ANT, 256, 256, "17.00 16.99 16.99 50.98"),
    (ANT, 256, 512, "- - - 101.9"),
    (ANT, 256, 1024, "- - - 203.7"),
    (ANT, 128, 4, "- - - 0.230"),
    (ANT, 512, 4, "- - - 3.278"),
    (ANT, 1024, 4, "- - - 12.85"),
    (ANT, 2048, 4, "- - - 50.86"),
    (ANT, 4096, 4, "- - - 202.4"),
    (ARM, 256, 4, "0.288 0.283 0.274 0.845"),
    (ARM, 256, 8, "0.553 0.548 0.539 1.641"),
    (ARM, 256, 16, "1.084 1.079 1.069 3.232"),
    (ARM, 256, 32, "2.145 2.140 2.130 6.414"),
    (ARM, 256, 64, "4.266 4.261 4.252 12.780"),
    (ARM, 256, 128, "8.510 8.505 8.495 25.51"),
    (ARM, 256, 256, "- - - 50.97"),
    (ARM, 256, 512, "- - - 101.9"),
    (ARM, 256, 1024, "- - - 203.7"),
    (ARM, 128, 4, "- - - 0.226"),
    (ARM, 512, 4, "- - - 3.263"),
    (ARM, 1024, 4, "- - - 12.82"),
    (ARM, 2048, 4, "- - - 50.80"),
    (ARM, 4096, 4, "- - - 202.3"),
]


@ft.cache
def count_parameters(kind, sizes, width, depth):
    """By abstract evaluation: nothing is allocated."""
    from deepcrl import nn

    blocks = nn.blocks_of_depth(depth)
    make = {
        "sa": lambda key: nn.StateActionEncoder(sizes[0], sizes[1], width=width, num_blocks=blocks, key=key),
        "goal": lambda key: nn.GoalEncoder(sizes[0], width=width, num_blocks=blocks, key=key),
        "policy": lambda key: nn.GaussianPolicy(*sizes, width=width, num_blocks=blocks, key=key),
    }[kind]
    return nn.parameter_count(eqx.filter_eval_shape(make, jr.key(0)))


def counts_of(sizes, width, depth, actor_depth=None):
    state, action, goal = sizes
    counts = [
        count_parameters("sa", (state, action), width, depth),
        count_parameters("goal", (goal,), width, depth),
        count_parameters("policy", (state, goal, action), width, actor_depth or depth),
    ]
    return [*counts, sum(counts)]


def assert_printed(count, number):
    # Half a unit of the last digit, and a little: the table rounds 67.4448 by way of 67.445 to 67.45.
    unit = 10.0 ** -len(number.split(".")[1])
    assert abs(count / 1e6 - float(number)) <= 0.53 * unit, (count, number)


@pytest.mark.parametrize(("sizes", "width", "depth", "printed"), PARAMETERS)
def test_parameter_counts_are_the_papers(sizes, width, depth, printed):
    for count, number in zip(counts_of(sizes, width, depth), printed.split(), strict=True):
        if number != "-":
            assert_printed(count, number)


def test_parameter_count_of_the_papers_deepest_agent():
    assert_printed(counts_of(HUMANOID, 256, 1024, actor_depth=512)[-1], "169.9")


def test_parameter_count_counts_every_number(trunk):
    from deepcrl.nn import parameter_count

    assert parameter_count(trunk) == BLOCKS * 4 * (WIDTH * WIDTH + 3 * WIDTH)


# The block equation


def as_float64(encoder):
    """Input layer, blocks and output of an `Encoder` for the NumPy model."""

    def layer(dense_layer):
        linear, norm = dense_layer.linear, dense_layer.norm
        return [np.asarray(leaf, np.float64) for leaf in (linear.weight, linear.bias, norm.weight, norm.bias)]

    blocks = []
    for index in range(encoder.trunk.num_blocks):
        blocks.append([layer(dense_layer) for dense_layer in block_of(encoder.trunk, index).layers])
    output = [np.asarray(leaf, np.float64) for leaf in (encoder.output.weight, encoder.output.bias)]
    return layer(encoder.input_layer), blocks, output


@pytest.fixture(scope="module")
def noisy_encoder(nets):
    return perturbed(nets["sa"][0].encoder)


def inputs_of(encoder, scale):
    # Without the input layer's bias, a small input leaves a variance that epsilon is not small against.
    encoder = eqx.tree_at(lambda e: e.input_layer.linear.bias, encoder, jnp.zeros(WIDTH))
    return encoder, scale * jr.normal(jr.key(11), (6,))


@pytest.mark.parametrize("scale", [1.0, 1e-3, 100.0])
def test_encoder_is_the_papers_equation(noisy_encoder, scale):
    encoder, x = inputs_of(noisy_encoder, scale)
    assert_close(apply(encoder, x), ref.encoder(*as_float64(encoder), np.asarray(x, np.float64)), 1e-5)


def residual_before_last_swish(layers, x, eps):
    h = x
    for layer in layers[:-1]:
        h = ref.dense_layer(layer, h, eps)
    weight, bias, scale, shift = layers[-1]
    return ref.swish(x + ref.layer_norm(weight @ h + bias, scale, shift, eps))


def norm_after_sum(layers, x, eps):
    return ref.layer_norm(ref.residual_block(layers, x, eps), 1.0, 0.0, eps)


def swish_after_sum(layers, x, eps):
    return ref.swish(ref.residual_block(layers, x, eps))


@pytest.mark.parametrize(
    "wrong",
    [
        {"eps": 1e-5},
        {"block": residual_before_last_swish},
        {"block": norm_after_sum},
        {"block": swish_after_sum},
        {"block": lambda layers, x, eps: x + ref.residual_block(layers[:3], x, eps) - x},
    ],
)
def test_wrong_equations_fail(noisy_encoder, wrong):
    encoder, x = inputs_of(noisy_encoder, 1e-3)
    with pytest.raises(AssertionError):
        assert_close(apply(encoder, x), ref.encoder(*as_float64(encoder), np.asarray(x, np.float64), **wrong), 1e-5)


def norm_swish_64(x, scale, shift):
    unit = (x - x.mean()) / np.sqrt(x.var() + 1e-6)
    inner = scale * unit + shift
    return inner / (1 + np.exp(-inner))


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_norm_swish_and_its_gradients_are_those_of_the_formula(size):
    from deepcrl.nn._norms import norm_swish

    rng = np.random.default_rng(0)
    x, scale, shift, weight = size * rng.normal(size=7) + size, *rng.normal(size=(3, 7))
    inputs = [jnp.asarray(values, jnp.float32) for values in (x, scale, shift)]
    out, pull = jax.vjp(norm_swish, *inputs)
    np.testing.assert_allclose(out, norm_swish_64(x, scale, shift), rtol=2e-5, atol=1e-6)
    for ours, values, step in zip(pull(jnp.asarray(weight, jnp.float32)), (x, scale, shift), (size, 1, 1), strict=True):
        numeric = np.zeros(7)
        for i in range(7):
            value, sides = values[i], []
            for sign in (1, -1):
                values[i] = value + sign * 1e-5 * step
                sides.append(weight @ norm_swish_64(x, scale, shift))
            values[i] = value
            numeric[i] = (sides[0] - sides[1]) / (2e-5 * step)
        np.testing.assert_allclose(ours, numeric, rtol=2e-4, atol=2e-5 * np.abs(numeric).max())


def test_norm_swish_of_a_constant_has_finite_gradients():
    from deepcrl.nn._norms import norm_swish

    grads = jax.grad(lambda *inputs: norm_swish(*inputs).sum(), (0, 1, 2))(jnp.ones(4), jnp.ones(4), jnp.ones(4))
    assert all(bool(jnp.isfinite(grad).all()) for grad in grads)


def test_nets_join_their_inputs_in_order(nets):
    expected = {}
    for kind, (net, inputs) in nets.items():
        joined = np.concatenate([np.asarray(part, np.float64) for part in inputs])
        expected[kind] = ref.encoder(*as_float64(net.encoder), joined)
    for kind in ("sa", "goal"):
        net, inputs = nets[kind]
        assert_close(apply(net, *inputs), expected[kind], 1e-5)
    policy, inputs = nets["policy"]
    distribution, heads = apply(policy, *inputs), expected["policy"]
    assert_close(distribution.mean, heads[:2], 1e-5)
    assert_close(distribution.log_std, -5.0 + 0.5 * (2.0 - -5.0) * (np.tanh(heads[2:]) + 1.0), 1e-5)


# Policy


def test_log_std_reaches_its_bounds_and_no_further(nets):
    policy, inputs = nets["policy"]
    loud = eqx.tree_at(lambda p: p.encoder.output.weight, policy, replace_fn=lambda w: 1e4 * w)
    observation, goal = (jr.normal(jr.key(i), (64, part.size)) for i, part in enumerate(inputs))
    log_std = np.asarray(jax.jit(jax.vmap(loud))(observation, goal).log_std)
    assert log_std.min() == -5.0
    assert log_std.max() == 2.0


def draw_many(mean, log_std, n):
    """`n` draws and log densities of one tanh-Gaussian."""
    from deepcrl.nn import TanhGaussian

    distribution = TanhGaussian(jnp.asarray(mean, jnp.float32), jnp.asarray(log_std, jnp.float32))
    keys = jr.split(jr.key(3), n)
    actions, log_probs = jax.jit(jax.vmap(lambda key: distribution.sample_and_log_prob(key=key)))(keys)
    return np.asarray(actions, np.float64), np.asarray(log_probs, np.float64)


def log_density(action, mean, log_std, floor=1e-6):
    """float64 closed form, from the action alone."""
    pre_image = np.arctanh(action)
    normal = stats.norm(np.asarray(mean), np.exp(log_std)).logpdf(pre_image)
    return (normal - np.log(1.0 - action**2 + floor)).sum(-1)


MEAN, LOG_STD = [0.3, -0.8, 0.0], [-1.5, -2.0, -0.7]


def test_log_prob_is_the_closed_form():
    # The action alone must explain the density; arctanh of a float32 action is good to 1e-4 here.
    actions, log_probs = draw_many(MEAN, LOG_STD, 256)
    assert np.max(np.abs(actions)) < 0.99
    np.testing.assert_allclose(log_probs, log_density(actions, MEAN, LOG_STD), atol=5e-5)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(log_probs, log_density(actions, MEAN, 2.0 * np.array(LOG_STD)), atol=5e-5)


def test_floor_under_the_logarithm_is_1e_6():
    # The noise does not depend on the mean, so the Gaussian part cancels between a saturated and a central action.
    saturated, saturated_log_probs = draw_many([30.0], [-1.5], 64)
    central, central_log_probs = draw_many([0.0], [-1.5], 64)
    assert np.all(saturated == 1.0)
    expected = -np.log(1e-6) + np.log(1.0 - central[:, 0] ** 2 + 1e-6)
    # XLA may add the floor to the 1, and float32 rounds that sum: 5% of the floor, 0.05 nats.
    np.testing.assert_allclose(saturated_log_probs - central_log_probs, expected, atol=0.06)


def test_actions_are_tanh_of_independent_gaussians():
    # n = 4096 a dimension, Kolmogorov-Smirnov at p = 1e-6. Catches a variance for a deviation, or shared noise.
    actions, _ = draw_many(MEAN, LOG_STD, 4096)
    noise = (np.arctanh(actions) - np.array(MEAN)) / np.exp(LOG_STD)
    for column in noise.T:
        assert stats.kstest(column, stats.norm.cdf).pvalue > 1e-6
    correlation = np.corrcoef(noise.T) - np.eye(3)
    assert np.max(np.abs(correlation)) < 5.0 / np.sqrt(4096)


def test_sample_is_the_action_of_sample_and_log_prob(key):
    from deepcrl.nn import TanhGaussian

    distribution = TanhGaussian(jnp.array(MEAN), jnp.array(LOG_STD))
    assert_identical(distribution.sample(key=key), distribution.sample_and_log_prob(key=key)[0])


def test_mode_is_tanh_of_the_mean():
    from deepcrl.nn import TanhGaussian

    mode = TanhGaussian(jnp.array(MEAN), jnp.array(LOG_STD)).mode
    assert_close(mode, np.tanh(np.array(MEAN)), 1e-6)
