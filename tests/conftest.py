"""Strict numerics for the whole run; the package itself is imported inside tests and fixtures.

jaxtyping's hook (see `addopts` in pyproject.toml) checks every annotation of `deepcrl` by beartype, all elements.
"""

import atexit
import os
import pathlib
import shutil
import tempfile

import hypothesis
import jax
import jax.numpy as jnp
import pytest
from strategies import NUMBERS, tiny
from trees import copied


# Compiling is most of the time: it is done with few optimisations, which the numbers of short runs do not need, and what
# one test has compiled the others load, in workers and subprocesses too.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="deepcrl-programs-")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
jax.config.update("jax_disable_most_optimizations", os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] == "1")
jax.config.update(
    "jax_persistent_cache_min_compile_time_secs", float(os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"])
)

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# Shapes compile, so hypothesis draws values; compiling takes seconds, so no deadline.
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, max_examples=50)
hypothesis.settings.register_profile("deep", deadline=None, max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session")
def key():
    """A root key; fold something in before use, so that tests do not share draws."""
    return jax.random.key(20250314)


PROGRAMS = {"trained", "host_loop", "vmapped", "swept"}


def pytest_collection_modifyitems(items):
    """Files that read the same programs come first, together, so that one worker makes them."""
    reading = {item.path for item in items if PROGRAMS & set(item.fixturenames)}
    items.sort(key=lambda item: item.path not in reading)


# Training programs take longest to trace and compile. Each kind is run once, and tests of loop, lanes and metrics read it.


@pytest.fixture(scope="session")
def train():
    from deepcrl import make_train

    return make_train(tiny())


@pytest.fixture(scope="session")
def trained(train):
    """A single run, of seed 0."""
    return train(0)


@pytest.fixture(scope="session")
def epoch(train):
    """Its program of one epoch, which donates."""
    return jax.jit(train.epoch, donate_argnums=0)


@pytest.fixture(scope="session")
def host_loop(train, epoch):
    """The same run by a host loop: copies of the states before each epoch and after the last, and the metrics."""
    state = train.init(0)
    states, metrics = [copied(state)], []
    for _ in range(train.config.epochs):
        donated, (state, new_metrics) = state, epoch(state)
        assert donated.queue.data.observation.is_deleted()
        states.append(copied(state))
        metrics.append(new_metrics)
    return states, jax.tree.map(lambda *leaves: jnp.stack(leaves), *metrics)


@pytest.fixture(scope="session")
def vmapped(train):
    """The lanes of `NUMBERS` as one vmapped program: it, the seeds, the hypers, and what came out."""
    from deepcrl import Hypers

    own = {**train.config.hypers().values, "actor_depth": 8, "critic_depth": 8}
    rows = [Hypers(**(own | changes)) for changes in NUMBERS.values()]
    hypers = jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)
    seeds = jnp.asarray([1 if name == "seed" else 0 for name in NUMBERS])
    program = jax.jit(jax.vmap(train))
    return program, seeds, hypers, program(seeds, hypers)


@pytest.fixture(scope="session")
def swept():
    """Three lanes of two depths and discounts as one sweep; those of one size do not stand together."""
    from deepcrl import sweep

    return sweep(tiny(), seeds=(0, 0, 4), depth=(8, 4, 8), gamma=(0.99, 0.99, 0.9), zipped=True)


@pytest.fixture(autouse=True)
def long_runs_are_optimised(request):
    """They spend their time running."""
    if not any(request.node.get_closest_marker(name) for name in ("slow", "learning", "gpu")):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "0")
        jax.config.update("jax_disable_most_optimizations", False)
        yield
    jax.config.update("jax_disable_most_optimizations", os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] == "1")


@pytest.fixture(scope="module", autouse=True)
def programs_are_forgotten_in_time():
    """Each holds about ten memory maps; beyond the 65,530 that Linux gives a process, the compiler crashes."""
    yield
    maps = pathlib.Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 30_000:
        jax.clear_caches()
