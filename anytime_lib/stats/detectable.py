"""How large a difference would a study of some size find, and how often?

Source: Miller, "Adding Error Bars to Evals" (arXiv 2411.00640), section 5.
"""

from functools import cache

import numpy as np
from scipy import optimize
from scipy import stats as distributions

from anytime_lib.index import Floats


def power_of(
    effect: float,
    n_problems: int,
    n_samples: int,
    *,
    sd_between: float = 0.1,
    sd_within: float = 0.35,
    wider: float = 1.0,
) -> float:
    """How often the paired t test (two-sided, .05) finds a true difference in the estimand; NaN for fewer than two
    problems, and where nothing varies or is known to.

    The variance of a problem's difference is sd_between^2 (of the true one) + 2 sd_within^2 / n_samples (of what one
    trace adds to the estimand, around its problem's mean); the defaults fit multiple choice. `wider`: how many times
    as wide as that noise makes it the interval is (`crossfit`: somewhat, where problems and samples are few).
    """
    standard_error = float(np.sqrt((sd_between**2 + 2 * sd_within**2 / max(n_samples, 1)) / max(n_problems, 1)))
    if n_problems < 2 or n_samples < 1 or not standard_error > 0:
        return float("nan")
    critical = wider * distributions.t.isf(0.05 / 2, n_problems - 1) * _spreads(n_problems - 1)
    shift = effect / standard_error
    return float((distributions.norm.cdf(shift - critical) + distributions.norm.cdf(-shift - critical)).mean())


@cache
def _spreads(df: int) -> Floats:
    """What an estimated spread may be, relative to the true one: the t statistic's power is a mean over it. (scipy's
    noncentral t gives NaN for few problems.)"""
    return np.asarray(np.sqrt(distributions.chi2.ppf((np.arange(2000) + 0.5) / 2000, df) / df))


def min_detectable_effect(n_problems: int, n_samples: int, **spreads: float) -> float:
    """The smallest true difference that is found with a power of .8; `spreads`, and where there is none (NaN), as of
    `power_of`."""
    most = 1.0
    while (power := power_of(most, n_problems, n_samples, **spreads)) < 0.8:
        most *= 2
    if np.isnan(power):
        return power
    return float(optimize.brentq(lambda effect: power_of(effect, n_problems, n_samples, **spreads) - 0.8, 0.0, most))
