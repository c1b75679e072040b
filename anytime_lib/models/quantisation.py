"""Which rewriting of the weights is fastest here, and is it still the same model?

llama.cpp multiplies some block formats much faster than others, and which ones depends on the processor. So the
default weights may be rewritten in another format, once, and are served in that form if a measurement on this
machine says that it pays. Only formats that keep the model's distributions are eligible.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import random
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import openai
from huggingface_hub.utils import WeakFileLock

from anytime_lib.errors import ConfigError, DataError, nearest
from anytime_lib.models.embedded import EmbeddedServer, loopback_client
from anytime_lib.models.gguf_file import cache_dir, sha256

log = logging.getLogger(__name__)

KINDS = ("Q8_0", "Q4_0")
# What still counts as the same model, by default: how often the most probable next token is the same, and the mean
# Kullback-Leibler divergence in nats, both against the original.
MIN_TOP1, MAX_KL = 0.95, 0.01
# As tests/benchmarks/bench_quantisation.py measured them, pooled over all runs: Q8_0 at 820 positions in three runs
# (top-1 0.967, 0.963, 0.973; KL 0.0048, 0.0051, 0.0056), Q4_0 at 520 in two. BF16, which keeps the weights and
# differs only in how activations are rounded, had 0.957 and 0.980: the limit lies where rounding noise does.
FIDELITY = {"Q8_0": (0.968, 0.0053), "Q4_0": (0.708, 0.363)}
ELIGIBLE = tuple(k for k, (top1, kl) in FIDELITY.items() if top1 >= MIN_TOP1 and kl <= MAX_KL)
MIN_GAIN = 1.25
"""Q8_0 measured 1.02 to 1.26 on one and the same machine: a smaller gain is not told from noise."""


@dataclass(frozen=True)
class Speed:
    """Tokens per second with four requests at a time: prompt tokens read, and tokens generated."""

    prompt: float
    generation: float

    @property
    def seconds(self) -> float:
        """Seconds for the mix that decides: one prompt token to each generated token.

        That is a sweep's own mix (answer turns re-read little, thanks to the prefix cache), and spends about 40 %
        of the original's time on prompts and 60 % on generating.
        """
        return 1 / self.prompt + 1 / self.generation


def fastest(path: Path) -> Path:
    """The file itself, or its rewriting in the cache folder if that is at least `MIN_GAIN` times as fast here.

    Only a form in `ELIGIBLE` is considered; without any, the file is used as it is and nothing is measured. Else
    the first call measures for about 20 s and records its figures in `quantisation.json` in the cache folder;
    later calls read them, as long as weights, processor and llama.cpp build are the same. ANYTIME_QUANT
    (`original`, `Q8_0`, `Q4_0`) settles the choice without measuring, for exact reproduction elsewhere.
    """
    forced = os.environ.get("ANYTIME_QUANT")
    if forced == "original" or (not forced and not ELIGIBLE):
        return path
    if forced and forced not in KINDS:
        raise ConfigError(f"ANYTIME_QUANT is {forced!r}{nearest(forced, ('original', *KINDS))}")
    folder = cache_dir()
    folder.mkdir(parents=True, exist_ok=True)
    # Two first starts at once would spoil each other's measurement: the second waits, and reads the first's.
    with WeakFileLock(folder / "quantisation.lock"):
        if forced:
            return rewritten(path, forced)
        record, key = folder / "quantisation.json", f"{sha256(path)} {processor()} xllamacpp-{_build()}"
        known = _read(record)
        if key not in known:
            log.warning("measuring which form of %s runs fastest on this machine, once, about 20 s", path.name)
            known[key] = _measure(path)
            _replace(record, json.dumps(known, indent=1).encode())
        chosen = known[key]["chosen"]
        return path if chosen == "original" else rewritten(path, chosen)


def rewritten(path: Path, kind: str) -> Path:
    """The file's rewriting as `kind` in the cache folder, made if it is not there or not whole."""
    target = cache_dir() / "models" / f"{path.stem}-as-{kind}.gguf"
    note = target.with_suffix(".json")
    made = _read(note)
    if made.get("of") == sha256(path) and target.exists() and made.get("sha256") == sha256(target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    requantise(path, target, kind)
    _replace(note, json.dumps({"of": sha256(path), "as": kind, "sha256": sha256(target)}).encode())
    return target


def requantise(source: Path, target: Path, kind: str) -> None:
    """Write `source` again with its quantised matrices as `kind`; the same input gives the same bytes.

    Metadata (chat template, tokenizer) is kept as it is, and so is every tensor that is not block-quantised or
    has eight bits already. What `kind` cannot hold (not a matrix, or rows not in blocks of 32) becomes F16.

    Raises:
        DataError: a tensor is in a format that the gguf package cannot read.
    """
    import gguf
    from gguf.quants import dequantize, quantize

    wanted = gguf.GGMLQuantizationType[kind]
    reader = gguf.GGUFReader(str(source))
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".rewrite-", suffix=".gguf")
    os.close(handle)
    try:
        writer = gguf.GGUFWriter(temporary, reader.get_field("general.architecture").contents())
        writer.data_alignment = reader.alignment
        for field in reader.fields.values():
            if field.name == "general.architecture" or field.name.startswith("GGUF."):
                continue  # the writer's own
            if field.name == "general.file_type":
                writer.add_file_type(gguf.LlamaFileType[f"MOSTLY_{kind}"])
                continue
            of = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=of)
        for tensor in reader.tensors:
            data, form = tensor.data, tensor.tensor_type
            blocked = gguf.GGML_QUANT_SIZES[form][0] > 1
            if blocked and form not in (wanted, gguf.GGMLQuantizationType.Q8_0):
                data = dequantize(data, form)
                fits = data.ndim == 2 and data.shape[-1] % 32 == 0
                form = wanted if fits else gguf.GGMLQuantizationType.F16
                data = quantize(data, form)
            writer.add_tensor(tensor.name, data, raw_dtype=form)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        Path(temporary).replace(target)
    except NotImplementedError as error:
        raise DataError(f"{source} cannot be rewritten as {kind} ({error}); set ANYTIME_QUANT=original") from None
    finally:
        Path(temporary).unlink(missing_ok=True)


def _measure(path: Path) -> dict[str, Any]:
    """Time the original and every eligible rewriting, in turns, and choose."""
    files = {"original": path, **{kind: rewritten(path, kind) for kind in ELIGIBLE}}
    speeds: dict[str, list[Speed]] = {name: [] for name in files}
    with ExitStack() as stack:
        servers = {n: stack.enter_context(EmbeddedServer(f, context=1024)) for n, f in files.items()}
        for turn in range(2):  # in turns, so that whatever else the machine does falls on all alike
            for name, server in servers.items():
                speeds[name].append(speed(server.base_url, server.alias, seed=turn))
    best = {name: min(found, key=lambda s: s.seconds) for name, found in speeds.items()}
    gain = {name: best["original"].seconds / found.seconds for name, found in best.items()}
    winner = max(gain, key=lambda name: gain[name])
    return {
        "chosen": winner if gain[winner] >= MIN_GAIN else "original",
        "processor": processor(),
        "threads": os.cpu_count(),
        "xllamacpp": _build(),
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "measured": {
            name: {"file": file.name, "sha256": sha256(file), **asdict(best[name]), "gain": gain[name]}
            for name, file in files.items()
        },
    }


def speed(base_url: str, model: str, seed: int = 0, parallel: int = 4, generate: int = 48) -> Speed:
    """Measure a served model for a few seconds through the `openai` client, with `parallel` requests at a time."""
    rng = random.Random(seed)
    long = [" ".join(str(rng.random()) for _ in range(8)) for _ in range(parallel)]
    short = [f"Tell me a long story about ship number {rng.randrange(10**6)}." for _ in range(parallel)]
    with loopback_client(base_url) as client:
        _ask(client, model, ["Hi"], 2)
        read, _, reading = _ask(client, model, long, 1)
        more, made, making = _ask(client, model, short, generate)
    prompt = read / reading
    return Speed(prompt, made / max(making - more / prompt, making / 4))


def _ask(client: openai.OpenAI, model: str, prompts: Sequence[str], max_tokens: int) -> tuple[int, int, float]:
    """Put all prompts at once; (prompt tokens that were not cached, generated tokens, seconds)."""

    def one(text: str) -> tuple[int, int]:
        usage: Any = client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": text}],
            max_tokens=max_tokens,
            temperature=0.0,
            extra_body={"ignore_eos": True},
        ).usage
        cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else 0
        return usage.prompt_tokens - (cached or 0), usage.completion_tokens

    start = time.perf_counter()
    with ThreadPoolExecutor(len(prompts)) as pool:
        counts = list(pool.map(one, prompts))
    return sum(c[0] for c in counts), sum(c[1] for c in counts), time.perf_counter() - start


def processor() -> str:
    """The processor's name, with what makes its model ambiguous on virtual machines: family and model number."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
        facts = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        return "{model name} {cpu family}/{model}".format(**facts)
    except (OSError, KeyError):
        return platform.processor() or platform.machine()


def _build() -> str:
    return version("xllamacpp")


def _read(path: Path) -> dict[str, Any]:
    """A JSON object from a file of ours; one that is missing or damaged reads as empty, and is made again."""
    try:
        value = json.loads(path.read_text())
        return value if isinstance(value, dict) else {}
    except (OSError, ValueError):
        return {}


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".write-", delete=False) as file:
        file.write(content)
    Path(file.name).replace(path)
