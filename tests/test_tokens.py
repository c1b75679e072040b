"""Cutting: pieces join to the text, a cut is a prefix, characters stay whole."""

import asyncio
import itertools
from pathlib import Path

import pytest
import tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anytime_lib.errors import DataError
from anytime_lib.models.embedded import EmbeddedServer
from anytime_lib.models.endpoint import Endpoint
from anytime_lib.models.reply import Reply
from anytime_lib.models.token_ends import ends_of
from anytime_lib.models.tokenizers import TextTokenizer, file_pieces, from_file, vocabulary_pieces
from anytime_lib.models.tokens import cut, proportional_ends, scaled_ends

LOST = "\ufffd".encode()
texts = st.text(alphabet=st.characters(codec="utf-8"), min_size=1)


@st.composite
def tokenised(draw: st.DrawFn) -> tuple[str, list[bytes]]:
    """A text and any division of its bytes into tokens, also inside characters."""
    text = draw(texts)
    raw = text.encode()
    inner = draw(st.lists(st.integers(1, len(raw)), max_size=8)) if len(raw) > 1 else []
    at = sorted({0, len(raw), *inner})
    return text, [raw[a:b] for a, b in itertools.pairwise(at)]


@given(tokenised(), st.integers(-1, 12))
def test_a_cut_is_a_prefix_of_whole_characters(given_: tuple[str, list[bytes]], budget: int) -> None:
    text, pieces = given_
    ends = ends_of(pieces, text)
    assert ends is not None and ends[-1] == len(text.encode()) and len(ends) == len(pieces)
    found = cut(text, ends, budget)
    assert text.startswith(found)
    if budget >= len(pieces):
        assert found == text
    else:
        whole = b"".join(pieces[: max(budget, 0)])
        assert len(whole) - 3 <= len(found.encode()) <= len(whole)
        assert len(found) <= len(cut(text, ends, budget + 1))


@given(texts, st.integers(1, 50))
def test_proportional_boundaries_give_every_token_its_share(text: str, n: int) -> None:
    ends = proportional_ends(text, n)
    assert len(ends) == n and ends == sorted(ends) and ends[-1] == len(text.encode())
    for budget in range(n):
        assert abs(len(cut(text, ends, budget)) - len(text) * budget / n) <= 0.5
    assert proportional_ends(text, 0) == proportional_ends("", n) == []
    assert scaled_ends(ends, n) == ends and set(scaled_ends(ends, 7)) <= {0, *ends}


@given(tokenised(), st.integers(1, 12))
def test_characters_that_tokens_split_may_come_as_marks(given_: tuple[str, list[bytes]], budget: int) -> None:
    """vLLM decodes each token by itself: the parts of a split character read as U+FFFD. Cuts stay the same."""
    text, pieces = given_
    marked = [p.decode(errors="replace").encode() for p in pieces]
    ends = ends_of(marked, text)
    if b"".join(marked) == text.encode():
        assert ends == ends_of(pieces, text)
    elif ends is not None:  # several unknown characters in a row cannot always be told apart
        assert ends == sorted(ends) and ends[-1] == len(text.encode()) and len(ends) <= len(pieces)
        assert text.startswith(cut(text, ends, budget))


@pytest.mark.parametrize(
    ("pieces", "text", "ends"),
    [([b" The", b" end", b"\n"], "The end", [3, 7]), ([b"The", b" end", b""], "The end", [3, 7]),
     ([b"another", b" text"], "The end", None), ([], "", []), ([b"a", LOST, b"c"], "abd", None),
     ([b"a", b" " + LOST, LOST, LOST, b" b", LOST, LOST], "a 😀 b😀", [1, 2, 2, 6, 8, 8, 12])],
)  # fmt: skip
def test_what_servers_strip_and_add_and_split(pieces: list[bytes], text: str, ends: list[int] | None) -> None:
    """A split character belongs to its last token."""
    assert ends_of(pieces, text) == ends


@given(texts, texts)
def test_a_part_of_a_stream_has_boundaries_of_its_own(drawn: str, after: str) -> None:
    reasoning = f"so: {drawn}"
    pieces = [b"<think>", *(bytes([b]) for b in reasoning.encode()), b"</think>", after.encode()]
    assert ends_of(pieces, reasoning, whole=False) == list(range(1, len(reasoning.encode()) + 1))
    assert ends_of([b"x"], "y", whole=False) is None


@pytest.mark.parametrize(
    "strings",
    [["The", "Ġend", "ĊĠ", "Ã¼"],  # byte-level, as GPT-2, Llama 3 and Qwen write them
     ["The", "▁end", "<0x0A>", "▁", "ü"],  # SentencePiece
     ["The", " end", "\n ", "ü"]],
)  # fmt: skip
def test_a_vocabulary_s_own_spelling(strings: list[str]) -> None:
    pieces = vocabulary_pieces(strings, "The end\n ü")
    assert pieces is not None and b"".join(pieces) == "The end\n ü".encode()
    assert vocabulary_pieces(strings, "another text") is None


@pytest.fixture(scope="module")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level tokenizer, trained here on a little text."""
    found = tokenizers.Tokenizer(tokenizers.models.BPE())
    found.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    found.train_from_iterator(["the end of the day, and then the beginning of the end"] * 20, trainer)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    found.save(str(path))
    return path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=texts)
def test_a_tokenizer_s_file(tokenizer_file: Path, text: str) -> None:
    pieces = file_pieces(from_file(tokenizer_file), text)
    assert b"".join(pieces) == text.encode()
    ids = tokenizers.Tokenizer.from_file(str(tokenizer_file)).encode(text).ids
    assert len(pieces) == len(ids)
    ends = ends_of(pieces, text)
    assert ends is not None
    for budget in range(len(ends) + 1):  # a cut keeps a character whole, and gives it to the last of its tokens
        assert cut(text, ends, budget) == b"".join(pieces[:budget]).decode()


@pytest.mark.parametrize("content", [None, "{}", "not json"])
def test_a_file_that_is_no_tokenizer(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_text(content, "utf-8")
    with pytest.raises(DataError, match=r"^[^\n]*tokenizer\.json[^\n]*$"):
        from_file(path)


@pytest.mark.model
def test_tokens_that_share_a_character_are_counted(embedded: EmbeddedServer) -> None:
    """llama.cpp's token stream joins the tokens of a character that they split; the tokenizer's are taken then."""

    async def ask() -> tuple[Reply, list[bytes] | None]:
        endpoint = Endpoint(embedded.base_url, embedded.alias, "none")
        asked = [{"role": "user", "content": "Write ten emoji one after the other: 😀 🐈 "}]
        reply = await endpoint.chat(asked, max_tokens=40, temperature=0.0, tokens=True)
        pieces, _ = await TextTokenizer(endpoint, None).pieces(reply.text)
        await endpoint.close()
        return reply, pieces

    reply, pieces = asyncio.run(ask())
    assert len(reply.text) < reply.completion_tokens - 5, "the model wrote no emoji"
    assert reply.ends is None and pieces is not None and ends_of(pieces, reply.text) is not None
    assert abs(len(pieces) - reply.completion_tokens) <= 3
