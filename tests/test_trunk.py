"""The switches of the trunk: each against a plain loop, its initial scale, its size, and depth."""

import re

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import pytest
from strategies import registering, unchecked


WIDTH, BLOCKS = 8, 3
SWITCHES = {
    "paper": {},
    "two layers": {"layers_per_block": 2},
    "rms": {"norm": "rms"},
    "no norm": {"norm": "none"},
    "hyperspherical": {"norm": "hyperspherical"},
    "relu": {"activation": "relu"},
    "gelu": {"activation": "gelu"},
    "no residual": {"residual": False},
    "simba": {"block": "simba"},
    "bronet": {"block": "bronet"},
    "tied": {"tied": True},
    "hyperspherical simba": {"block": "simba", "norm": "hyperspherical"},
}


# A plain second implementation, in NumPy and float64.


def norm(module, name, x):
    if name == "layer":
        x = (x - x.mean()) / np.sqrt(x.var() + 1e-6)
        return np.asarray(module.weight, np.float64) * x + np.asarray(module.bias, np.float64)
    if name == "rms":
        return np.asarray(module.weight, np.float64) * x / np.sqrt((x**2).mean() + 1e-6)
    return np.sqrt(len(x)) * x / np.linalg.norm(x) if name == "hyperspherical" else x


def linear(module, name, x):
    weight = np.asarray(module.weight, np.float64)
    if name == "hyperspherical":
        return weight / np.linalg.norm(weight, axis=1, keepdims=True) @ x
    return weight @ x + np.asarray(module.bias, np.float64)


def activation(name, x):
    gelu = lambda x: 0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))
    return {"swish": lambda x: x / (1.0 + np.exp(-x)), "relu": lambda x: np.maximum(x, 0.0), "gelu": gelu}[name](x)


def branch(layers, names, x):
    norm_of = lambda module, x: norm(module, names["norm"], x)
    linear_of = lambda module, x: linear(module, names["norm"], x)
    active = lambda x: activation(names["activation"], x)
    dense = lambda layer, x: active(norm_of(layer.norm, linear_of(layer.linear, x)))
    if names["block"] == "simba":
        first, wide, _, narrow = layers
        return linear_of(narrow, active(linear_of(wide, norm_of(first, x))))
    if names["block"] == "bronet":
        inner, outer, last = layers
        return norm_of(last, linear_of(outer, dense(inner, x)))
    for layer in layers:
        x = dense(layer, x)
    return x


def looped(network, name, x, blocks=BLOCKS):
    names = {"block": "paper", "norm": "layer", "activation": "swish", **SWITCHES[name]}
    for index in range(blocks):
        block = network.blocks if names.get("tied") else jtu.tree_map(lambda leaf, i=index: leaf[i], network.blocks)
        new = branch(block.layers, names, x)
        x = x + new if names.get("residual", True) else new
    return x


# The library


def build(name, blocks=BLOCKS, width=WIDTH):
    """A trunk with those switches, and noise on every weight, so that scales, shifts and biases matter."""
    from deepcrl.nn import BlockSpec, ResidualTrunk

    spec = BlockSpec(**SWITCHES[name])
    network = eqx.filter_jit(lambda key: ResidualTrunk(width, blocks, spec=spec, key=key))(jr.key(1))
    noise = np.random.default_rng(0)
    noisy = jtu.tree_map(lambda leaf: leaf + jnp.asarray(0.1 * noise.normal(size=leaf.shape), jnp.float32), network)
    return spec, noisy, network


@pytest.mark.parametrize("name", SWITCHES)
def test_a_trunk_is_the_plain_loop_whole_and_masked(name):
    _, network, _ = build(name)
    x = jr.normal(jr.key(2), (WIDTH,))
    call = eqx.filter_jit(lambda network, x, blocks: network(x, blocks))
    for blocks in (BLOCKS, 1, 0):
        desired = looped(network, name, np.asarray(x, np.float64), blocks)
        np.testing.assert_allclose(call(network, x, jnp.int32(blocks)), desired, rtol=2e-5, atol=2e-5)


SIZES = {  # of one block of width 8: kernels, biases, scales and shifts
    "paper": 4 * (64 + 8 + 16),
    "two layers": 2 * (64 + 8 + 16),
    "rms": 4 * (64 + 8 + 8),
    "no norm": 4 * (64 + 8),
    "hyperspherical": 4 * 64,
    "simba": 16 + (256 + 32) + (256 + 8),
    "bronet": 2 * (64 + 8 + 16),
    "tied": 4 * (64 + 8 + 16),
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes_and_initial_kernels(name):
    from deepcrl.nn import parameter_count

    _, _, network = build(name)
    blocks = 1 if name == "tied" else BLOCKS
    assert parameter_count(network) == blocks * SIZES[name]
    kernels = [
        leaf
        for path, leaf in jtu.tree_leaves_with_path(network)
        if leaf.ndim >= 2 and leaf.shape[-1] in (8, 32) and leaf.shape[-2] in (8, 32)
    ]
    assert kernels
    for kernel in kernels:
        bound = 1.0 / np.sqrt(kernel.shape[-1])
        assert np.abs(kernel).max() <= bound * (1.0 + 1e-6)
        assert np.abs(kernel).max() > 0.95 * bound
        assert 0.5 < np.var(kernel) / (bound**2 / 3.0) < 1.5  # 64 to 768 draws


@pytest.mark.parametrize("name", ["rms", "hyperspherical", "simba", "bronet", "tied"])
def test_depth_1024_is_finite_at_the_start(name):
    _, _, network = build(name, blocks=1024 // build(name)[0].block_depth, width=4)
    value, grad = eqx.filter_jit(jax.value_and_grad(lambda x: jnp.sum(network(x))))(jr.normal(jr.key(3), (4,)))
    assert np.isfinite(value) and np.isfinite(grad).all()


def test_a_hyperspherical_kernel_does_not_depend_on_its_scale():
    from deepcrl.nn._linear import SphericalLinear
    from deepcrl.nn._norms import SphericalNorm

    layer, x = SphericalLinear(5, 3, key=jr.key(0)), jr.normal(jr.key(1), (5,))
    louder = eqx.tree_at(lambda layer: layer.weight, layer, 7.0 * layer.weight)
    np.testing.assert_allclose(layer(x), louder(x), rtol=1e-5)
    gradient = eqx.filter_grad(lambda layer: jnp.sum(layer(x)))(layer).weight
    np.testing.assert_allclose(jnp.sum(gradient * layer.weight, axis=1), 0.0, atol=1e-5)  # tangent to the sphere
    np.testing.assert_allclose(jnp.linalg.norm(SphericalNorm()(x)), np.sqrt(5.0), rtol=1e-5)
    assert (SphericalNorm()(jnp.zeros(5)) == 0.0).all()


def test_a_final_norm_stands_before_the_output_of_every_network():
    from deepcrl.nn import BlockSpec, Encoder

    x = 100.0 * jr.normal(jr.key(1), (6,))
    normed = Encoder(6, 2, WIDTH, 2, spec=BlockSpec(final_norm=True), key=jr.key(0))
    hidden = np.asarray(normed.hidden(x), np.float64)
    np.testing.assert_allclose([hidden.mean(), hidden.std()], [0.0, 1.0], atol=1e-3)
    plain = Encoder(6, 2, WIDTH, 2, key=jr.key(0))
    assert abs(np.asarray(plain.hidden(x)).std() - 1.0) > 0.01


def product_types(name, products):
    """Of all matrix products in a trunk's gradient."""
    from deepcrl.nn import BlockSpec, ResidualTrunk

    network = ResidualTrunk(WIDTH, 1, spec=BlockSpec(products=products, **SWITCHES[name]), key=jr.key(1))
    gradient = eqx.filter_grad(lambda network, x: jnp.sum(jax.vmap(network)(x)))
    return re.findall(r":(\w+)\[[\d,]*\] = dot_general", str(jax.make_jaxpr(gradient)(network, jnp.ones((5, WIDTH)))))


@pytest.mark.parametrize("name", ["paper", "simba", "bronet", "hyperspherical"])
def test_products_are_of_the_type_asked_for_forward_and_backward(name):
    asked, default = product_types(name, "bfloat16"), product_types(name, "float32")
    assert set(asked) == {"bf16"} and set(default) == {"f32"} and len(asked) == len(default) > 0


@pytest.mark.parametrize("name", ["paper", "hyperspherical"])
def test_rounded_products_of_float32_parameters(name):
    from deepcrl.nn import BlockSpec, Encoder

    make = lambda products: Encoder(6, 4, 64, 2, spec=BlockSpec(products=products, **SWITCHES[name]), key=jr.key(0))
    rounded, exact = make("bfloat16"), make("float32")
    x = jr.normal(jr.key(1), (32, 6))
    assert all(
        a.dtype == jnp.float32 and (a == b).all() for a, b in zip(*map(jtu.tree_leaves, (rounded, exact)), strict=True)
    )
    (got, got_grads), (desired, grads) = (
        eqx.filter_jit(eqx.filter_value_and_grad(lambda net: jnp.sum(jnp.square(jax.vmap(net)(x)))))(net)
        for net in (rounded, exact)
    )
    assert got != desired
    np.testing.assert_allclose(got, desired, rtol=0.02)
    for a, b in zip(*map(jtu.tree_leaves, (got_grads, grads)), strict=True):
        assert a.dtype == jnp.float32
        assert np.linalg.norm(a - b) <= 0.05 * np.linalg.norm(b)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"norm": "batch"}, "`norm` must name a known norm, got 'batch'"),
        ({"activation": "swich"}, "Did you mean `swish`"),
        ({"products": "float16"}, "`products` must be one of"),
        ({"block": "simba", "layers_per_block": 4}, "a `SimbaBlock` has 2; got 4. Leave it out"),
        ({"layers_per_block": 0}, "`layers_per_block` must be at least 1"),
        ({"norm": "none", "final_norm": True}, "`final_norm` needs a norm"),
    ],
)
def test_switches_that_cannot_be_are_refused(fields, message):
    from deepcrl.nn import BlockSpec

    with unchecked(), pytest.raises(ValueError, match=message):
        BlockSpec(**fields)


def test_depths_are_multiples_of_the_blocks_own():
    from deepcrl.agents import CRL
    from deepcrl.nn import BlockSpec

    assert CRL(depth=6, trunk=BlockSpec(block="simba")).trunk.block_depth == 2
    assert CRL(depth=9, trunk=BlockSpec(layers_per_block=3)).trunk.block_depth == 3
    with pytest.raises(ValueError, match=r"3 a block.*got 4\. Use 3 or 6"):
        CRL(depth=4, trunk=BlockSpec(layers_per_block=3))


def test_parts_of_ones_own_stand_where_ours_do():
    from deepcrl import Config, register
    from deepcrl.agents import CRL
    from deepcrl.nn import AbstractActivation, AbstractBlock, AbstractNorm, BlockSpec, DenseLayer, ResidualTrunk

    class Shift(eqx.Module):
        scale: float = eqx.field(static=True)

        def __call__(self, x):
            return self.scale * (x - x.mean())

    class Centred(AbstractNorm):
        scale: float = 1.0

        def build(self, width):
            return Shift(self.scale)

    class Square(AbstractActivation):
        def __call__(self, x):
            return x**2

    class OneLayer(AbstractBlock):
        fixed_layers = 1

        def build(self, width, num_layers, spec, *, key):
            return DenseLayer(width, width, spec, key=key)

    spec = BlockSpec(block=OneLayer(), norm=Centred(scale=0.5), activation=Square())
    trunk = ResidualTrunk(WIDTH, 2, spec=spec, key=jr.key(0))
    x = jr.normal(jr.key(1), (WIDTH,))
    desired = np.asarray(x)
    for index in range(2):
        y = np.asarray(trunk.blocks.linear.weight[index]) @ desired
        desired = desired + (0.5 * (y - y.mean())) ** 2
    np.testing.assert_allclose(eqx.filter_jit(trunk)(x), desired, rtol=1e-4)

    config = Config(env="point_u_maze", agent=CRL(depth=3, trunk=spec))
    with pytest.raises(ValueError, match=r"deepcrl.register\(OneLayer\)"):
        config.to_json()
    with registering():
        for part in (Centred, Square, OneLayer):
            register(part)
        assert Config.from_json(config.to_json()) == Config.from_toml(config.to_toml()) == config
        assert BlockSpec(activation="Square") == BlockSpec(activation=Square()) != BlockSpec()
        assert '"activation": "Square"' in config.to_json()
