"""Which cells do the declared rules of exclusion leave out, and would other rules have changed the result?"""

import pandas as pd

from anytime_lib.config import RunConfig
from anytime_lib.errors import DataError
from anytime_lib.stats.family import compare_family
from anytime_lib.stats.sensitivity import RULES, apply_exclusions
from anytime_lib.store import Store
from anytime_lib.sweep.ledger import trace_hashes
from anytime_lib.sweep.run import run_sweep


def analysed_cells(config: RunConfig, cells: pd.DataFrame | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The cells of a run that its declared rules (`analysis.exclude`) keep, and what each rule took (see
    `apply_exclusions`). Where its `cells` are not given, the run is made. DataError if no graded cell is left."""
    everything = run_sweep(config) if cells is None else cells
    kept, report = apply_exclusions(everything, config.analysis.exclude, _hashes(config))
    if kept.score.isna().all():
        raise DataError("no graded cell is left after the exclusions: name fewer rules in `exclude`")
    return kept, report


def every_rule(config: RunConfig) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What each rule there is would take of a run (see `apply_exclusions`; `declared`: whether it is in force); and the
    rows of the family (see `Family.to_frame`) by what is `excluded`: nothing, or what one rule takes that takes any.
    A rule that leaves nothing to compare has no rows."""
    of, cells, texts = config.analysis, run_sweep(config, progress=False), _hashes(config)
    counted = apply_exclusions(cells, list(RULES), texts)[1].iloc[:-1]
    how, found = config.resampling | {"baseline": of.baseline, "estimand": of.estimand}, list[pd.DataFrame]()
    for rules in ([], *([rule] for rule in counted.rule[counted.cells > 0])):
        family = compare_family(apply_exclusions(cells, rules, texts)[0], of.family, **how)
        found.append(family.to_frame().assign(excluded="".join(rules) or "nothing"))
    return counted.assign(declared=counted.rule.isin(of.exclude)), pd.concat(found, ignore_index=True)


def _hashes(config: RunConfig) -> "pd.Series[str]":
    with Store(config.folder / "store.sqlite", read_only=True) as store:
        return trace_hashes(store)
