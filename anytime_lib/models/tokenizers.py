"""What are a text's tokens, where the reply did not say?

The server is asked, each kind in its own way, or a `tokenizers` file that the user names is read. Either tells the
tokens' bytes, which join to the text.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel

from anytime_lib.errors import DataError, RequestFailed
from anytime_lib.models.endpoint import Endpoint
from anytime_lib.models.tokens import ends_of


class TextTokenizer:
    """Tokens of texts by an endpoint's own tokenizer (llama.cpp, vLLM, SGLang), or by the user's `tokenizer.json`."""

    def __init__(self, endpoint: Endpoint, file: str | Path | None) -> None:
        self.endpoint, self.file = endpoint, from_file(file) if file else None

    async def pieces(self, text: str) -> tuple[list[bytes] | None, bool]:
        """The tokens' bytes, None where there is no tokenizer; and whether they come from the user's file."""
        found = None if "tokenize" in self.endpoint.dropped else await self._by_server(text)
        if found is None and self.file is not None:
            return file_pieces(self.file, text), True
        return found, False

    async def _by_server(self, text: str) -> list[bytes] | None:
        """The tokens that an answer of /tokenize tells of: strings (vLLM), objects with a `piece` (llama.cpp), or
        numbers alone (SGLang), which /detokenize turns back into strings."""
        model = {"model": self.endpoint.model}
        asked = model | {"prompt": text, "add_special_tokens": False, "return_token_strs": True}
        body = await self._ask("/tokenize", asked | {"content": text, "with_pieces": True})  # as llama.cpp calls them
        try:
            if body.get("token_strs"):
                return vocabulary_pieces(body["token_strs"], text)
            if isinstance(body["tokens"][0], dict):  # a string, or numbers where it is no whole character
                told = [token["piece"] for token in body["tokens"]]
                pieces = [piece.encode() if isinstance(piece, str) else bytes(piece) for piece in told]
            else:
                tokens = {"tokens": [[token] for token in body["tokens"]], "skip_special_tokens": False}
                pieces = [_utf8(told) for told in (await self._ask("/detokenize", model | tokens))["text"]]
        except (AttributeError, LookupError, TypeError, ValueError):
            return None  # nothing, or another kind of server
        return pieces if ends_of(pieces, text) is not None else None

    async def _ask(self, route: str, body: dict[str, Any]) -> Any:
        """What the server answers; None where it has no such route, which is noted, or refuses."""
        try:
            found = await self.endpoint.ask(self.endpoint.base_url.removesuffix("/v1") + route, body)
        except RequestFailed:
            return None
        if found is None:
            self.endpoint.dropped.add("tokenize")
        return found


def from_file(path: str | Path) -> Tokenizer:
    """A tokenizer from a `tokenizer.json`, as most open models come with one; DataError if the file is none."""
    try:
        found = Tokenizer.from_file(str(path))
    except Exception as error:  # the package raises plain Exceptions
        said = " ".join(str(error).split())[:200]
        raise DataError(f"cannot read {str(path)!r} as a model's tokenizer.json ({said})") from None
    found.no_truncation()
    return found


def file_pieces(tokenizer: Tokenizer, text: str) -> list[bytes]:
    """The tokens' bytes; a character that several tokens share belongs to the last of them."""
    offsets = tokenizer.encode(text, add_special_tokens=False).offsets
    cuts = [min(end, begin) for (_, end), (begin, _) in itertools.pairwise(offsets)]
    ends = [0, *itertools.accumulate([*cuts, len(text)] if offsets else [], max)]
    return [_utf8(text[a:b]) for a, b in itertools.pairwise(ends)]


def vocabulary_pieces(strings: Sequence[str], text: str) -> list[bytes] | None:
    """The bytes of tokens given as a vocabulary writes them: as they are, in the byte alphabet of GPT-2 (`Ġ` for a
    space), or as SentencePiece has them (`▁`, `<0x0A>`). None if none of these readings joins to the text."""
    byte_level = ByteLevel().decode(list(strings)).encode()  # one letter of the alphabet is one byte
    places = [0, *itertools.accumulate(map(len, strings))]
    byte = re.compile(r"<0x([0-9A-F]{2})>")
    readings = (
        [_utf8(s) for s in strings],
        [byte_level[begin:end] for begin, end in itertools.pairwise(places)],
        [bytes.fromhex(found[1]) if (found := byte.fullmatch(s)) else _utf8(s.replace("▁", " ")) for s in strings],
    )
    return next((pieces for pieces in readings if b"".join(pieces).strip() == text.encode().strip()), None)


def _utf8(text: str) -> bytes:
    return text.encode(errors="replace")
