"""How large a difference would a study of some size find?"""

import numpy as np
from scipy import optimize
from scipy import stats as distributions


def min_detectable_effect(
    n_problems: int, n_samples: int, *, sd_between: float = 0.1, sd_within: float = 0.35, wider: float = 1.0
) -> float:
    """The smallest true difference in the estimand that the paired t test (two-sided, .05) finds with a power of .8;
    NaN for fewer than two problems, and where nothing varies or is known to. Source: Miller, "Adding Error Bars to
    Evals" (arXiv 2411.00640), section 5.

    The variance of a problem's difference is sd_between^2 (of the true one) + 2 sd_within^2 / n_samples (of what one
    trace adds to the estimand, around its problem's mean); the defaults fit multiple choice. `wider`: how many times
    as wide as that noise makes it the interval is (`crossfit`: somewhat, where problems and samples are few).
    """
    standard_error = float(np.sqrt((sd_between**2 + 2 * sd_within**2 / max(n_samples, 1)) / max(n_problems, 1)))
    if n_problems < 2 or n_samples < 1 or not standard_error > 0:
        return float("nan")
    df = n_problems - 1
    critical = wider * distributions.t.isf(0.05 / 2, df)
    # The t statistic's power as a mean over its estimated spread: scipy's noncentral t gives NaN for few problems.
    spread = np.sqrt(distributions.chi2.ppf((np.arange(2000) + 0.5) / 2000, df) / df)

    def lacking(shift: float) -> float:
        found = distributions.norm.cdf(shift - critical * spread) + distributions.norm.cdf(-shift - critical * spread)
        return float(found.mean()) - 0.8

    return float(optimize.brentq(lacking, 0.0, 20.0 * critical)) * standard_error
