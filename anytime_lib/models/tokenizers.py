"""What are a text's tokens, where the reply did not say?

The server is asked, each kind in its own way, or a `tokenizers` file that the user names is read. Either tells the
tokens' bytes, which join to the text.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from anytime_lib.errors import DataError
from anytime_lib.models.tokens import ends_of

Ask = Callable[[str, dict[str, Any]], Awaitable[Any]]
"""Sends a body to a route below the server's root and returns the JSON it answers with; None if there is none."""
_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")


async def server_pieces(ask: Ask, model: str, text: str, owner: str = "") -> list[bytes] | None:
    """The tokens of a text by the server's own tokenizer (llama.cpp, vLLM, SGLang); None where it has none."""
    llamacpp = {"content": text, "with_pieces": True}
    others = {"model": model, "prompt": text, "add_special_tokens": False, "return_token_strs": True}
    for asked in (llamacpp, others) if owner == "llamacpp" else (others, llamacpp):
        body = await ask("/tokenize", asked)
        if body is None:
            return None
        if (pieces := await _pieces_in(body, ask, model, text)) is not None:
            return pieces
    return None


async def _pieces_in(body: Any, ask: Ask, model: str, text: str) -> list[bytes] | None:
    """The tokens that an answer of /tokenize tells of: strings (vLLM), objects with a `piece` (llama.cpp), or numbers
    alone (SGLang), which /detokenize turns back into strings."""
    tokens = body.get("tokens") if isinstance(body, dict) else None
    if not isinstance(tokens, list) or not tokens:
        return None
    if (strings := _strings(body.get("token_strs"))) is not None:
        return vocabulary_pieces(strings, text)
    if isinstance(tokens[0], dict):
        pieces = [_raw(t.get("piece")) if isinstance(t, dict) else b"" for t in tokens]
        return pieces if b"".join(pieces).strip() == text.encode().strip() else None
    if not all(isinstance(t, int) for t in tokens):
        return None
    back = await ask("/detokenize", {"model": model, "tokens": [[t] for t in tokens], "skip_special_tokens": False})
    strings = _strings(back.get("text")) if isinstance(back, dict) else None
    pieces = [_utf8(s) for s in strings or ()]
    return pieces if strings is not None and ends_of(pieces, text) is not None else None


def _strings(value: object) -> list[str] | None:
    return value if isinstance(value, list) and all(isinstance(s, str) for s in value) else None


def _utf8(text: str) -> bytes:
    return text.encode(errors="replace")


def _raw(piece: object) -> bytes:
    """A token's bytes: llama.cpp gives a string, or a list of numbers where it is no whole character."""
    try:
        return piece.encode() if isinstance(piece, str) else bytes(piece)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        return b""


def vocabulary_pieces(strings: Sequence[str], text: str) -> list[bytes] | None:
    """The bytes of tokens given as a vocabulary writes them: as they are, in the byte alphabet of GPT-2 (`Ġ` for a
    space), or as SentencePiece has them (`▁`, `<0x0A>`). None if none of these readings joins to the text."""
    alphabet = _byte_alphabet()
    plain = [_utf8(s) for s in strings]
    byte_level = [bytes(alphabet.get(c, 0) for c in s) for s in strings]
    sentencepiece = [bytes([int(s[3:5], 16)]) if _BYTE.fullmatch(s) else _utf8(s.replace("▁", " ")) for s in strings]
    readings, wanted = (plain, byte_level, sentencepiece), text.encode().strip()
    return next((pieces for pieces in readings if b"".join(pieces).strip() == wanted), None)


@cache
def _byte_alphabet() -> dict[str, int]:
    """The letters in which byte-level vocabularies write the 256 bytes: printable ones stand for themselves."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    return {chr(b): b for b in plain} | {chr(256 + i): b for i, b in enumerate(others)}


class FileTokenizer:
    """A tokenizer from a `tokenizer.json`, as most open models come with one; DataError if the file is none."""

    def __init__(self, path: str | Path) -> None:
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the package raises plain Exceptions
            said = " ".join(str(error).split())[:200]
            raise DataError(
                f"cannot read {str(path)!r} as a tokenizer ({said}); give the path of the model's tokenizer.json"
            ) from None
        self._tokenizer.no_truncation()

    def pieces(self, text: str) -> list[bytes]:
        """The tokens' bytes; a character that several tokens share belongs to the last of them."""
        offsets = self._tokenizer.encode(text, add_special_tokens=False).offsets
        cuts = [min(end, begin) for (_, end), (begin, _) in itertools.pairwise(offsets)]
        ends = [0, *itertools.accumulate([*cuts, len(text)] if offsets else [], max)]
        return [_utf8(text[a:b]) for a, b in itertools.pairwise(ends)]
