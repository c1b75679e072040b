"""How large a difference can this many problems and samples show?

By formula; `studies.planning` answers by simulation from the cells of a pilot.
Source: Miller, "Adding Error Bars to Evals" (arXiv 2411.00640), section 5.
"""

from __future__ import annotations

import numpy as np
from scipy import optimize
from scipy import stats as distributions

from anytime_lib.errors import DataError


def min_detectable_effect(
    n_problems: int, n_samples: int, *, sd_between: float = 0.1, sd_within: float = 0.35, power: float = 0.8,
    alpha: float = 0.05,
) -> float:  # fmt: skip
    """The smallest true difference between two arms that a paired design would find with the given power.

    By the two-sided paired t test on the problems' mean differences, whose variance is sd_between^2 + 2 sd_within^2 /
    n_samples; NaN for fewer than two problems. It is of mean quality, the index of order `raw`: with the pooled
    maximum, which makes noise of its own, the same difference is found in .72 to .75 of studies in place of .80 with 30
    problems and one sample (`power_pooled` in `data/error_rates.csv`).

    Args:
        n_problems, n_samples: problems, and traces per problem and arm.
        sd_between: of the true difference between problems.
        sd_within: of one trace's quality around its problem's mean. The defaults fit scores of multiple choice.

    Raises:
        DataError: not alpha < power < 1.
    """
    if not 0 < alpha < power < 1:
        raise DataError(f"0 < alpha < power < 1 is needed, not power {power:g} with alpha {alpha:g}")
    if n_problems < 2 or n_samples < 1:
        return float("nan")
    df = n_problems - 1
    critical = distributions.t.isf(alpha / 2, df)

    # The t statistic's power as a mean over its estimated spread: scipy's noncentral t gives NaN for few problems.
    spread = np.sqrt(distributions.chi2.ppf((np.arange(2000) + 0.5) / 2000, df) / df)

    def lacking(shift: float) -> float:
        found = distributions.norm.cdf(shift - critical * spread) + distributions.norm.cdf(-shift - critical * spread)
        return float(found.mean()) - power

    standard_error = float(np.sqrt((sd_between**2 + 2 * sd_within**2 / n_samples) / n_problems))
    return float(optimize.brentq(lacking, 0.0, 20.0 * critical)) * standard_error
