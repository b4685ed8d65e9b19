"""A lane that diverges is marked and stops learning; the others compute what they would have computed."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from strategies import NUMBERS
from trees import assert_equal, copied, lane


POISONED = ("actor_lr", "critic_lr", "alpha_lr", "target_entropy", "logsumexp_penalty")  # each in the lane of its name
HEALTHY = [place for place, name in enumerate(NUMBERS) if name not in POISONED]


@pytest.fixture(scope="module")
def poisoned(vmapped):
    program, seeds, hypers, _ = vmapped
    for place, name in enumerate(NUMBERS):
        if name in POISONED:
            hypers = eqx.tree_at(
                lambda h, name=name: h.values[name], hypers, getattr(hypers, name).at[place].set(jnp.nan)
            )
    return program(seeds, hypers)


def test_poisoned_lanes_are_marked_and_no_other(poisoned, vmapped):
    marked = np.array([name in POISONED for name in NUMBERS])
    np.testing.assert_array_equal(poisoned.state.diverged, marked)
    np.testing.assert_array_equal(poisoned.metrics.diverged, np.stack([marked, marked], axis=1))
    assert not vmapped[-1].state.diverged.any() and not vmapped[-1].metrics.diverged.any()


def test_their_agent_stays_the_last_finite_one(poisoned, host_loop):
    for place, name in enumerate(NUMBERS):
        if name in POISONED:  # from the first update on
            assert_equal(lane(poisoned.state.agent, place), host_loop[0][0].agent)
    np.testing.assert_array_equal(poisoned.state.grad_steps, [0 if name in POISONED else 8 for name in NUMBERS])
    np.testing.assert_array_equal(poisoned.state.env_steps, 400)  # they still act, so that lanes stay in step


def test_other_lanes_are_untouched(poisoned, vmapped):
    for place in HEALTHY:
        assert_equal(lane(poisoned, place), lane(vmapped[-1], place))


@pytest.mark.parametrize("where", ["buffer", "observation", "optimiser"])
def test_a_lane_that_diverges_later_keeps_what_it_had_learnt(epoch, host_loop, where):
    state = host_loop[0][1]
    spoilt = {
        "buffer": lambda s: s.queue.data.observation,
        "observation": lambda s: s.obs.observation,
        "optimiser": lambda s: jax.tree.leaves(s.agent.critic_opt.nu)[0],
    }[where]
    before = copied(eqx.tree_at(spoilt, state, jnp.full_like(spoilt(state), jnp.nan)))
    marked, metrics = epoch(copied(before))
    assert bool(marked.diverged) and bool(metrics.diverged)
    assert int(marked.grad_steps) == int(state.grad_steps) == 4
    assert_equal(marked.agent, before.agent)


@pytest.mark.parametrize("value, finite", [(1.0, True), (jnp.nan, False), (jnp.inf, False), (-jnp.inf, False)])
def test_all_finite_looks_at_every_float_and_nothing_else(value, finite):
    from deepcrl.train._divergence import all_finite

    tree = {"a": jnp.ones((2, 3)).at[1, 2].set(value), "b": jnp.int32(2), "c": jnp.bool_(True), "d": jnp.ones(())}
    assert bool(all_finite(tree)) is finite
    assert bool(all_finite({"count": jnp.int32(1)}))
