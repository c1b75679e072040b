"""What does a reply say outside its thinking, and in which words does it state, doubt or take back an answer?"""

import re
import unicodedata

LONGEST = 10_000  # characters of a reply that are read, its last: several times what an answer turn can hold

# Full-width and typographic signs as plain ones; invisible ones go; pictures are spaces, but crosses stay.
_SIGNS: dict[int, str | int | None] = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_SIGNS |= {code: " " for block in (range(0x2600, 0x27C0), range(0x1F300, 0x1FB00)) for code in block}
_SIGNS |= str.maketrans(
    "‘’“”«»【】。、−\u00a0\u202f\u3000", '\'\'""""[].,-   ', "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\ufe0f\xad"
)
_SIGNS |= {ord(cross): cross for cross in "❌✗✘❎➜"}
_LETTERS = (*range(0x1D400, 0x1D6A4), *range(0x24B6, 0x24EA), *range(0x1F130, 0x1F134))  # 𝐂, Ⓒ, 🄲
_SIGNS |= {code: unicodedata.normalize("NFKC", chr(code)) for code in _LETTERS}
_SIGNS |= {first + i: "ABCD"[i] for first in (0x1F150, 0x1F170, 0x1F1E6) for i in range(4)}  # 🅒, 🅲, 🇨

_NAME = r"(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|scratchpad|analysis|rationale)"
# Around thinking: <think>, <seed:think>, <|begin_of_thought|>, ◁think▷, [THINK], <|channel>thought, and the channels of
# harmony, with their tokens ("<|channel|>analysis<|message|>") or stripped of them ("analysisWe need").
_TAG = re.compile(
    rf"""(?ix)
    (?P<opened> (?:<\|?|&lt;|◁) (?!end_)(?:\w{{1,20}}[:_])? {_NAME} (?:\s[^<>]{{0,99}})? (?:\|?>|&gt;|▷)
      | \[think(?:ing)?\] | <\|channel>thought | \A\s{{0,9}}analysis(?-i:(?=[A-Z]))
      | (?:<\|start\|>assistant)? <\|channel\|>\s?(?:analysis|commentary)
        (?: [^<]{{0,80}} (?:<\|constrain\|>\w*)? <\|message\|> )? )
  | (?P<closed> (?:<\|?/|&lt;/|◁/) (?:\w{{1,20}}[:_])? {_NAME} \s? (?:\|?>|&gt;|▷)
      | \[/think(?:ing)?\] | <\|?end_(?:of_)?{_NAME}\|?> | <channel\|> | (?-i:assistantfinal)
      | (?:<\|end\|>\s?)? (?:<\|start\|>assistant)? <\|channel\|>\s?final (?: [^<]{{0,80}} <\|message\|> )? )"""
)
_MENTIONING = re.compile(r"(?i)(?:\b(?:the|an?|tags?|tokens?|write|use)\s|[`“‘])\Z")
_STOP = re.compile(r"(?:<\|(?:im_end|eot_id|endoftext|end)\|>|</s>)\s*\Z")
_HTML = re.compile(
    r"(?i)<\|(?:begin|end)_of_solution\|>|<(?:/?(?:b|i|u|em|strong|span|code|mark|sup)|(?P<block>/?(?:br|p|div|li|td|tr|h[1-6])))(?:\s[^<>]{0,80})?/?>"
)


def split_thinking(text: str) -> tuple[str, str]:
    """What of a text was thought and what was said, by its tags, whatever they are called; ("", text) if it has none.

    Thinking that never ends goes to the end of the text; thinking that ends without a beginning (chat templates open it
    in the prompt) began with the text. What is said before and after stands on lines of its own. A tag that is only
    mentioned ("the tag <think>") is part of what is said.
    """
    parts, at, begun, inside, mentioned = list[tuple[bool, str]](), 0, 0, False, False
    for tag in _TAG.finditer(text):
        if tag["opened"]:
            mentioned = not inside and bool(_MENTIONING.search(text[max(0, tag.start() - 9) : tag.start()]))
            skipped = inside or mentioned
        else:
            skipped, mentioned = mentioned, False
        if not skipped:
            parts.append((inside, text[at : tag.start()]))
            if tag["closed"] and not inside:
                begun = len(parts)  # all of these were thought
            at, inside = tag.end(), bool(tag["opened"])
    if not parts:
        return "", text
    parts.append((inside, text[at:]))
    thought = "".join(part for i, (thinking, part) in enumerate(parts) if thinking or i < begun)
    return thought, "\n".join(part for thinking, part in parts[begun:] if not thinking and part.strip()).lstrip()


def said(text: str) -> str:
    """What is said outside of any thinking, in plain signs."""
    text = split_thinking(text)[1].strip()
    text = ("…" * (len(text) > LONGEST) + text[-LONGEST:]).translate(_SIGNS)
    return _STOP.sub("", _HTML.sub(lambda tag: "\n" if tag["block"] else "", text)).strip()


# How "answer" is said, by languages that part words with a space and by those that do not.
SPACED = "antwort réponse re\u0301ponse reponse respuesta risposta resposta antwoord svar odpowiedź cevap jawaban ответ"
UNSPACED = "正确选项 正確選項 答案 答え 回答 正解 정답 답 उत्तर الإجابة الجواب"
FOREIGN = rf"(?<![^\W_])(?:{SPACED.replace(' ', '|')})(?![^\W_])|{UNSPACED.replace(' ', '|')}"

# Before a statement: "if the answer is", "I don't think the", "it is unlikely that the", "perhaps the".
DOUBTED = re.compile(
    r"(?i)(?:\b(?:if|whether|unless|until|suppose|supposing|assum(?:e|ing)|let's say|(?<!no )doubt|why|perhaps|maybe"
    r"|unlikely|impossible|can(?:no|')t be)|(?:^|[.!?\n]\s{0,3})(?:is|are)"
    r"|(?:\bnot|n't) (?:think|believe|say|mean|know|sure|certain|clear|see|true|the case))"
    r"(?:,? (?:that|the|our|my|your|this|final|correct|right|best|true|only|if|why|whether)){0,6}[\s*_\"'(]*$"
    r"|如果$|若$"
)
# After one: "that is wrong" in the very next words, or "wait" and the like at the start of any later sentence.
RETRACTED = re.compile(
    r"(?i)\A[\s.,;!)$*\]}–—-]{0,9}+(?:(?:oh|no|but|hmm|wait|actually)\b[\s,.!]{0,3}){0,4}"
    r"(?:that|this|which|it)(?:'s| is| was) (?:wrong|incorrect|not (?:right|correct)|impossible)\b"
    r"|(?:\A|[.!?…,;:)\n*–—]|\s-\s)[\s*_]{0,4}+(?:(?:but|oh|ah|hmm|oops|sorry)\b[,. ]{0,3}+)?"
    r"(?:wait\b(?! (?:times?|for|until)\b)|hold on\b|(?:scratch|strike) that\b|on second thoughts?\b"
    r"|no(?:pe)?(?:\s?[,.!;:–—]|\s?\Z|\swait\b)|actually,? (?:no|wait|not|it|I|that|the answer|option|[A-D])\b"
    r"|correction[:,]|I (?:was wrong|made an? (?:error|mistake)|take (?:that|it) back)\b)"
)
