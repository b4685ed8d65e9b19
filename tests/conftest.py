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


# Compiling is most of the time: what one test has compiled, the others load, in workers and subprocesses too.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="deepcrl-programs-")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
    jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])

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
