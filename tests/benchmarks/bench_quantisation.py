"""How fast is each rewriting of the weights here, and how far is it from the original?

    python tests/benchmarks/bench_quantisation.py [--gguf PATH] [--positions 600] [--kinds Q8_0 Q4_0]

Speed: tokens per second through the `openai` client, all forms in turns in the same run, the best of `--turns`.
Distance: the original writes continuations, sampled at 0.7 as traces are; at every position of them each form is
asked for its distribution over the next token. Printed are the mean Kullback-Leibler divergence from the original
(nats, over the original's 1000 most probable tokens, the rest as one event) and how often the most probable token
is the same. The row `original` is the original against itself, with prompts read in one go instead of continued
from the cache: what rounding alone does. BF16 holds the original's weights (to 8 bits of mantissa) without the
rounding of activations to 8 bits that every block format brings: what the same model can differ by.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import openai

from anytime_lib.models import quantisation, weights
from anytime_lib.models.embedded import EmbeddedServer, loopback_client

PROMPTS = (
    "Why is the sky blue? Think step by step.",
    "You plan to visit 3 European cities for 9 days: Rome for 4 days, Oslo for 3 and Paris for 4. Plan the trip.",
    "A shop sells pens at 3 dollars each. Tom buys 14 pens and pays with a 50 dollar note. What is his change?",
    "Write a Python function that reverses a linked list, and explain it.",
    "What is the sum of the first twenty positive integers? Show your reasoning.",
    "Which is more acidic, ethanol or phenol, and why?",
    "Find the remainder when 7 to the power of 100 is divided by 13.",
    "Summarise the causes of the First World War.",
    "A train leaves at 9:40 and arrives at 13:05. How long is the journey?",
    "Explain what a hash table is to a ten year old.",
    "Is it better to rent or to buy a house? Give both sides.",
    "Translate 'the cat sleeps on the warm stone' into French and comment on the grammar.",
)
TOP = 1000


def next_tokens(client: openai.OpenAI, model: str, tokens: list[int], cache: bool) -> dict[int, float]:
    """The distribution over the next token: token id -> log-probability, of the `TOP` most probable."""
    done: Any = client.completions.create(
        model=model,
        prompt=tokens,
        max_tokens=1,
        temperature=0.0,
        logprobs=TOP,
        extra_body={"n_probs": TOP, "cache_prompt": cache, "ignore_eos": True},  # else an end yields no list
    )
    listed = done.choices[0].model_extra or {}
    found = (listed.get("logprobs") or done.choices[0].logprobs.model_dump())["content"][0]["top_logprobs"]
    return {entry["id"]: entry["logprob"] for entry in found}


def contexts(client: openai.OpenAI, model: str, positions: int) -> list[list[int]]:
    """Token sequences to ask at: each prompt followed by 1, 2, 3, ... tokens of the original's text."""
    made, length = [], -(-positions // len(PROMPTS))
    root = client.with_options(base_url=str(client.base_url).removesuffix("v1/"))
    for prompt in PROMPTS:
        text = f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
        ids: Any = root.post("/tokenize", cast_to=object, body={"content": text, "parse_special": True})
        done = client.completions.create(model=model, prompt=text, max_tokens=length, temperature=0.7, seed=1)
        more: Any = root.post("/tokenize", cast_to=object, body={"content": done.choices[0].text})
        made += [ids["tokens"] + more["tokens"][:n] for n in range(min(length, len(more["tokens"])))]
    return made[:positions]


def divergence(p: dict[int, float], q: dict[int, float]) -> float:
    """KL(p || q) in nats over the tokens that both list; everything else is one event."""
    both = [token for token in p if token in q]
    lp, lq = (np.array([d[token] for token in both]) for d in (p, q))
    rest_p, rest_q = (max(1e-12, 1 - float(np.exp(values).sum())) for values in (lp, lq))
    return float((np.exp(lp) * (lp - lq)).sum()) + rest_p * math.log(rest_p / rest_q)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--gguf", type=Path, help="by default the embedded model's own weights")
    parser.add_argument("--kinds", nargs="*", default=list(quantisation.KINDS))
    parser.add_argument("--positions", type=int, default=600)
    parser.add_argument("--turns", type=int, default=3)
    context = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache, ExitStack() as stack:
        path = context.gguf or weights.fetch()
        os.environ["ANYTIME_CACHE"] = cache
        files = {"original": path}
        for kind in context.kinds:
            start = time.perf_counter()
            files[kind] = quantisation.rewritten(path, kind)
            print(f"rewriting as {kind}: {time.perf_counter() - start:.1f} s, sha256 {weights.sha256(files[kind])}")
        servers = {n: stack.enter_context(EmbeddedServer(f, context=2048)) for n, f in files.items()}
        speeds: dict[str, list[tuple[quantisation.Speed, float]]] = {name: [] for name in files}
        for turn in range(context.turns):
            for name, server in servers.items():
                four = quantisation.speed(server.base_url, server.alias, seed=turn)
                one = quantisation.speed(server.base_url, server.alias, seed=turn + 100, parallel=1)
                speeds[name].append((four, one.generation))
        clients = {n: stack.enter_context(loopback_client(s.base_url)) for n, s in servers.items()}
        asked = contexts(clients["original"], servers["original"].alias, context.positions)
        truth = [next_tokens(clients["original"], servers["original"].alias, tokens, True) for tokens in asked]

        columns = ("form", "MB", "prompt tok/s", "gen 1 slot", "gen 4 slots", "gain", "KL", "KL max", "top-1")
        print(f"\n{quantisation.processor()}, {os.cpu_count()} cores, {len(asked)} positions")
        print(" ".join(f"{column:>12}" for column in columns))
        base = min(four.seconds for four, _ in speeds["original"])
        for name, server in servers.items():
            found = [next_tokens(clients[name], server.alias, tokens, name != "original") for tokens in asked]
            kl = [divergence(p, q) for p, q in zip(truth, found, strict=True)]
            same = np.mean([max(p, key=p.__getitem__) == max(q, key=q.__getitem__) for p, q in zip(truth, found)])  # noqa: B905
            best = min((four for four, _ in speeds[name]), key=lambda s: s.seconds)
            alone = max(one for _, one in speeds[name])
            row = [files[name].stat().st_size / 1e6, best.prompt, alone, best.generation, base / best.seconds]
            print(
                f"{name:>12} {row[0]:12.1f} {row[1]:12.0f} {row[2]:12.0f} {row[3]:12.0f} {row[4]:12.2f} "
                f"{np.mean(kl):12.5f} {np.max(kl):12.5f} {same:12.3f}"
            )


if __name__ == "__main__":
    main()
