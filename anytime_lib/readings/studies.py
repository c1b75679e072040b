"""What do the tables of the studies show? Sentences read off the numbers, with their uncertainty."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats as distributions

from anytime_lib.plots.style import count, size
from anytime_lib.readings.words import few, listed
from anytime_lib.stats.intervals import spoken


def read_variants(tables: Mapping[str, pd.DataFrame]) -> str:
    """Which readings of a difference lie elsewhere than the judged one (heading -> rows of `difference_variants`)."""
    side, told = {"above": "above zero", "below": "below zero", "around": "around zero (undecided)"}, []
    for heading, table in tables.items():
        judged, others = table.iloc[0], table.iloc[1:]
        apart = others[others.says != judged.says]
        text = f"{heading}: by itself the judged interval lies {side[judged.says]}, and so do "
        text += f"{len(others) - len(apart)} of {count(len(others), 'other reading')}"
        for says, part in apart.groupby("says", sort=False):
            text += f"; {side[says]} {'lies' if len(part) == 1 else 'lie'} {listed(part.choice + ': ' + part.variant)}"
        told.append(f"{text}.")
    return "\n".join(told)


def read_bounds(table: pd.DataFrame) -> str:
    """Between which ends the index of each arm lies, whatever its missing answers would have been (`stats.bounds`)."""
    told = [
        f"{row.task}, {row.method}: index {row.found:.3f}, and between {row.worst:.3f} and {row.best:.3f} whatever the "
        f"{count(row.n_missing, 'missing answer')} would have been."
        for row in _rows(table[table.n_missing > 0].rename(columns={"index": "found"}))
    ]
    return "\n".join(told) or "No answer is missing, so there is nothing that missing answers could change."


def read_rules(counted: pd.DataFrame, found: pd.DataFrame) -> str:
    """Whether without the cells that a rule takes other differences stand (of `every_rule`)."""
    told, key, kept = [], ["task", "baseline", "treatment"], found.dropna(subset="pvalue")
    for rule in counted.rule[counted.cells > 0]:
        both = kept[kept.excluded == "nothing"].merge(kept[kept.excluded == rule], on=key, suffixes=("_before", ""))
        pairs = [
            f"{pair.treatment} less {pair.baseline} on {pair.task} {'now' if pair.significant else 'no longer'} stands "
            f"(n = {pair.n_problems})"
            for pair in _rows(both[both.significant != both.significant_before])
        ]
        stands = "the same differences stand" if both.significant.any() else "no difference stands either"
        says = listed(pairs) if pairs else stands if len(both) else "nothing can be compared"
        for pair in _rows(both[both.difference * both.difference_before < 0]):
            where = f"{pair.treatment} less {pair.baseline} on {pair.task}"
            says += f"; {where} changes its sign, from {pair.difference_before:+.2g} to {pair.difference:+.2g}"
        told.append(f"Without what {rule} takes, {says}.")
    return "\n".join(told) or "No rule takes a cell, so none changes a finding."


def read_null(variants: pd.DataFrame) -> str:
    """At which levels of the maximum an index lies above the permutation null, which knows no budgets, and at which the
    two cannot be told apart (linear axis, q_max of 1; of `stats.index_variants`)."""
    told = []
    plain = variants[(variants.axis == "linear") & (variants.q_max == 1.0)]
    for (task, method), arm in plain.groupby(["task", "method"], sort=False):
        sides = {
            "above its null": arm.order[arm["index"] > arm.null_high],
            "not told from it": arm.order[arm["index"].between(arm.null_low, arm.null_high)],
            "below it": arm.order[arm["index"] < arm.null_low],
        }
        said = [f"{side}: {listed(levels)}" for side, levels in sides.items() if len(levels)]
        told.append(f"{task}, {method}: {'; '.join(said)}.")
    return "\n".join(told)


def read_measures(table: pd.DataFrame) -> str:
    """How many traces of each arm are ever right, by when, and how many are right and then wrong (of
    `stats.measures`)."""
    told = []
    for (task, method), arm in table.groupby(["task", "method"], sort=False):
        at = {row.measure: row for row in _rows(arm)}
        spans = {name: f"[{at[name].low:.0%}, {at[name].high:.0%}]" for name in ("solved", "overthought")}
        star, text = at["b_star"], f"{task}, {method} (n = {count(at['solved'].n_problems, 'problem')}): "
        text += f"{at['solved'].value:.0%} {spans['solved']} of the traces are right at some budget"
        if star.value == star.value:
            text += f", first at {star.value:,.0f} tokens [{star.low:,.0f}, {star.high:,.0f}] on average"
        told.append(f"{text}; {at['overthought'].value:.0%} {spans['overthought']} are right and end wrong.")
    return "\n".join(told)


def read_variance(splits: Iterable[Any]) -> str:
    """Where the variance of each split of a pilot lies, and whether problems or samples would help (of
    `Pilot.splits`)."""
    told = []
    for split in splits:
        (between, most_between), (samples, most_samples), *_ = split.ends
        n = max(split.n_samples, 1)
        helps = "which of the two varies more in a mean cannot be told from this pilot"
        if between > most_samples / n:
            helps = "problems vary more, even in means over these samples: more problems help, and more samples little"
        elif most_between < samples / n:
            helps = "samples vary more, even in means over these samples: more samples help as much as more problems"
        if split.n_draws > 1:
            helps = "what more problems, samples or draws are worth depends on how many there are of each"
        told.append(f"{split.summary()}; {helps}.")
    return "\n".join(told)


def read_twice_the_tokens(table: pd.DataFrame) -> str:
    """On what twice the tokens of the planned study are best spent, of each task (of `Pilot.twice_the_tokens`)."""
    told = []
    for task, part in table.groupby("task", sort=False):
        now, found = _rows(part)[0], part.set_index("spent_on").detectable
        if found.isna().any():
            told.append(f"{task}: the pilot cannot tell what a study of twice the tokens would find.")
            continue
        ways = listed(f"{value:.3f} if on {what}" for what, value in found.drop("nothing").items())
        ways += ", whose preparation is not counted" * ("draws" in found)  # they come last
        study = f"{size(now.n_problems, now.n_samples)}, {count(now.n_draws, 'draw')} of exemplars"
        text = f"{task}: the planned study ({study}) finds differences of {now.detectable:.3f}. "
        told.append(f"{text}Twice the tokens are best spent on {found.idxmin()}: they find {ways}.")
    return "\n".join(told)


def read_power(table: pd.DataFrame, power: float = 0.8) -> str:
    """By which designs of one task a difference is found with this power (of `power_table`, sizes ascending): the
    smallest that reaches it, if no larger one lies below it by more than the luck of the simulation."""
    said, luck = [], 1.96 * table.standard_error
    for n_samples, part in table.assign(most=table.power + luck).groupby("n_samples", sort=False):
        enough = part[(part.power >= power) & (part.most >= power)[::-1].cummin()]
        first = _rows(enough if len(enough) else part.nlargest(1, "power"))[0]
        n, share = f"n = {first.n_problems}", f"{first.power:.2f}"
        found = f"from {n} problems on ({share})" if len(enough) else f"by none of these (at most {share}, with {n})"
        said.append(f"N = {n_samples}: {found}")
    text = f"A true difference of {table.effect.iloc[0]:g} is found in {power:.0%} or more of "
    text += f"{table.n_simulations.iloc[0]:,} simulated studies (each share give or take {luck.max():.2f}) with "
    return f"{text}{'; '.join(said)}."


def read_designs(table: pd.DataFrame, effect: float) -> str:
    """Which of the designs of one task is the cheapest that finds `effect` (of `design_table`)."""
    told = []
    for column, how in (("detectable", "by the pilot's variances"), ("at_most", "if they are as large as it allows")):
        enough = table[table[column] <= effect].sort_values("tokens")
        says = "none of these designs finds it"
        for row in _rows(enough.head(1)):
            price = "" if np.isnan(row.dollars) else f", {row.dollars:,.2f} dollars"
            says = f"the cheapest design that finds it has {size(row.n_problems, row.n_samples)} "
            says += f"({row.tokens:,.0f} output tokens{price})"
        told.append(f"{how}, {says}")
    return f"A true difference of {effect:g}: {'; '.join(told)}."


def read_bias(tables: Mapping[str, pd.DataFrame], along: str) -> str:
    """How each level of the maximum reads against the truth at the smallest and at the largest value of `along`
    (heading -> rows of `maximum_bias`), in intervals that all hold at once (Bonferroni)."""
    symbol, told = {"n_samples": "N", "n_budgets": "T"}[along], []
    ends = {heading: pd.DataFrame(t.groupby("order", sort=False).nth([0, -1])) for heading, t in tables.items()}
    n = sum(map(len, ends.values()))
    for heading, table in ends.items():
        said: dict[str, list[str]] = {}
        for row in _rows(table):
            error = row.sd / row.n_repetitions**0.5
            half = float(distributions.t.isf(0.025 / n, row.n_repetitions - 1)) * error
            side = "no bias is shown" if abs(row.bias) <= half else "too high" if row.bias > 0 else "too low"
            span = spoken(row.bias, row.bias - half, row.bias + half)
            said.setdefault(row.order, []).append(f"{side} ({span}) at {symbol} = {getattr(row, along)}")
        told.append(f"{heading}: {'; '.join(f'{order}, {listed(each)}' for order, each in said.items())}.")
    return "\n".join([*told, f"These 95% intervals hold together, all {n} of them."])


def read_rates(table: pd.DataFrame, promised: Mapping[str, tuple[float, float]]) -> str:
    """Of each measure, whether its shares keep what is promised (measure -> lowest and highest share allowed), within
    two standard errors of so many experiments (of `error_rate_table`)."""
    told = []
    for judged, part in table.groupby("judged", sort=False):
        for measure, (low, high) in promised.items():
            rows = part[part.measure == measure]
            if rows.empty:
                continue
            luck = 2 * (rows.share.clip(0.01, 0.99) * (1 - rows.share.clip(0.01, 0.99)) / rows.repetitions) ** 0.5
            broken = rows[(rows.share + luck < low) | (rows.share - luck > high)]
            kept = f"kept in {len(rows) - len(broken)} of {count(len(rows), 'setting')}"
            allowed = f"at most {high:g}" if not low else f"at least {low:g}" if high == 1 else f"{low:g}"
            where = f", and broken in: {listed(broken.world.unique())}" if len(broken) else ""
            span = " to ".join(dict.fromkeys(f"{end:.3f}" for end in (rows.share.min(), rows.share.max())))
            told.append(f"{judged}, {measure}: {span}, promised {allowed}: {kept}{where}.")
    return "\n".join(told)


def read_stopping(table: pd.DataFrame) -> str:
    """What each rule saves and loses against the full budget, and whether it has more than single budgets that cost as
    much (of `studies.stopping_table`)."""
    told = []
    for of, part in table.groupby("of", sort=False):
        full, oracle = _rows(part[part.what == "budget"])[-1], _rows(part[part.what == "oracle"])[0]
        told.append(
            f"The full budget of {of}: quality {full.quality:.3f} with {full.tokens:,.0f} tokens, {full.futile:.0%} of "
            f"them on {of} that are never right; {full.overthought:.0%} are right before and not at the end. An oracle "
            f"that sees the scores has {oracle.quality:.3f} with {oracle.tokens:,.0f} tokens."
        )
        for row in _rows(part[part.what == "rule"]):
            side = {1: "more than", -1: "less than", 0: "not told from"}.get(row.beats)
            above = spoken(row.above, row.low, row.high)
            beside = f"; {side} single budgets that cost as much, {above}" if side else ""
            text = f"{row.rule}, set on one half of the problems and read on the other: tokens {0 - row.saved:+.0%}, "
            text += f"quality {row.difference:+.3f} (verdict: {row.verdict}); {row.lost:.0%} of {of} are right at the "
            text += f"full budget alone{beside}. Set and read on all ({row.setting_on_all or 'as it is'}): quality "
            told.append(f"{text}{row.in_sample:+.3f}.")
    missing = int(table.n_missing.max())
    left_out = f" {count(missing, 'trace')} without every answer left out." * (missing > 0)
    return "\n".join(told) + left_out + few(int(table.n_problems.min()))


def _rows(table: pd.DataFrame) -> list[Any]:
    return list(table.itertuples())
