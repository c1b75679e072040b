"""What of a text is thought, and what is said, in plain signs?"""

import re
import unicodedata

LONGEST = 10_000  # characters of a reply that are read, its last: several times what an answer turn can hold

# Full-width and typographic signs as plain ones; invisible ones go; pictures are spaces, but crosses stay.
_SIGNS: dict[int, str | int | None] = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_SIGNS |= {code: " " for block in (range(0x2600, 0x27C0), range(0x1F300, 0x1FB00)) for code in block}
_SIGNS |= str.maketrans(
    "‘’“”«»【】。、−\u00a0\u202f\u3000", '\'\'""""[].,-   ', "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\ufe0f\xad"
)
_SIGNS |= dict.fromkeys((*range(0x2794, 0x27B0), *range(0x27B1, 0x27BF), 0x21D2), "→") | {ord(c): c for c in "❌✗✘❎"}
_LETTERS = (*range(0x1D400, 0x1D6A4), *range(0x24B6, 0x24EA), *range(0x1F130, 0x1F134))  # 𝐂, Ⓒ, 🄲
_SIGNS |= {code: unicodedata.normalize("NFKC", chr(code)) for code in _LETTERS}
_SIGNS |= {first + i: "ABCD"[i] for first in (0x1F150, 0x1F170, 0x1F1E6) for i in range(4)}  # 🅒, 🅲, 🇨

_NAME = r"(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|scratchpad|analysis|rationale|monologue|cot)"
# Around thinking: <think>, <seed:think>, <|begin_of_thought|>, ◁think▷, [THINK], <|channel>thought, and the channels of
# harmony, with their tokens ("<|channel|>analysis<|message|>") or stripped of them ("analysisWe need", "think\n").
_TAG = re.compile(
    rf"""(?ix)
    (?P<opened> (?:<\|?|&lt;|◁) (?!end_)(?:\w{{1,20}}[:_])? {_NAME} (?:\s[^<>]{{0,99}})? (?:\|?>|&gt;|▷)
      | \[(?:think(?:ing)?|reasoning)\] | <\|channel>thought | \A\s{{0,9}}(?:think\n|analysis(?-i:(?=[A-Z])))
      | (?:<\|start\|>assistant)? <\|channel\|>\s?(?:analysis|commentary)
        (?: [^<]{{0,80}} (?:<\|constrain\|>\w*)? <\|message\|> )? )
  | (?P<closed> (?:<\|?/|&lt;/|◁/) (?:\w{{1,20}}[:_])? {_NAME} \s? (?:\|?>|&gt;|▷)
      | \[/(?:think(?:ing)?|reasoning)\] | <\|?end_(?:of_)?{_NAME}\|?> | <channel\|> | (?-i:assistantfinal)
      | (?P<ends>\nanswer\n)
      | (?:<\|end\|>\s?)?(?:<\|start\|>assistant)?<\|channel\|>\s?final (?:[^<]{{0,80}}<\|message\|>)? )"""
)
_MENTIONING = re.compile(r"(?i)(?:\b(?:the|an?|tags?|tokens?|write|use)\s|[`“‘])\Z")
# Where a turn ends, and where one begins.
_STOP = re.compile(
    r"(?i)<\|(?:im_(?:start|end)|eot_id|eom_id|start_header_id|endoftext|end[_▁](?:of[_▁])?(?:text|turn|sentence)|end"
    r"|return|user)\|>|<｜end▁of▁sentence｜>|<(?:end_of_turn|eos|eot|pad)>|\[(?:eos|/?inst)\]|</s>\s*(?:\Z|<s>)|\A\s*<s>"
)
_HTML = re.compile(
    r"(?i)<\|(?:begin|end)_of_solution\|>"
    r"|<(?:/?(?:b|i|u|em|strong|span|code|mark|sup)|(?P<block>/?(?:br|p|div|li|td|tr|h[1-6])))(?:\s[^<>]{0,80})?/?>"
)


def split_thinking(text: str) -> tuple[str, str]:
    """What of a text was thought and what was said, by its tags, whatever they are called; ("", text) if it has none.

    Thinking that never ends goes to the end of the text; thinking that ends without a beginning (chat templates open it
    in the prompt) began with the text. What is said before and after stands on lines of its own. A tag that is only
    mentioned ("the tag <think>") is part of what is said.
    """
    parts, at, begun, inside, mentioned = list[tuple[bool, str]](), 0, 0, False, False
    for tag in _TAG.finditer(text):
        opens, was_mentioned = tag["opened"] is not None, mentioned
        mentioned = opens and not inside and bool(_MENTIONING.search(text[max(0, tag.start() - 9) : tag.start()]))
        if mentioned or (inside if opens else was_mentioned or (tag["ends"] and not inside)):
            continue
        parts.append((inside, text[at : tag.start()]))
        begun = begun if opens or inside else len(parts)  # thinking that began with the text
        at, inside = tag.end(), opens
    if not parts:
        return "", text
    parts.append((inside, text[at:]))
    thought = "".join(part for i, (thinking, part) in enumerate(parts) if thinking or i < begun)
    return thought, "\n".join(part for thinking, part in parts[begun:] if not thinking and part.strip()).lstrip()


def said(text: str) -> str:
    """What is said outside of any thinking, up to the end of its turn, in plain signs."""
    text = next(filter(str.strip, _STOP.split(split_thinking(text)[1])), "").strip()
    text = ("…" * (len(text) > LONGEST) + text[-LONGEST:]).translate(_SIGNS)
    return _HTML.sub(lambda tag: "\n" if tag["block"] else "", text).strip()
