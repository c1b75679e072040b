"""Is the library small: a spine that reads in an afternoon and imports no leaf, modules of a few screens?"""

import json
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path

import grimp
import pytest

TESTS = Path(__file__).parent
LIBRARY = TESTS.parent / "anytime_lib"
SPINE = {
    "": ["types", "errors", "redact", "registry", "config", "store", "prompts", "index"],
    "tasks": ["base", "sources", "custom", "said"],
    "methods": ["base", "simple"],
    "models": ["model", "reply", "tokens"],
    "sweep": ["plan", "client", "live", "costs", "grading", "arms", "run"],
    "stats": ["bootstrap", "intervals", "compare"],
}
"""What must be read to follow a run from its config to its comparison; tasks of one's own and the plain methods stand
for all."""
LIMITS = {"library": 14_739, "spine": 3_987, "spine modules": 28, "tests": 12_309, "fmt": 3, "top level": 10}
"""As things stand: they may only fall, or rise by what a new capability is given. (Goals of the redesign: 10,500 lines,
3,800 of them in 28 modules of the spine, and 9,500 of tests.) What the formatter leaves alone are tables of data, all
three. A module has 300 lines at most."""
HEAVY = {"openai", "pyarrow", "aiohttp", "pydantic", "tokenizers", "sqlite3"}


def modules() -> list[Path]:
    return sorted(LIBRARY.rglob("*.py"))


@cache
def n_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def name_of(path: Path) -> str:
    """`anytime_lib.stats` of anytime_lib/stats/__init__.py."""
    parts = path.relative_to(LIBRARY.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def spine() -> list[Path]:
    """The modules of the spine; of a package in its list, all."""
    found = []
    for room, names in SPINE.items():
        for name in names:
            place = LIBRARY / room / name
            found += sorted(place.glob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    return found


def test_the_limits_hold() -> None:
    found = {"library": sum(map(n_lines, modules())), "tests": sum(map(n_lines, TESTS.rglob("*.py")))}
    found |= {"spine": sum(map(n_lines, spine())), "spine modules": len(spine())}
    texts = "".join(path.read_text(encoding="utf-8") for path in modules())
    found["fmt"] = texts.count("# fmt: skip") + texts.count("# fmt: off")
    found |= {name_of(path): n_lines(path) for path in modules()} | {"top level": len([*LIBRARY.glob("*.py")])}
    assert {name: n for name, n in found.items() if n > LIMITS.get(name, 300)} == {}


def test_the_spine_imports_no_leaf() -> None:
    graph, own = grimp.build_graph("anytime_lib"), {name_of(p) for p in spine()}
    assert {name: leaves for name in own if (leaves := graph.find_modules_directly_imported_by(name) - own)} == {}


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("", "RunConfig run_sweep load_task anytime_index anytime_curve make_task run_synthesis Parameters Store"),
        (".tasks.trip", "grade_official parse_problem solve generate"),
        (".tasks.aime", "extract_integer"),
        (".tasks.gpqa", "extract_choice"),
        (".stats", "compare min_detectable_effect"),
        (".store", "Store"),
    ],
)
def test_names_that_others_build_on(module: str, names: str) -> None:
    found = import_module(f"anytime_lib{module}")
    assert [name for name in names.split() if not hasattr(found, name)] == []


@pytest.mark.parametrize("name", ["anytime_lib.index", "anytime_lib.stats"])
def test_statistics_load_no_client_and_no_store(name: str) -> None:
    """Beyond what pandas itself loads, which may be pyarrow."""
    code = f"import json, sys, pandas\nbefore = set(sys.modules)\nimport {name}\n"
    code += "print(json.dumps(sorted(set(sys.modules) - before)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=LIBRARY.parent)
    assert {module for module in json.loads(done.stdout) if module.split(".")[0] in HEAVY} == set()
