"""The first page of a report is whole, whatever was run: verdicts, figures with their readings, tables, links."""

import re
from typing import Any

import pytest
from conftest import Config

from anytime_lib import run_sweep
from anytime_lib.report import _write_report


@pytest.mark.parametrize(("tasks", "methods"), [(["gpqa"], ["base"]), (["gpqa", "aime"], ["base", "direct"])])
def test_a_page_is_whole(tasks: list[str], methods: list[str], config: Config, server: Any) -> None:
    run = config(tasks=tasks, methods=methods, n_resamples=100, run="<b>bold</b>")
    run_sweep(run, progress=False)
    page = _write_report(run, {}, ["00_tour", "04b_more"], 0.0)
    text, figures = page.read_text("utf-8"), page.parent / "figures"
    pictures = re.findall(r'<img src="(figures/report_[^"]+)" alt="([^"]{40,})"></a><figcaption>([^<]{40,})', text)
    assert len(pictures) == 2 * len(tasks) + (len(methods) > 1) and "<b>bold" not in text
    assert all(
        (page.parent / path).with_suffix(suffix).is_file() for path, *_ in pictures for suffix in (".svg", ".pdf")
    )
    assert text.count(" is undecided</b>") == (len(methods) > 1) * len(tasks)
    assert ("nothing is compared" in text) == (len(methods) == 1)
    assert (page.parent / "explorer.html").is_file() and 'href="04b_more.html"' in text
    rows = (figures / "report_index.md").read_text("utf-8").splitlines()
    assert len(rows) == 2 + len(tasks) * len(methods) and re.search(r"\| 0\.\d+ \[0\.\d+, \d\.\d+\] \|", rows[2])
    assert r"n\_problems" in (figures / "report_index.tex").read_text("utf-8")
