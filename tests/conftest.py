"""Strict numerics for the whole run; the package itself is imported inside tests and fixtures.

jaxtyping's hook (see `addopts` in pyproject.toml) checks every annotation of `deepcrl` by beartype, all elements.
"""

import atexit
import os
import shutil
import tempfile

import hypothesis
import jax
import pytest
from strategies import tiny


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


@pytest.fixture(scope="session")
def train():
    from deepcrl import make_train

    return make_train(tiny())


@pytest.fixture(scope="session")
def swept():
    """Three lanes of two depths, widths and discounts, trained by one program; those of one size do not stand together."""
    from deepcrl import sweep

    settings = {"depth": (4, 8, 4), "width": (5, 8, 5), "gamma": (0.9, 0.99, 0.99)}
    return sweep(tiny(), seeds=(3, 3, 4), zipped=True, **settings)


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
