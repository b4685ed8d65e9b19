"""How far a summary of a few runs can be trusted."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float


def interquartile_mean(values: Float[np.ndarray, "*axes"], axis: int | None = None) -> Any:
    """The mean of the middle half: of n values, the lowest and the highest n // 4 do not count.

    Less at the mercy of single runs than the mean, and less wasteful than the median. Of fewer than four values it is
    the mean.

    **Arguments:**

    - `values`: one or more.
    - `axis`: along which; over all of them by default.

    **Returns:** a number, or an array without that axis; not a number where a value is none.

    **Raises:** `ValueError` for no values.

    ??? cite "Reference"
        ```bibtex
        @inproceedings{agarwal2021precipice,
          title={Deep Reinforcement Learning at the Edge of the Statistical Precipice},
          author={Agarwal, Rishabh and Schwarzer, Max and Castro, Pablo Samuel and Courville, Aaron and
                  Bellemare, Marc G.},
          booktitle={Advances in Neural Information Processing Systems},
          year={2021}
        }
        ```
    """
    ordered = np.sort(values.ravel() if axis is None else np.moveaxis(values, axis, -1), axis=-1)
    count = ordered.shape[-1]
    if count == 0:
        raise ValueError("An interquartile mean needs at least one value.")
    middle = ordered[..., count // 4 : count - count // 4].mean(axis=-1)
    return np.where(np.isnan(ordered[..., -1]), np.nan, middle)[()]  # what is not a number is sorted last


def bootstrap_interval(
    values: Float[np.ndarray, " unit"],
    *,
    statistic: Callable[..., Any] = np.mean,
    strata: Sequence[Hashable] | None = None,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """The percentile bootstrap interval of a mean, or of another statistic.

    Few units give intervals that are too short: with three lanes a 95 % interval holds the true mean less often than
    that, and with two it is the two values themselves.

    **Arguments:**

    - `values`: of what was drawn independently: lanes, or the episodes of one policy.
    - `statistic`: `statistic(values, axis=1)`, for example [`deepcrl.eval.interquartile_mean`][].
    - `strata`: the stratum of every value, for example its task: values are drawn anew within each stratum, which keeps
        its share. By default all values are one stratum.
    - `level`: how often such intervals hold the true value, in (0, 1).
    - `draws`: of as many values, with replacement.
    - `seed`: of the draws.

    **Returns:** both ends.

    **Raises:** `ValueError` for no values, a level out of range, or strata that are not one per value.

    ??? cite "References"
        The bootstrap, and its stratified form for runs on several tasks:
        ```bibtex
        @article{efron1979bootstrap,
          title={Bootstrap Methods: Another Look at the Jackknife},
          author={Efron, Bradley},
          journal={The Annals of Statistics},
          year={1979}
        }
        @inproceedings{agarwal2021precipice,
          title={Deep Reinforcement Learning at the Edge of the Statistical Precipice},
          author={Agarwal, Rishabh and Schwarzer, Max and Castro, Pablo Samuel and Courville, Aaron and
                  Bellemare, Marc G.},
          booktitle={Advances in Neural Information Processing Systems},
          year={2021}
        }
        ```
    """
    if values.size == 0 or not 0.0 < level < 1.0:
        raise ValueError(f"An interval needs values and a level in (0, 1), got {values.size} values and level {level}.")
    if strata is not None and len(strata) != values.size:
        raise ValueError(f"`strata` must name one stratum per value: {values.size} values, {len(strata)} strata.")
    members: dict[Hashable, list[int]] = {}
    for unit, stratum in enumerate([None] * values.size if strata is None else strata):
        members.setdefault(stratum, []).append(unit)
    rng = np.random.default_rng(seed)
    picks = [np.array(units)[rng.integers(len(units), size=(draws, len(units)))] for units in members.values()]
    resampled = statistic(values[np.concatenate(picks, axis=1)], axis=1)
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap_difference(
    first: Float[np.ndarray, " unit"],
    second: Float[np.ndarray, " unit"],
    *,
    statistic: Callable[..., Any] = np.mean,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """The percentile bootstrap interval of `statistic(second) - statistic(first)`, of two groups drawn independently.

    That two intervals overlap says little of the difference; this one does: the groups differ if it leaves out 0.

    **Arguments:** as for [`deepcrl.eval.bootstrap_interval`][], for each group.

    **Returns:** both ends.

    **Raises:** `ValueError` for a group without values, or a level out of range.
    """
    if first.size == 0 or second.size == 0 or not 0.0 < level < 1.0:
        raise ValueError(
            f"The interval of a difference needs values of both groups and a level in (0, 1), got {first.size} and "
            f"{second.size} values and level {level}."
        )
    rng = np.random.default_rng(seed)
    drawn = [statistic(group[rng.integers(group.size, size=(draws, group.size))], axis=1) for group in (first, second)]
    low, high = np.quantile(drawn[1] - drawn[0], [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
