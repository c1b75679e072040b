"""What are a text's tokens, where the reply did not say?"""

import re
from collections.abc import Sequence
from contextlib import suppress
from itertools import accumulate, pairwise
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel

from anytime_lib.errors import DataError, RequestFailed
from anytime_lib.models.endpoint import Endpoint
from anytime_lib.models.token_ends import ends_of


class TextTokenizer:
    """Tokens of texts by an endpoint's own tokenizer (llama.cpp, vLLM, SGLang), or by the user's `tokenizer.json`."""

    def __init__(self, endpoint: Endpoint, file: str | Path | None) -> None:
        self.endpoint, self.file = endpoint, from_file(file) if file else None

    async def ends(self, text: str) -> tuple[list[int] | None, bool]:
        """Where each token of a text ends (see `pieces`)."""
        pieces, by_file = await self.pieces(text)
        return None if pieces is None else ends_of(pieces, text), by_file

    async def pieces(self, text: str) -> tuple[list[bytes] | None, bool]:
        """The tokens' bytes, None where there is no tokenizer; and whether they come from the user's file."""
        if "tokenize" not in self.endpoint.dropped:
            with suppress(RequestFailed, LookupError, TypeError, ValueError):  # refused, or another kind of server
                if (found := await self._by_server(text)) is not None:
                    return found, False
        return (file_pieces(self.file, text), True) if self.file is not None else (None, False)

    async def _by_server(self, text: str) -> list[bytes] | None:
        """The tokens that an answer of /tokenize tells of: strings (vLLM), objects with a `piece` (llama.cpp), or
        numbers alone (SGLang), which /detokenize turns back into strings."""
        url, model = self.endpoint.base_url.removesuffix("/v1"), {"model": self.endpoint.model}
        asked = {"prompt": text, "add_special_tokens": False, "return_token_strs": True}
        asked |= {"content": text, "with_pieces": True}  # as llama.cpp calls them
        body = await self.endpoint.ask(f"{url}/tokenize", model | asked)
        if body is None:
            self.endpoint.dropped.add("tokenize")
            return None
        if strings := dict(body).get("token_strs"):
            return vocabulary_pieces(strings, text)
        if isinstance(body["tokens"][0], dict):  # a string, or numbers where it is no whole character
            told = [token["piece"] for token in body["tokens"]]
            pieces = [piece.encode() if isinstance(piece, str) else bytes(piece) for piece in told]
        else:
            tokens = {"tokens": [[token] for token in body["tokens"]], "skip_special_tokens": False}
            body = await self.endpoint.ask(f"{url}/detokenize", model | tokens)
            pieces = [string.encode() for string in body["text"]]
        return pieces if ends_of(pieces, text) is not None else None


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
    cuts = [min(end, begin) for (_, end), (begin, _) in pairwise(offsets)]
    ends = [0, *accumulate([*cuts, len(text)] if offsets else [], max)]
    return [text[a:b].encode() for a, b in pairwise(ends)]


def vocabulary_pieces(strings: Sequence[str], text: str) -> list[bytes] | None:
    """The bytes of tokens given as a vocabulary writes them: as they are, in the byte alphabet of GPT-2 (`Ġ` for a
    space), or as SentencePiece has them (`▁`, `<0x0A>`). None if none of these readings joins to the text."""
    byte, byte_level = re.compile(r"<0x([0-9A-F]{2})>"), ByteLevel().decode(list(strings)).encode()
    readings = (
        [string.encode() for string in strings],
        [byte_level[a:b] for a, b in pairwise([0, *accumulate(map(len, strings))])],  # one letter is one byte
        [bytes.fromhex(b[1]) if (b := byte.fullmatch(s)) else s.replace("▁", " ").encode() for s in strings],
    )
    return next((pieces for pieces in readings if b"".join(pieces).strip() == text.encode().strip()), None)
