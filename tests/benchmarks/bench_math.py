"""How long do `extract_integer` and Math-Verify take per answer, and what is their ratio? One run, one machine."""

import platform
import random
import statistics

from common import seconds

from anytime_lib.tasks.integers import extract_integer
from anytime_lib.tasks.math_verify import second_opinions

SHAPES = (
    "The final answer is $\\boxed{{{n}}}$.",
    "So the remainder is {n}.\n\n**Answer:** {n:03}",
    "Final answer: \\boxed{{{n}}}",
    "We add {n} and 3 to get $\\frac{{{n}}}{{4}}$, hence $m+n = \\boxed{{m+n={n}}}$.",
    "80 but will check {n} and then",
    "{n}",
)
REASONING = "Since $a^2 + b^2 = {n}$ we have $\\gcd(a, b) = 1$, so the sum over all $k \\le {n}$ is even. "
TURNS, ANSWERS = 5, 300


def main() -> None:
    rng = random.Random(0)
    answers = [rng.choice(SHAPES).format(n=rng.randrange(1000)) for _ in range(ANSWERS)]
    long = [REASONING.format(n=rng.randrange(1000)) * 40 + answer for answer in answers]
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, medians of {TURNS} turns")
    print(f"{'answers':>28} {'ours us':>9} {'theirs us':>10} {'ratio':>7}")
    for name, texts in (("short (median 25 characters)", answers), ("after 4,000 characters", long)):
        ours, theirs = [], []
        for _ in range(TURNS):
            ours.append(seconds(lambda texts=texts: [extract_integer(t) for t in texts]) / ANSWERS * 1e6)
            theirs.append(second_opinions([(text, 17) for text in texts]).seconds.mean() * 1e6)
        a, b = statistics.median(ours), statistics.median(theirs)
        print(f"{name:>28} {a:9.1f} {b:10.1f} {b / a:7.1f}")
    print(second_opinions([(text, 17) for text in answers]).kind.value_counts(sort=False).to_string())


if __name__ == "__main__":
    main()
