"""Which integer-answer mathematics problems can be made without a download?

Six levels, from one-step word problems (1) to competition level (6). As in AIME, every answer is an integer from 0 to
999. A text is a function of its numbers, so that two different texts of one template never ask the same thing.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import comb, gcd, lcm, prod

from numpy.random import Generator, default_rng

from anytime_lib.errors import ConfigError
from anytime_lib.tasks.base import SPLITS
from anytime_lib.types import Problem

Draw = Callable[[Generator], list[int]]
LEVELS = (1, 2, 3, 4, 5, 6)
REDRAW = -1  # an answer outside 0..999 means: draw other numbers
PRIMES = (2, 3, 5, 7, 11, 13)


def problems(limit: int, seed: int, split: str, levels: Sequence[int]) -> list[Problem]:
    """`limit` problems, the levels in turn; each has a stream of its own, so that more extend fewer.

    The last bit of a content's hash decides its split (`test` or `pool`): the splits share neither content nor id.
    """
    found: dict[str, Problem] = {}
    for place in range(limit):
        index, level = place // len(levels), levels[place % len(levels)]
        names = [name for name, (of, _, _) in TEMPLATES.items() if of == level]
        template = names[index % len(names)]
        rng = default_rng([seed, SPLITS[split], level, index])
        for _ in range(1000):
            text, answer = generate(rng, template)
            content = Problem("", "aime", text, answer).content_hash[:8]
            name = f"ladder-L{level}-{content}"
            if int(content, 16) % 2 == SPLITS[split] and name not in found:
                break
        else:
            raise ConfigError(f"level {level} of the ladder has only {index} problems; ask for {place} at most in all")
        metadata = {"source": "ladder", "difficulty": level, "template": template}
        found[name] = Problem(name, "aime", text, answer, metadata)
    return list(found.values())


def generate(rng: Generator, template: str) -> tuple[str, int]:
    """The text and the answer of a problem by a named template."""
    _, draw, write = TEMPLATES[template]
    while True:
        text, answer = write(*draw(rng))
        if 0 <= answer <= 999:
            return text, answer


def _ints(*bounds: tuple[int, int]) -> Draw:
    """One integer from each range, both ends included."""
    return lambda rng: [int(rng.integers(low, high, endpoint=True)) for low, high in bounds]


def _distinct(low: int, high: int, size: int, *more: tuple[int, int]) -> Draw:
    """That many different integers from low to high, ascending; then one from each further range."""
    return lambda rng: sorted(int(x) + low for x in rng.choice(high - low + 1, size, replace=False)) + _ints(*more)(rng)


def _remainders(low: int, high: int, size: int) -> Draw:
    """That many different moduli, no two with a common divisor, and a remainder from 1 up for each."""

    def draw(rng: Generator) -> list[int]:
        while True:
            moduli = _distinct(low, high, size)(rng)
            remainders = _ints(*((1, m - 1) for m in moduli))(rng)
            if lcm(*moduli) == prod(moduli):
                return moduli + remainders

    return draw


def _least(*pairs: tuple[int, int]) -> int:
    """The least non-negative integer with these (modulus, remainder), by the Chinese remainder theorem."""
    n = prod(m for m, _ in pairs)
    return sum(r * (n // m) * pow(n // m, -1, m) for m, r in pairs) % n


def _recurrence(x: int, y: int, p: int, q: int, n: int) -> int:
    for _ in range(n):
        x, y = y, (p * y + q * x) % 1000
    return x


def _divisor_sum(*exponents: int, step: int = 1) -> int:
    """The sum of the divisors of 2^a 3^b 5^c; by a step of 2, of those that are squares."""
    return prod(sum(p**i for i in range(0, e + 1, step)) for p, e in zip((2, 3, 5), exponents, strict=True))


# fmt: off
# Name -> level, how a problem's numbers are drawn, and what text and answer they make.
TEMPLATES: dict[str, tuple[int, Draw, Callable[..., tuple[str, int]]]] = {
    "loaves": (1, _ints((12, 480), (12, 480)), lambda a, b: (
        f"A bakery sold {a} loaves on Monday and {b} loaves on Tuesday. How many loaves is that?", a + b)),
    "barrel": (1, _distinct(15, 990, 2), lambda a, b: (
        f"A barrel held {b} litres of water, and {a} litres were used. How many litres are left?", b - a)),
    "seats": (1, _ints((3, 30), (5, 33)), lambda a, b: (
        f"A theatre has {a} rows with {b} seats in each row. How many seats does it have?", a * b)),
    "crates": (1, _ints((3, 30), (4, 99)), lambda b, q: (
        f"A grower shares {b * q} kilograms of apples equally among {b} crates. "
        "How many kilograms of apples are in each crate?", q)),
    "museum": (2, _ints((9, 24), (3, 8), (2, 9), (2, 15)), lambda p, q, n, m: (
        f"A museum ticket costs {p} euros for an adult and {q} euros for a child. "
        f"How many euros do {n} adults and {m} children pay in all?", p * n + q * m)),
    "tap": (2, _ints((50, 300), (4, 25), (3, 20), (10, 50)), lambda v, r, t, u: (
        f"A pool holds {v} litres of water. A tap adds {r} litres per minute for {t} minutes, and then {u} litres are "
        "drained. How many litres of water are in the pool now?", v + r * t - u)),
    "eggs": (2, _ints((60, 400), (60, 400), (6, 15)), lambda a, b, k: (
        f"A farm collects {a} eggs in the morning and {b} eggs in the afternoon and packs them in boxes of {k} eggs. "
        "How many boxes can be filled completely?", (a + b) // k)),
    "fence": (2, _ints((100, 200), (10, 90), (2, 9)), lambda length, width, gate: (
        f"A rectangular field is {length} metres long and {width} metres wide. A fence runs all the way around it "
        f"except for a gate {gate} metres wide. How many metres long is the fence?", 2 * (length + width) - gate)),
    "bicycle": (3, _ints((5, 49), (1, 15), (3, 30)), lambda p, x, d: (
        f"A bicycle costs {20 * p} euros. Its price is cut by {5 * x}%, and delivery then adds {d} euros. "
        "How many euros does the delivered bicycle cost?", 20 * p - p * x + d)),
    "trees": (3, _ints((2, 6), (15, 120), (2, 14)), lambda k, pine, t: (
        f"An oak is {(k - 1) * pine} years older than a pine. In {t} years the oak will be {k} times as old as the "
        "pine will be then. How many years old is the oak today?", k * pine - t)),
    "cyclists": (3, _ints((10, 40), (10, 40), (2, 9)), lambda v, w, t: (
        f"Towns A and B are {(v + w) * t} kilometres apart. A cyclist leaves A for B at {v} kilometres per hour; at "
        f"the same moment another leaves B for A at {w} kilometres per hour, by the same road. "
        "How many kilometres from A do they meet?", v * t)),
    "rabbits": (3, _ints((5, 150), (5, 150)), lambda hens, hares: (
        "A yard holds hens, with two legs each, and rabbits, with four legs each. Together they have "
        f"{hens + hares} heads and {2 * hens + 4 * hares} legs. How many rabbits are there?", hares)),
    "hall": (4, _ints((8, 40), (2, 6), (5, 18)), lambda a, d, n: (
        f"The front row of a hall has {a} seats, and every other row has {d} seats more than the row in front of it. "
        f"How many seats are there in all {n} rows together?", n * a + d * comb(n, 2))),
    "lamps": (4, _distinct(4, 40, 3), lambda a, b, c: (
        f"Three lamps flash at regular intervals of {a}, {b} and {c} seconds. All three have just flashed at the same "
        "moment. After how many seconds will that next happen?", lcm(a, b, c))),
    "multiples": (4, _distinct(3, 20, 2, (100, 2500)), lambda a, b, n: (
        f"How many integers from 1 to {n} inclusive are divisible by {a}, by {b}, or by both?",
        n // a + n // b - n // lcm(a, b))),
    "committee": (4, _ints((3, 20), (3, 20), (1, 3), (1, 3)), lambda w, m, j, i: (
        f"A club has {w} women and {m} men. In how many ways can a committee of {i + j} members be chosen so that the "
        f"number of women in it is exactly {j}?", comb(w, j) * comb(m, i))),
    "square_divisors": (5, _ints((2, 16), (2, 16), (2, 16)), lambda a, b, c: (
        rf"How many positive divisors of $2^{{{a}}} \cdot 3^{{{b}}} \cdot 5^{{{c}}}$ are perfect squares?",
        prod(e // 2 + 1 for e in (a, b, c)))),
    "boxes": (5, _ints((8, 70), (6, 40)), lambda n, k: (
        f"In how many ways can {n} identical coins be put into three boxes labelled A, B and C so that no box holds "
        f"more than {k} coins? A box may be empty.",
        sum(0 <= n - i - j <= k for i in range(k + 1) for j in range(k + 1)) or REDRAW)),
    "remainders": (5, _remainders(7, 36, 2), lambda m, q, r, s: (
        f"Find the least positive integer that leaves remainder {r} when divided by {m} and remainder {s} when "
        f"divided by {q}.", _least((m, r), (q, s)) if r != s else REDRAW)),
    "factorial_power": (5, _ints((50, 2000), (0, 5)), lambda n, i: (
        f"Find the largest integer $k$ for which ${PRIMES[i]}^k$ divides ${n}!$.",
        sum(n // PRIMES[i] ** power for power in range(1, 11)))),
    "tower": (6, _ints((2, 40), (2, 12), (5, 40), (101, 999)), lambda a, b, c, m: (
        f"Find the remainder when ${a}^{{{b}^{{{c}}}}}$ is divided by ${m}$.",
        pow(a, b**c, m) if gcd(a, m) == 1 else REDRAW)),
    "lattice": (6, _ints((5, 20), (5, 20), (1, 6)), lambda a, b, k: (
        f"A path goes from $(0,0)$ to $({a},{b})$ in unit steps to the right or up and never rises above the line "
        f"$y=x+{k}$. Find the remainder when the number of such paths is divided by $1000$.",
        # Those that rise above it are, reflected, all paths to another corner.
        (comb(a + b, a) - comb(a + b, a + k + 1)) % 1000 if k < b <= a + k else REDRAW)),
    "divisor_sum": (6, _ints((2, 14), (2, 10), (2, 8)), lambda a, b, c: (
        rf"Let $S$ be the sum of all positive divisors of $2^{{{a}}} \cdot 3^{{{b}}} \cdot 5^{{{c}}}$ that are not "
        "perfect squares. Find the remainder when $S$ is divided by $1000$.",
        (_divisor_sum(a, b, c) - _divisor_sum(a, b, c, step=2)) % 1000)),
    "three_remainders": (6, _remainders(7, 37, 3), lambda p, q, u, r, s, t: (
        f"Let $N$ be the least positive integer with remainders ${r}$, ${s}$ and ${t}$ when divided by ${p}$, ${q}$ "
        f"and ${u}$ respectively. Find the remainder when $N$ is divided by $1000$.",
        _least((p, r), (q, s), (u, t)) % 1000)),
    "exactly_one": (6, _distinct(2, 20, 3, (300, 2500)), lambda a, b, c, n: (
        f"How many integers from $1$ to ${n}$ inclusive are divisible by exactly one of ${a}$, ${b}$ and ${c}$?",
        sum([i % a, i % b, i % c].count(0) == 1 for i in range(1, n + 1)))),
    "recurrence": (6, _ints((1, 20), (1, 20), (2, 9), (2, 9), (200, 5000)), lambda a, b, p, q, n: (
        f"A sequence has $x_0={a}$, $x_1={b}$ and $x_{{k+2}}={p}x_{{k+1}}+{q}x_k$ for every integer "
        rf"$k \ge 0$. Find the remainder when $x_{{{n}}}$ is divided by $1000$.", _recurrence(a, b, p, q, n))),
    "marbles": (6, _ints((3, 20), (3, 40), (2, 8)), lambda red, blue, k: (
        f"A bag holds {red} red and {blue} blue marbles. They are drawn at random one by one, without replacement, "
        f"until {k} red ones have been drawn. The expected number of draws is $m/n$, where $m$ and $n$ are relatively "
        "prime positive integers. Find $m+n$.",  # the red ones split the row into red + 1 equal gaps
        sum(Fraction(k * (red + blue + 1), red + 1).as_integer_ratio()) if k <= red else REDRAW)),
}
# fmt: on
