"""Which integer-answer mathematics problems can be made without a download?

Six levels, from one-step word problems (1) to competition level (6). As in AIME, every answer is an integer
from 0 to 999. It is computed here by formula; the tests count it again by brute force from the text alone.
A text is a function of its numbers, so that two different texts of one template never ask the same thing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import comb, gcd, lcm, prod

from numpy.random import Generator

Template = Callable[[Generator], tuple[str, int]]
"""Draws its numbers and returns text and answer; an answer outside 0..999 means: draw again."""

REDRAW = -1
LEVELS = (1, 2, 3, 4, 5, 6)
TEMPLATES: dict[int, dict[str, Template]] = {level: {} for level in LEVELS}


def generate(level: int, rng: Generator, template: str | None = None) -> tuple[str, int, str]:
    """A problem of that level: (text, answer, name of its template), by a named template or a drawn one."""
    names = list(TEMPLATES[level])
    name = template or names[rng.integers(len(names))]
    while True:
        text, answer = TEMPLATES[level][name](rng)
        if 0 <= answer <= 999:
            return text, answer, name


def _at(level: int) -> Callable[[Template], Template]:
    def add(template: Template) -> Template:
        TEMPLATES[level][template.__name__] = template
        return template

    return add


def _ints(rng: Generator, *bounds: tuple[int, int]) -> list[int]:
    """One integer from each range, both ends included."""
    return [int(rng.integers(low, high, endpoint=True)) for low, high in bounds]


def _distinct(rng: Generator, low: int, high: int, size: int) -> list[int]:
    """That many different integers from low to high, ascending."""
    return sorted(int(x) + low for x in rng.choice(high - low + 1, size, replace=False))


# Level 1: one operation.


@_at(1)
def loaves(rng: Generator) -> tuple[str, int]:
    a, b = _ints(rng, (12, 480), (12, 480))
    return f"A bakery sold {a} loaves on Monday and {b} loaves on Tuesday. How many loaves is that?", a + b


@_at(1)
def barrel(rng: Generator) -> tuple[str, int]:
    a, b = _distinct(rng, 15, 990, 2)
    return f"A barrel held {b} litres of water, and {a} litres were used. How many litres are left?", b - a


@_at(1)
def seats(rng: Generator) -> tuple[str, int]:
    a, b = _ints(rng, (3, 30), (5, 33))
    return f"A theatre has {a} rows with {b} seats in each row. How many seats does it have?", a * b


@_at(1)
def crates(rng: Generator) -> tuple[str, int]:
    b, q = _ints(rng, (3, 30), (4, 99))
    text = f"A grower shares {b * q} kilograms of apples equally among {b} crates."
    return f"{text} How many kilograms of apples are in each crate?", q


# Level 2: two operations.


@_at(2)
def museum(rng: Generator) -> tuple[str, int]:
    p, q, n, m = _ints(rng, (9, 24), (3, 8), (2, 9), (2, 15))
    text = f"A museum ticket costs {p} euros for an adult and {q} euros for a child."
    return f"{text} How many euros do {n} adults and {m} children pay in all?", p * n + q * m


@_at(2)
def tap(rng: Generator) -> tuple[str, int]:
    v, r, t, u = _ints(rng, (50, 300), (4, 25), (3, 20), (10, 50))
    text = f"A pool holds {v} litres of water. A tap adds {r} litres per minute for {t} minutes, and then"
    return f"{text} {u} litres are drained. How many litres of water are in the pool now?", v + r * t - u


@_at(2)
def eggs(rng: Generator) -> tuple[str, int]:
    a, b, k = _ints(rng, (60, 400), (60, 400), (6, 15))
    text = f"A farm collects {a} eggs in the morning and {b} eggs in the afternoon and packs them in boxes"
    return f"{text} of {k} eggs. How many boxes can be filled completely?", (a + b) // k


@_at(2)
def fence(rng: Generator) -> tuple[str, int]:
    length, width, gate = _ints(rng, (100, 200), (10, 90), (2, 9))
    text = f"A rectangular field is {length} metres long and {width} metres wide. A fence runs all the way"
    text += f" around it except for a gate {gate} metres wide. How many metres long is the fence?"
    return text, 2 * (length + width) - gate


# Level 3: several steps, an unknown, a rate or a percentage.


@_at(3)
def bicycle(rng: Generator) -> tuple[str, int]:
    p, x, d = _ints(rng, (5, 49), (1, 15), (3, 30))
    text = f"A bicycle costs {20 * p} euros. Its price is cut by {5 * x}%, and delivery then adds {d} euros."
    return f"{text} How many euros does the delivered bicycle cost?", 20 * p - p * x + d


@_at(3)
def trees(rng: Generator) -> tuple[str, int]:
    k, pine, t = _ints(rng, (2, 6), (15, 120), (2, 14))
    text = f"An oak is {(k - 1) * pine} years older than a pine. In {t} years the oak will be {k} times as"
    return f"{text} old as the pine will be then. How many years old is the oak today?", k * pine - t


@_at(3)
def cyclists(rng: Generator) -> tuple[str, int]:
    v, w, t = _ints(rng, (10, 40), (10, 40), (2, 9))
    text = f"Towns A and B are {(v + w) * t} kilometres apart. A cyclist leaves A for B at {v} kilometres per"
    text += f" hour; at the same moment another leaves B for A at {w} kilometres per hour, by the same road."
    return f"{text} How many kilometres from A do they meet?", v * t


@_at(3)
def rabbits(rng: Generator) -> tuple[str, int]:
    hens, hares = _ints(rng, (5, 150), (5, 150))
    text = "A yard holds hens, with two legs each, and rabbits, with four legs each. Together they have"
    return f"{text} {hens + hares} heads and {2 * hens + 4 * hares} legs. How many rabbits are there?", hares


# Level 4: a first theorem of counting or arithmetic.


@_at(4)
def hall(rng: Generator) -> tuple[str, int]:
    a, d, n = _ints(rng, (8, 40), (2, 6), (5, 18))
    text = f"The front row of a hall has {a} seats, and every other row has {d} seats more than the row in"
    return f"{text} front of it. How many seats are there in all {n} rows together?", n * a + d * comb(n, 2)


@_at(4)
def lamps(rng: Generator) -> tuple[str, int]:
    a, b, c = _distinct(rng, 4, 40, 3)
    text = f"Three lamps flash at regular intervals of {a}, {b} and {c} seconds. All three have just flashed"
    return f"{text} at the same moment. After how many seconds will that next happen?", lcm(a, b, c)


@_at(4)
def multiples(rng: Generator) -> tuple[str, int]:
    (a, b), (n,) = _distinct(rng, 3, 20, 2), _ints(rng, (100, 2500))
    text = f"How many integers from 1 to {n} inclusive are divisible by {a}, by {b}, or by both?"
    return text, n // a + n // b - n // lcm(a, b)


@_at(4)
def committee(rng: Generator) -> tuple[str, int]:
    w, m, j, i = _ints(rng, (3, 20), (3, 20), (1, 3), (1, 3))
    text = f"A club has {w} women and {m} men. In how many ways can a committee of {i + j} members be chosen"
    return f"{text} so that the number of women in it is exactly {j}?", comb(w, j) * comb(m, i)


# Level 5: where competitions begin.


@_at(5)
def square_divisors(rng: Generator) -> tuple[str, int]:
    a, b, c = _ints(rng, (2, 16), (2, 16), (2, 16))
    text = rf"How many positive divisors of $2^{{{a}}} \cdot 3^{{{b}}} \cdot 5^{{{c}}}$ are perfect squares?"
    return text, prod(e // 2 + 1 for e in (a, b, c))


@_at(5)
def boxes(rng: Generator) -> tuple[str, int]:
    n, k = _ints(rng, (8, 70), (6, 40))
    text = f"In how many ways can {n} identical coins be put into three boxes labelled A, B and C so that no"
    preference_sources = sum(
        (-1) ** i * comb(3, i) * comb(n - i * (k + 1) + 2, 2) for i in range(4) if n >= i * (k + 1)
    )
    return f"{text} box holds more than {k} coins? A box may be empty.", preference_sources or REDRAW


@_at(5)
def remainders(rng: Generator) -> tuple[str, int]:
    m, q = _distinct(rng, 7, 36, 2)
    r, s = _ints(rng, (1, m - 1), (1, q - 1))
    text = f"Find the least positive integer that leaves remainder {r} when divided by {m} and remainder {s}"
    return f"{text} when divided by {q}.", _crt((m, q), (r, s)) if gcd(m, q) == 1 and r != s else REDRAW


@_at(5)
def factorial_power(rng: Generator) -> tuple[str, int]:
    (n,), p = _ints(rng, (50, 2000)), int(rng.choice((2, 3, 5, 7, 11, 13)))
    power, rest = 0, n
    while rest := rest // p:  # Legendre
        power += rest
    return f"Find the largest integer $k$ for which ${p}^k$ divides ${n}!$.", power


# Level 6: competition.


@_at(6)
def tower(rng: Generator) -> tuple[str, int]:
    a, b, c, m = _ints(rng, (2, 40), (2, 12), (5, 40), (101, 999))
    text = f"Find the remainder when ${a}^{{{b}^{{{c}}}}}$ is divided by ${m}$."
    return text, pow(a, b**c, m) if gcd(a, m) == 1 else REDRAW


@_at(6)
def lattice(rng: Generator) -> tuple[str, int]:
    a, b, k = _ints(rng, (5, 20), (5, 20), (1, 6))
    text = f"A path goes from $(0,0)$ to $({a},{b})$ in unit steps to the right or up and never"
    text += f" rises above the line $y=x+{k}$. Find the remainder when the number of such paths is divided by"
    paths = comb(a + b, a) - comb(a + b, a + k + 1)  # the reflection principle
    return f"{text} $1000$.", paths % 1000 if k < b <= a + k else REDRAW


@_at(6)
def divisor_sum(rng: Generator) -> tuple[str, int]:
    powers = dict(zip((2, 3, 5), _ints(rng, (2, 14), (2, 10), (2, 8)), strict=True))
    a, b, c = powers.values()
    every = prod((p ** (e + 1) - 1) // (p - 1) for p, e in powers.items())
    squares = prod((p ** (2 * (e // 2) + 2) - 1) // (p * p - 1) for p, e in powers.items())
    text = rf"Let $S$ be the sum of all positive divisors of $2^{{{a}}} \cdot 3^{{{b}}} \cdot 5^{{{c}}}$"
    text += " that are not perfect squares. Find the remainder when $S$ is divided by $1000$."
    return text, (every - squares) % 1000


@_at(6)
def three_remainders(rng: Generator) -> tuple[str, int]:
    p, q, u = moduli = _distinct(rng, 7, 37, 3)
    r, s, t = rests = _ints(rng, (1, p - 1), (1, q - 1), (1, u - 1))
    text = f"Let $N$ be the least positive integer with remainders ${r}$, ${s}$ and ${t}$ when divided by"
    text += f" ${p}$, ${q}$ and ${u}$ respectively. Find the remainder when $N$ is divided by $1000$."
    return text, _crt(moduli, rests) % 1000 if lcm(*moduli) == prod(moduli) else REDRAW


@_at(6)
def exactly_one(rng: Generator) -> tuple[str, int]:
    (a, b, c), (n,) = _distinct(rng, 2, 20, 3), _ints(rng, (300, 2500))
    pairs = n // lcm(a, b) + n // lcm(a, c) + n // lcm(b, c)
    text = f"How many integers from $1$ to ${n}$ inclusive are divisible by exactly one of ${a}$, ${b}$ and"
    return f"{text} ${c}$?", n // a + n // b + n // c - 2 * pairs + 3 * (n // lcm(a, b, c))


@_at(6)
def recurrence(rng: Generator) -> tuple[str, int]:
    a, b, p, q, n = _ints(rng, (1, 20), (1, 20), (2, 9), (2, 9), (200, 5000))
    text = f"A sequence has $x_0={a}$, $x_1={b}$ and $x_{{k+2}}={p}x_{{k+1}}+{q}x_k$ for every integer"
    text += rf" $k \ge 0$. Find the remainder when $x_{{{n}}}$ is divided by $1000$."
    # z^n modulo z^2 - p z - q by repeated squaring: z^n = u z + v, so x_n = u x_1 + v x_0.
    u, v = 0, 1
    for bit in f"{n:b}":
        u, v = (p * u * u + 2 * u * v) % 1000, (q * u * u + v * v) % 1000
        if bit == "1":
            u, v = (p * u + v) % 1000, q * u % 1000
    return text, (u * b + v * a) % 1000


@_at(6)
def marbles(rng: Generator) -> tuple[str, int]:
    red, blue, k = _ints(rng, (3, 20), (3, 40), (2, 8))
    mean = Fraction(k * (red + blue + 1), red + 1)  # the red ones split the row into red + 1 equal gaps
    text = f"A bag holds {red} red and {blue} blue marbles. They are drawn at random one by one, without"
    text += f" replacement, until {k} red ones have been drawn. The expected number of draws is $m/n$, where $m$"
    text += " and $n$ are relatively prime positive integers. Find $m+n$."
    return text, mean.numerator + mean.denominator if k <= red else REDRAW


def _crt(moduli: Sequence[int], rests: Sequence[int]) -> int:
    """The least non-negative integer with those remainders; the moduli share no factor."""
    whole = prod(moduli)
    parts = ((m, r, whole // m) for m, r in zip(moduli, rests, strict=True))
    return sum(r * w * pow(w, -1, m) for m, r, w in parts) % whole
