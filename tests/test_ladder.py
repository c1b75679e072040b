"""Are the ladder's answers what counting gives, and its problems the same for any limit?"""

import re
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from itertools import combinations, product
from math import isqrt

import numpy as np
import pytest

from anytime_lib.tasks.aime import TASK
from anytime_lib.tasks.ladder import LEVELS, TEMPLATES, generate

# Each count below takes the numbers from the text, in their order, and counts what the text asks.


def factors(n: int, p: int) -> int:
    return next(k for k in range(n) if n % p ** (k + 1))


def divisors(a: int, b: int, c: int) -> list[int]:
    return [2**i * 3**j * 5**k for i, j, k in product(range(a + 1), range(b + 1), range(c + 1))]


def hit(last: int, *by: int) -> list[int]:
    return [sum(n % d == 0 for d in by) for n in range(1, last + 1)]


def paths(a: int, b: int, k: int) -> int:
    @cache
    def to(x: int, y: int) -> int:
        if min(x, y) < 0 or y > x + k:
            return 0
        return 1 if x == y == 0 else to(x - 1, y) + to(x, y - 1)

    return to(a, b)


def draws(red: int, blue: int, wanted: int) -> Fraction:
    @cache
    def more(r: int, b: int, k: int) -> Fraction:
        if k == 0:
            return Fraction(0)
        after = r * more(r - 1, b, k - 1) + (b * more(r, b - 1, k) if b else 0)
        return 1 + after / (r + b)

    return more(red, blue, wanted)


def walk(x: int, y: int, p: int, q: int, n: int) -> int:
    for _ in range(n):
        x, y = y, p * y + q * x
    return x % 1000


def climb(a: int, b: int, c: int, m: int) -> int:
    for _ in range(c):
        a = a**b % m
    return a


def first(*pairs: tuple[int, int]) -> int:
    """The least positive integer with each (modulus, remainder)."""
    return next(n for n in range(1, 10**6) if all(n % m == r for m, r in pairs))


COUNTS: dict[str, Callable[..., int | Fraction]] = {
    "loaves": lambda a, b: len(range(a)) + len(range(b)),
    "barrel": lambda a, b: len(range(b, a)),
    "seats": lambda a, b: sum(b for _ in range(a)),
    "crates": lambda a, b: next(q for q in range(a) if q * b == a),
    "museum": lambda p, q, n, m: sum([p] * n + [q] * m),
    "tap": lambda v, r, t, u: sum([v, *[r] * t, -u]),
    "eggs": lambda a, b, k: len(range(k, a + b + 1, k)),
    "fence": lambda a, b, g: a + b + a + b - g,
    "bicycle": lambda p, x, d: p * Fraction(100 - x, 100) + d,
    "trees": lambda d, t, k: next(a for a in range(d + 1, 999) if a + t == k * (a - d + t)),
    "cyclists": lambda d, v, w: next(x for x in range(d) if Fraction(x, v) == Fraction(d - x, w)),
    "rabbits": lambda h, legs: next(x for x in range(h) if 4 * x + 2 * (h - x) == legs),
    "hall": lambda a, d, n: sum(range(a, a + d * n, d)),
    "lamps": lambda a, b, c: next(n for n in range(1, 10**5) if n % a == n % b == n % c == 0),
    "multiples": lambda _, n, a, b: sum(h > 0 for h in hit(n, a, b)),
    "committee": lambda w, m, k, j: sum(sum(i < w for i in who) == j for who in combinations(range(w + m), k)),
    "square_divisors": lambda _, a, __, b, ___, c: sum(isqrt(d) ** 2 == d for d in divisors(a, b, c)),
    "boxes": lambda n, k: sum(0 <= n - a - b <= k for a, b in product(range(k + 1), repeat=2)),
    "remainders": lambda r, m, s, q: first((m, r), (q, s)),
    "factorial_power": lambda p, n: sum(factors(i, p) for i in range(1, n + 1)),
    "tower": climb,
    "lattice": lambda _, __, a, b, k, ___: paths(a, b, k) % 1000,
    "divisor_sum": lambda _, a, __, b, ___, c, mod: sum(d for d in divisors(a, b, c) if isqrt(d) ** 2 != d) % mod,
    "three_remainders": lambda r, s, t, p, q, u, mod: first((p, r), (q, s), (u, t)) % mod,
    "exactly_one": lambda _, n, a, b, c: sum(h == 1 for h in hit(n, a, b, c)),
    "recurrence": lambda _, a, __, b, ___, p, ____, q, _____, n, ______: walk(a, b, p, q, n),
    "marbles": lambda r, b, k: sum(draws(r, b, k).as_integer_ratio()),
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_ladder_answers_are_what_counting_gives(name: str) -> None:
    rng = np.random.default_rng(7)
    for _ in range(4 if name == "committee" else 25):
        text, answer = generate(rng, name)
        numbers = [int(n) for n in re.findall(r"\d+", text)]
        assert answer == COUNTS[name](*numbers), text
        assert 0 <= answer <= 999


def test_ladder_problems_are_the_same_for_any_limit() -> None:
    many = TASK.problems(limit=90, seed=3)
    assert many[:31] == TASK.problems(limit=31, seed=3)
    assert many != TASK.problems(limit=90, seed=4)
    assert TASK.problems() == TASK.problems(limit=30, split="test") + TASK.problems(limit=30, split="pool")
    assert [p.metadata["difficulty"] for p in many[:7]] == [1, 2, 3, 4, 5, 6, 1]
    assert all(re.fullmatch(rf"ladder-L{p.metadata['difficulty']}-[0-9a-f]{{8}}", p.id) for p in many)
    only = TASK.problems(limit=4, seed=3, difficulty=[2, 5])
    assert [p.id for p in only] == [many[i].id for i in (1, 4, 7, 10)]


@pytest.mark.parametrize("level", LEVELS)
def test_ladder_splits_share_nothing(level: int) -> None:
    test, pool = (TASK.problems(limit=300, seed=1, split=s, difficulty=[level]) for s in ("test", "pool"))
    for key in ("id", "content_hash", "text"):
        assert len({getattr(p, key) for p in test + pool}) == 600
