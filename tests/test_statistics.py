"""Statistics over lanes, against SciPy."""

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.stats
from hypothesis import given


NUMBERS = st.floats(-100.0, 100.0)


@given(values=hnp.arrays(np.float64, hnp.array_shapes(max_dims=1, max_side=13), elements=NUMBERS))
def test_the_interquartile_mean_is_scipys_trimmed_mean(values):
    from deepcrl.eval import interquartile_mean

    np.testing.assert_allclose(interquartile_mean(values), scipy.stats.trim_mean(values, 0.25), atol=1e-9)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_the_interquartile_mean_along_an_axis(axis):
    from deepcrl.eval import interquartile_mean

    values = np.random.default_rng(0).normal(size=(9, 6))
    expected = scipy.stats.trim_mean(values, 0.25, axis=axis)
    np.testing.assert_allclose(interquartile_mean(values, axis=axis), expected)
    np.testing.assert_allclose(interquartile_mean(values), scipy.stats.trim_mean(values, 0.25, axis=None))


def test_what_is_not_a_number_is_not_trimmed_away():
    from deepcrl.eval import interquartile_mean

    values = np.array([[0.0, 1.0, 2.0, np.nan], [0.0, 1.0, 3.0, 9.0]])
    np.testing.assert_array_equal(interquartile_mean(values, axis=1), [np.nan, 2.0])
    assert np.isnan(interquartile_mean(values))


def test_no_values_have_no_interquartile_mean():
    from deepcrl.eval import interquartile_mean

    with pytest.raises(ValueError, match="at least one value"):
        interquartile_mean(np.zeros(0))


# 20,000 draws on both sides: an end of the interval is off by about 0.01 standard deviations of the data; four times
# that is allowed.
@pytest.mark.parametrize("trimmed", [False, True])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_intervals_are_scipys(level, trimmed):
    from deepcrl.eval import bootstrap_interval, interquartile_mean

    values = np.random.default_rng(1).normal(size=11)
    theirs = (lambda x, axis: scipy.stats.trim_mean(x, 0.25, axis=axis)) if trimmed else np.mean
    expected = scipy.stats.bootstrap(
        (values,), theirs, n_resamples=20_000, confidence_level=level, method="percentile", rng=3
    ).confidence_interval
    statistic = interquartile_mean if trimmed else np.mean
    actual = bootstrap_interval(values, statistic=statistic, level=level, draws=20_000)
    np.testing.assert_allclose(actual, expected, atol=0.04)


def test_stratified_intervals_are_scipys_of_several_samples():
    from deepcrl.eval import bootstrap_interval, interquartile_mean

    rng = np.random.default_rng(2)
    easy, hard = rng.normal(5.0, size=6), rng.normal(size=9)
    both = lambda a, b, axis: scipy.stats.trim_mean(np.concatenate([a, b], axis=axis), 0.25, axis=axis)
    expected = scipy.stats.bootstrap(
        (easy, hard), both, n_resamples=20_000, method="percentile", rng=3
    ).confidence_interval
    values, strata = np.concatenate([easy, hard]), ["easy"] * 6 + ["hard"] * 9
    order = rng.permutation(15)  # strata are told by name, not by place
    shuffled = [strata[i] for i in order]
    options = {"statistic": interquartile_mean, "draws": 20_000}
    actual = bootstrap_interval(values[order], strata=shuffled, **options)
    np.testing.assert_allclose(actual, expected, atol=0.06)
    low, high = bootstrap_interval(values, **options)  # without strata the share of hard tasks varies as well
    assert high - low > 1.5 * (actual[1] - actual[0])


def test_strata_of_one_value_each_leave_nothing_to_draw():
    from deepcrl.eval import bootstrap_interval

    assert bootstrap_interval(np.array([1.0, 2.0, 6.0]), strata="abc") == (3.0, 3.0)


def test_strata_must_be_one_per_value():
    from deepcrl.eval import bootstrap_interval

    with pytest.raises(ValueError, match="3 values, 2 strata"):
        bootstrap_interval(np.ones(3), strata=["a", "b"])
