"""How large a difference would a study of some size find?"""

import numpy as np
from scipy import optimize
from scipy import stats as distributions

from anytime_lib.stats.intervals import MeanSquares, over_both


def min_detectable_effect(
    n_problems: int,
    n_samples: int,
    *,
    n_draws: int = 1,
    sd_between: float = 0.1,
    sd_within: float = 0.35,
    sd_draws: float = 0.03,
    sd_crossed: float = 0.0,
    wider: float = 1.0,
) -> float:
    """The smallest true difference in the estimand that the paired t test (two-sided, .05) finds with a power of .8;
    NaN for fewer than two problems, and where nothing varies or is known to. Source: Miller, "Adding Error Bars to
    Evals" (arXiv 2411.00640), section 5.

    The variance of the difference, of n problems, N samples of each in all, and R draws of exemplars:

        sd_between^2 / n  +  sd_draws^2 / R  +  sd_crossed^2 / (n R)  +  2 sd_within^2 / (n N)

    of problems' true differences, of draws of exemplars, of what a draw does to single problems, and of what one trace
    adds to the estimand around its mean. The defaults fit multiple choice, and draws whose index varies by 3 points. Of
    a single draw nothing is found beyond that draw, so `sd_draws` does not count. `wider`: how many times as wide as
    that noise makes it the interval is (`crossfit`: somewhat, where problems and samples are few).
    """
    if n_problems < 2 or n_samples < 1:
        return float("nan")
    rest = (sd_crossed**2 / n_draws + 2 * sd_within**2 / n_samples) / n_problems
    of = MeanSquares(sd_between**2 / n_problems + rest, sd_draws**2 / n_draws + rest, rest)
    standard_error = float(np.sqrt(of.problems + (of.draws - of.rest) * (n_draws > 1)))
    if not standard_error > 0:
        return float("nan")
    # The power is a mean over the spread that studies estimate: scipy's noncentral t gives NaN for few problems.
    df = np.array([n_problems - 1])
    spread = np.sqrt(distributions.chi2.ppf((np.arange(2000) + 0.5) / 2000, df) / df)
    if n_draws > 1:
        rng, freedom = np.random.default_rng(0), (n_problems - 1, n_draws - 1, (n_problems - 1) * (n_draws - 1))
        seen = MeanSquares(*(value * rng.chisquare(f, 2000) / f for value, f in zip(of, freedom, strict=True)))
        added, df = over_both(seen, n_problems, n_draws)
        spread = np.sqrt(seen.problems + added) / standard_error
    critical = wider * distributions.t.isf(0.05 / 2, df)

    def lacking(shift: float) -> float:
        found = distributions.norm.cdf(shift - critical * spread) + distributions.norm.cdf(-shift - critical * spread)
        return float(found.mean()) - 0.8

    return float(optimize.brentq(lacking, 0.0, 20.0 * float(critical.max()))) * standard_error
