"""Energies and losses, values and gradients, against float64 NumPy; every check must fail for the known wrong versions."""

import functools as ft
import inspect

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import references as ref
from hypothesis import example, given


BATCH, REPR = 5, 4
ENERGY_NAMES, LOSS_NAMES = list(ref.ENERGIES), list(ref.LOSSES)


def energy_from_name(name):
    from deepcrl._registry import as_part
    from deepcrl.losses import AbstractEnergy

    return as_part("energy", AbstractEnergy, name)


def loss_from_name(name):
    from deepcrl._registry import as_part
    from deepcrl.losses import AbstractContrastiveLoss

    return as_part("loss", AbstractContrastiveLoss, name)


TOLERANCE = 2e-6  # of float32 arithmetic on values of size 1


def embeddings(seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    return tuple(jnp.asarray(scale * rng.normal(size=(BATCH, REPR)), jnp.float32) for _ in range(2))


def float64(*arrays):
    return tuple(np.asarray(array, np.float64) for array in arrays)


def square_matrices(bound):
    elements = st.floats(-bound, bound, width=32, allow_subnormal=False)
    return hnp.arrays(np.float32, (BATCH, BATCH), elements=elements)


def assert_close(actual, desired, tolerance, scale=1.0):
    actual = np.asarray(actual, np.float64)
    assert np.all(np.isfinite(actual))
    np.testing.assert_allclose(actual, desired, rtol=0.0, atol=tolerance * max(1.0, scale))


# Energies


@ft.cache
def program(name):
    """Of one energy, all pairs at once and pair by pair: the values, and gradients of a sum weighted unevenly."""
    energy = energy_from_name(name)
    return with_gradients([energy.pairwise, jax.vmap(jax.vmap(energy, (None, 0)), (0, None))])


def with_gradients(forms):
    weight = jnp.asarray(uneven(), jnp.float32)

    @jax.jit
    def of(phi, psi):
        grad = lambda form: jax.grad(lambda phi, psi: jnp.sum(weight * form(phi, psi)), (0, 1))(phi, psi)
        return [(form(phi, psi), grad(form)) for form in forms]

    return of


def uneven():
    return np.random.default_rng(1).normal(size=(BATCH, BATCH))


def assert_energy_is(value, grads, name, phi, psi):
    """Against the float64 closed form."""
    reference, weight = ref.ENERGIES[name], uneven()
    phi64, psi64 = float64(phi, psi)
    assert_close(value, reference(phi64, psi64), 2e-5)
    assert_close(grads[0], ref.numerical_gradient(lambda x: (weight * reference(x, psi64)).sum(), phi64), 1e-4)
    assert_close(grads[1], ref.numerical_gradient(lambda y: (weight * reference(phi64, y)).sum(), psi64), 1e-4)


@pytest.mark.parametrize("name", ENERGY_NAMES)
def test_energies_of_all_pairs_and_of_a_pair_are_the_closed_form(name):
    for value, grads in program(name)(*embeddings()):
        assert_energy_is(value, grads, name, *embeddings())


def root_without_floor(phi, psi):
    return -jnp.sqrt(jnp.sum(jnp.square(phi[:, None, :] - psi[None, :, :]), axis=-1))


def cosine_by_the_norm_of_the_whole_array(phi, psi):
    return phi @ psi.T / (jnp.linalg.norm(phi) * jnp.linalg.norm(psi))


WRONG_ENERGIES = {
    "norm without the minus sign": ("norm", lambda phi, psi: -root_without_floor(phi, psi)),
    "norm squared": ("norm", lambda phi, psi: -jnp.square(root_without_floor(phi, psi))),
    "norm with 1e-3 under the root": (
        "norm",
        lambda phi, psi: -jnp.sqrt(jnp.square(root_without_floor(phi, psi)) + 1e-3),
    ),
    "goals along rows": ("norm", lambda phi, psi: root_without_floor(psi, phi)),
    "l2 not squared": ("l2_squared", root_without_floor),
    "l1 averaged": ("l1", lambda phi, psi: -jnp.mean(jnp.abs(phi[:, None, :] - psi[None, :, :]), axis=-1)),
    "goals along rows of dot": ("dot", lambda phi, psi: psi @ phi.T),
    "cosine by the norm of the whole array": ("cosine", cosine_by_the_norm_of_the_whole_array),
    "cosine not normalised": ("cosine", lambda phi, psi: phi @ psi.T),
}


def test_wrong_energies_fail():
    every = with_gradients([pairwise for _, pairwise in WRONG_ENERGIES.values()])(*embeddings())
    for (wrong, (name, _)), (value, grads) in zip(WRONG_ENERGIES.items(), every, strict=True):
        with pytest.raises(AssertionError):
            assert_energy_is(value, grads, name, *embeddings())
            pytest.fail(wrong)


def pairwise_of(name, phi, psi):
    return program(name)(phi, psi)[0][0]


@pytest.mark.parametrize("name", ENERGY_NAMES)
@given(
    phi=hnp.arrays(np.float32, (BATCH, REPR), elements=st.floats(-10, 10, width=32)),
    psi=hnp.arrays(np.float32, (BATCH, REPR), elements=st.floats(-10, 10, width=32)),
)
def test_energy_of_any_embeddings(name, phi, psi):
    values = pairwise_of(name, jnp.asarray(phi), jnp.asarray(psi))
    expected = ref.ENERGIES[name](*float64(phi, psi))
    # A squared distance is a difference of squared norms (at most 3 x 20^2 each): its error is a few times 1200 eps.
    error = 8.0 * 1200.0 * np.finfo(np.float32).eps
    if name == "norm":
        assert_close(np.square(values), np.square(expected), error)
    else:
        assert_close(values, expected, error if name == "l2_squared" else 1e-4)


def accurate_where_distances_are_small(pairwise):
    """Embeddings near 100, an own goal at a distance near 0.01 each: errors below 1e-4."""
    rng = np.random.default_rng(3)
    psi = rng.normal(size=(BATCH, REPR))
    phi = psi + 0.01 * rng.normal(size=psi.shape)
    phi, psi = (jnp.asarray(x + 100.0, jnp.float32) for x in (phi, psi))
    assert_close(jax.jit(pairwise)(phi, psi), ref.norm_energy(*float64(phi, psi)), 1e-4)


def norm_by_product_without_centring(phi, psi):
    norms = jnp.sum(jnp.square(phi), axis=1)[:, None] + jnp.sum(jnp.square(psi), axis=1)[None, :]
    return -jnp.sqrt(jnp.maximum(norms - 2.0 * jnp.matmul(phi, psi.T, precision="highest"), 1e-8))


def test_small_distances_between_large_embeddings_stay_accurate():
    from deepcrl.losses import NormEnergy

    accurate_where_distances_are_small(NormEnergy().pairwise)
    with pytest.raises(AssertionError):
        accurate_where_distances_are_small(norm_by_product_without_centring)


@pytest.mark.parametrize("name", ["norm", "l2_squared", "l1"])
def test_distances_do_not_change_under_a_common_shift(name):
    phi, psi = (jnp.round(x * 256.0) / 256.0 for x in embeddings())  # exact after the shift too
    assert_close(pairwise_of(name, phi + 100.0, psi + 100.0), pairwise_of(name, phi, psi), 2e-5)


# Losses of given logits


@ft.cache
def program_of_losses():
    from deepcrl.losses import logsumexp_penalty

    losses = {name: loss_from_name(name) for name in LOSS_NAMES} | {"penalty": logsumexp_penalty}
    return jax.jit(lambda logits: {name: jax.value_and_grad(loss)(logits) for name, loss in losses.items()})


REFERENCES = ref.LOSSES | {"penalty": ref.logsumexp_penalty}


def assert_loss_is(value, grad, name, logits):
    """Value and gradient against float64; both grow with the logits, the penalty's with their squares."""
    (logits64,) = float64(logits)
    scale = max(1.0, np.max(np.abs(logits64))) ** (2 if name == "penalty" else 1)
    assert_close(value, REFERENCES[name](logits64), TOLERANCE, scale)
    assert_close(grad, ref.numerical_gradient(REFERENCES[name], logits64), TOLERANCE, scale)


@given(logits=square_matrices(100.0))
@example(logits=np.zeros((BATCH, BATCH), np.float32))
@example(logits=-100.0 * np.eye(BATCH, dtype=np.float32))
@example(logits=1e4 * np.random.default_rng(4).normal(size=(BATCH, BATCH)).astype(np.float32))
def test_losses_and_penalty_are_the_closed_form(logits):
    for name, (value, grad) in program_of_losses()(jnp.asarray(logits)).items():
        assert_loss_is(value, grad, name, logits)


def forward(logits, axis=1):
    return -jnp.mean(jnp.diagonal(logits) - jax.nn.logsumexp(logits, axis=axis))


WRONG_LOSSES = {
    "InfoNCE over the anchors": ("infonce", lambda logits: forward(logits, axis=0)),
    "InfoNCE summed": ("infonce", lambda logits: BATCH * forward(logits)),
    "InfoNCE without the positive": (
        "infonce",
        lambda logits: forward(jnp.where(jnp.eye(BATCH, dtype=bool), logits - 100.0, logits)) - 100.0,
    ),
    "backward InfoNCE over the goals": ("backward_infonce", forward),
    "symmetric InfoNCE averaged": ("symmetric_infonce", lambda logits: (forward(logits) + forward(logits.T)) / 2.0),
    "symmetric InfoNCE forward twice": ("symmetric_infonce", lambda logits: 2.0 * forward(logits)),
    "binary NCE without labels": ("binary_nce", lambda logits: -jnp.mean(jax.nn.sigmoid(logits))),
    "binary NCE with every pair a positive": ("binary_nce", lambda logits: -jnp.mean(jax.nn.log_sigmoid(logits))),
    "binary NCE summed over goals": (
        "binary_nce",
        lambda logits: BATCH * jnp.mean(optax.sigmoid_binary_cross_entropy(logits, jnp.eye(BATCH))),
    ),
    "FlatNCE with the diagonal": (
        "flatnce",
        lambda logits: jnp.mean(jax.nn.logsumexp(logits - jnp.diagonal(logits)[:, None], axis=1)),
    ),
    "FlatNCE over the anchors": (
        "flatnce",
        lambda logits: jnp.mean(
            jax.nn.logsumexp(jnp.where(jnp.eye(BATCH, dtype=bool), -jnp.inf, logits), axis=0) - jnp.diagonal(logits)
        ),
    ),
    "penalty over the anchors": (
        "penalty",
        lambda logits: jnp.mean(jnp.square(jax.nn.logsumexp(logits, axis=0))),
    ),
    "penalty squared after the mean": (
        "penalty",
        lambda logits: jnp.square(jnp.mean(jax.nn.logsumexp(logits, axis=1))),
    ),
    "penalty on the positives": ("penalty", lambda logits: jnp.mean(jnp.square(jnp.diagonal(logits)))),
}


def test_wrong_losses_fail():
    logits = jnp.asarray(np.random.default_rng(2).normal(size=(BATCH, BATCH)), jnp.float32)
    every = jax.jit(lambda x: {wrong: jax.value_and_grad(loss)(x) for wrong, (_, loss) in WRONG_LOSSES.items()})(logits)
    for wrong, (value, grad) in every.items():
        with pytest.raises(AssertionError):
            assert_loss_is(value, grad, WRONG_LOSSES[wrong][0], logits)
            pytest.fail(wrong)
    negatives, ours = ~np.eye(BATCH, dtype=bool), np.asarray(program_of_losses()(logits)["binary_nce"][1])
    assert np.all(ours[negatives] > 0.0) and np.all(np.diagonal(ours) < 0.0)
    assert np.all(every["binary NCE without labels"][1] < 0.0)  # pushes negatives up


# Energies under losses


@ft.cache
def all_losses_of(name):
    """Every loss and the penalty of one energy, with gradients in both embeddings: one compiled function."""
    from deepcrl.losses import logsumexp_penalty

    energy = energy_from_name(name)
    losses = {loss: loss_from_name(loss) for loss in LOSS_NAMES} | {"penalty": logsumexp_penalty}

    @jax.jit
    def evaluate(phi, psi):
        of = lambda loss: jax.value_and_grad(lambda phi, psi: loss(energy.pairwise(phi, psi)), (0, 1))(phi, psi)
        return {loss_name: of(loss) for loss_name, loss in losses.items()}

    return evaluate


@pytest.mark.parametrize("name", ENERGY_NAMES)
def test_gradient_of_every_loss_through_every_energy(name):
    phi, psi = embeddings(5)
    phi64, psi64 = float64(phi, psi)
    energy = ref.ENERGIES[name]
    for loss_name, (value, (phi_grad, psi_grad)) in all_losses_of(name)(phi, psi).items():
        loss = REFERENCES[loss_name]
        expected = loss(energy(phi64, psi64))
        of_phi = ref.numerical_gradient(lambda x, loss=loss: loss(energy(x, psi64)), phi64)
        of_psi = ref.numerical_gradient(lambda y, loss=loss: loss(energy(phi64, y)), psi64)
        scale = max(np.max(np.abs(of_phi)), np.max(np.abs(of_psi)), abs(expected))
        assert_close(value, expected, 5e-5, scale)
        assert_close(phi_grad, of_phi, 5e-5, scale)
        assert_close(psi_grad, of_psi, 5e-5, scale)


def coinciding_embeddings():
    phi, _ = embeddings(6)
    return {
        "own goals": (phi, phi),
        "far from the origin": (phi + 1000.0, phi + 1000.0),
        "all of the batch": (jnp.tile(phi[:1], (BATCH, 1)), jnp.tile(phi[:1], (BATCH, 1))),
        "zero": (jnp.zeros_like(phi), jnp.zeros_like(phi)),
        "one zero": (phi, phi.at[2].set(0.0)),
    }


@pytest.mark.parametrize("name", ENERGY_NAMES)
def test_gradients_are_finite_where_embeddings_coincide(name):
    for where, (phi, psi) in coinciding_embeddings().items():
        of_losses, of_energy = all_losses_of(name)(phi, psi), program(name)(phi, psi)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((of_losses, of_energy))), where


def test_root_without_floor_has_no_gradient_where_embeddings_coincide():
    phi, psi = coinciding_embeddings()["own goals"]
    assert np.all(np.isnan(jax.grad(lambda phi: forward(root_without_floor(phi, psi)))(phi)))


def test_norm_energy_of_coinciding_embeddings_is_at_its_floor():
    zeros = jnp.zeros((BATCH, REPR))
    for value, _ in program("norm")(zeros, zeros):
        assert_close(value, -1e-4, 1e-9)


# Metrics


@ft.cache
def jitted_metrics():
    from deepcrl.losses import contrastive_metrics

    return jax.jit(contrastive_metrics)


def assert_metrics_are(metrics, logits):
    (logits64,) = float64(logits)
    expected = ref.contrastive_metrics(logits64)
    for name, value in expected.items():
        assert_close(getattr(metrics, name), value, TOLERANCE, np.max(np.abs(logits64)))


@given(logits=square_matrices(100.0))
@example(logits=np.eye(BATCH, dtype=np.float32))
@example(logits=np.zeros((BATCH, BATCH), np.float32))
def test_contrastive_metrics(logits):
    assert_metrics_are(jitted_metrics()(jnp.asarray(logits)), logits)


def test_metrics_of_the_transposed_matrix_fail():
    logits = np.random.default_rng(8).normal(size=(BATCH, BATCH)).astype(np.float32)
    logits[:, 0] += 10.0
    with pytest.raises(AssertionError):
        assert_metrics_are(jitted_metrics()(jnp.asarray(logits.T)), logits)


# Registry


def test_every_final_class_has_a_name_and_a_reference_and_objects_pass_through():
    from deepcrl import losses, registered

    for base, from_name, references in (
        (losses.AbstractEnergy, energy_from_name, ref.ENERGIES),
        (losses.AbstractContrastiveLoss, loss_from_name, ref.LOSSES),
    ):
        registry = registered(base)
        public = {cls for _, cls in inspect.getmembers(losses, inspect.isclass) if issubclass(cls, base)}
        assert public - {base} == set(registry.values())
        assert set(registry) == set(references)
        for name, cls in registry.items():
            assert type(from_name(name)) is cls


def test_unknown_names_are_told_the_close_ones():
    for from_name, given_name, hint in (
        (energy_from_name, "nrom", "Did you mean `norm`"),
        (energy_from_name, "l2", "`energy` must name a known energy, got 'l2'"),
        (energy_from_name, "xyz", "Known names: `cosine`, `dot`, `l1`, `l2_squared`, `mrn`, `norm`"),
        (loss_from_name, "symetric_infonce", "Did you mean `symmetric_infonce`"),
        (loss_from_name, "???", "Known names: `backward_infonce`, `binary_nce`, `flatnce`, `infonce`, `symmetric_info"),
    ):
        with pytest.raises(ValueError) as error:
            from_name(given_name)
        assert hint in str(error.value)


# Learning


def test_a_batch_is_learnt_by_every_energy_and_loss():
    """Embeddings that are free to move, in place of networks: `test_crl.py` has those."""
    adam = optax.adam(0.1)
    pairs = [(energy, "infonce") for energy in ENERGY_NAMES] + [("norm", loss) for loss in LOSS_NAMES]

    def learnt(energy, loss):
        def step(carry, _):
            embedded, opt_state = carry
            grads = jax.grad(lambda phi, psi: loss(energy.pairwise(phi, psi)), (0, 1))(*embedded)
            with jax.numpy_dtype_promotion("standard"):  # inside optax
                updates, opt_state = adam.update(grads, opt_state)
            return (optax.apply_updates(embedded, updates), opt_state), None

        (embedded, _), _ = jax.lax.scan(step, (embeddings(7), adam.init(embeddings(7))), length=200)
        return energy.pairwise(*embedded)

    every = jax.jit(lambda: [learnt(energy_from_name(energy), loss_from_name(loss)) for energy, loss in pairs])()
    for pair, logits in zip(pairs, every, strict=True):
        assert np.isfinite(logits).all(), pair
        assert (np.argmax(logits, axis=1) == np.arange(BATCH)).all(), pair


# The quasimetric


def distances(pairwise, x):
    return -np.asarray(pairwise(x, x), np.float64)


def triangle_excess(distance):
    """The largest amount by which a way around is shorter than the direct one."""
    around = distance[:, :, None] + distance[None, :, :]  # from i by j to k
    return (distance[:, None, :] - around).max()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 100.0])
def test_the_mrn_energy_is_a_quasimetric(scale):
    """Of 64 points, so 262144 triples: never negative, the triangle inequality, and another way back than there."""
    from deepcrl.losses import MRNEnergy, SquaredL2Energy

    x = jnp.asarray(scale * np.random.default_rng(0).normal(size=(64, 6)), jnp.float32)
    distance = distances(MRNEnergy().pairwise, x)
    assert distance.min() >= 0.0
    assert np.diagonal(distance).max() <= 1.01e-4
    assert triangle_excess(distance) <= 1e-5 * scale
    assert (np.abs(distance - distance.T)[~np.eye(64, dtype=bool)] > 0.1 * scale).mean() > 0.5
    assert triangle_excess(distances(SquaredL2Energy().pairwise, x)) > 0.1 * scale**2  # the check can fail


def test_the_mrn_energy_refuses_an_odd_size():
    from deepcrl.losses import MRNEnergy

    with pytest.raises(ValueError, match="got 3 features"):
        MRNEnergy()(jnp.ones(3), jnp.ones(3))


# Temporal differences


def test_td_parts_are_their_formulas():
    """Against NumPy in float64, on random batches; the wrong versions are told apart by the agents' tests."""
    from deepcrl.losses import smoothed_action, soft_value, td_loss, td_target

    rng = np.random.default_rng(0)
    values, action, noise = rng.normal(size=(64, 2)), rng.uniform(-1, 1, (64, 3)), rng.normal(size=(64, 3))
    reward, log_prob, target, terminated = (*rng.normal(size=(3, 64)), rng.random(64) < 0.5)
    as_float = lambda *arrays: [jnp.asarray(array, jnp.float32) for array in arrays]
    gamma, alpha = jnp.float32(0.9), jnp.float32(0.2)

    soft = jax.vmap(soft_value, (0, 0, None))(*as_float(values, log_prob), alpha)
    assert_close(soft, values.min(1) - 0.2 * log_prob, 1e-6)
    y = jax.vmap(td_target, (0, 0, 0, None))(*as_float(reward), jnp.asarray(terminated), *as_float(target), gamma)
    assert_close(y, reward + 0.9 * (1.0 - terminated) * target, 1e-6)
    loss = jax.vmap(td_loss)(*as_float(values, target))
    assert_close(loss, 0.5 * ((values - target[:, None]) ** 2).sum(1), 1e-5)
    smoothed = jax.vmap(lambda a, n: smoothed_action(a, n, 0.6, 0.5))(*as_float(action, noise))
    assert_close(smoothed, np.clip(action + np.clip(0.6 * noise, -0.5, 0.5), -1.0, 1.0), 1e-6)


def test_a_terminated_step_does_not_bootstrap_even_from_what_is_not_finite():
    from deepcrl.losses import td_target

    one = lambda terminated: td_target(
        jnp.float32(1.0), jnp.asarray(terminated), jnp.float32(jnp.inf), jnp.float32(0.9)
    )
    assert one(True) == 1.0
    assert one(False) == jnp.inf


def test_averaged_targets_are_averages():
    from deepcrl.agents import polyak

    rng = np.random.default_rng(0)
    target, online = rng.normal(size=(2, 5, 4))
    mine = polyak(jnp.asarray(target, jnp.float32), jnp.asarray(online, jnp.float32), jnp.float32(0.005))
    assert_close(mine, 0.995 * target + 0.005 * online, 1e-6)
