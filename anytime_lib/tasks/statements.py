"""In which words and signs does a reply state an answer, doubt it or take it back?"""

import re

from anytime_lib.tasks.said import said

MOST = 200  # statements of a reply that are looked at, its last: far more than an answer has

# A box in any form, its backslash perhaps lost to a string (where "\b" is a backspace); and one without braces.
_BOX = re.compile(
    r"(?i)(?:\\{1,2}|[\x08</]|(?<![a-z]))(?:(?:b?oxed|(?:f|frame|oval|shadow|b|tc)?box)(?:\s*\[[^\[\]{}]{0,60}\]){0,2}"
    r"|f?colorbox\s*\{[^{}]{0,30}\}(?:\s*\{[^{}]{0,30}\}(?=\s*\{))?)\s*\{"
)
_BRACELESS = re.compile(
    r"\\{1,2}(?:boxed|fbox|framebox)\s*(?:[(\[]?([-+]?\d++(?:[.,/]\d++)*+|[A-D](?![a-z]))(?![\w^!]|\\[^\])])[)\]]?"
    r"|(\\(?:text|math)\w{0,8}\s*\{[^{}]{0,40}\}))"
)
# The one key of JSON that holds its answer: {"choice": "C"}, {"answer": {"value": 42}}.
_KEY = re.compile(
    r"""(?ix) ["'] (?:(?:final|correct|selected|chosen|predicted|best|my)[_\s]?)?
    (?:answer|ans|choice|option|letter|selected|prediction|final|result|response|output|label|value|integer|solution)
    (?:[_\s](?:letter|choice|option|value|integer))? ["'] \s*:\s* (?:\{\s* ["']\w{1,20}["'] \s*:\s*)?"""
)


def stated(text: str) -> str:
    r"""What is `said`, with every box as `\boxed{...}`, and a JSON key that means the answer as `answer: `."""
    text = said(text)
    keys = [key.lower() for key in _KEY.findall(text)]
    if len(keys) == 1:
        text = _KEY.sub("answer: ", text)
    elif len(keys) > len({*keys}):  # the options told over
        text = _KEY.sub(lambda key: key[0] if "ans" in key[0].lower() else " ", text)
    return _BOX.sub(r"\\boxed{", _BRACELESS.sub(r"\\boxed{\1\2}", text))


# TeX that changes how a thing looks, up to the braces around it.
TEX = (
    r"(?:\\(?:(?:text)?color|[hv]space\*?|[hv]?phantom)\s*(?:\[[^\[\]]{0,20}\])?\s*\{[^{}]{0,40}\}"
    r"|\\(?:text(?!color)\w{0,8}|math\w{1,6}|[mh]box|boldsymbol|bm|pmb|emph|underline|ensuremath|operatorname\*?"
    r"|(?:display|script)style|(?:bf|it|rm|sf|tt|md|up)(?:series|family|shape)?|tiny|small|normalsize|[lL]arge|LARGE"
    r"|[hH]uge|left|right|[bB]igg?[lr]?)(?![A-Za-z]))"
)

# What an answer is called, in languages that part words with a space and in those that do not.
_SPACED = (
    r"antwort|lösung|endergebnis|réponse|re\u0301ponse|reponse|respuesta|risposta|resposta|antwoord|svar|vastaus"
    r"|odpowiedź|odpověď|odgovor|răspuns|válasz|cevap|jawaban|đáp\sán|trả\slời|ответ|відповідь|отговор|απάντηση|תשובה"
    "|الإجابة|الجواب|إجابة|جواب|پاسخ"
)
_UNSPACED = "答(?=:)|正[确確](?:的(?:[选選][项項])?|[选選][项項])|答案|答え|回答|解答|正解|정답|답|उत्तर|উত্তর|பதில்|คำตอบ"
LABEL = rf"(?:(?<![^\W_])(?:answer|ans|{_SPACED})(?![^\W_])|{_UNSPACED})"

# What links a label to the answer; "is not B but" leads to the answer, too.
LINK = (
    r"(?:(?:(?:(?:is|:)\s+no(?:t|\s+longer)|isn't)\s+[^.;:\n]{1,30}?,?\s+but(?:\s+(?:rather|instead|is|it\s+is|it's))?"
    r"|(?:(?:should|must|would|will|shall|has\s+to|ought\s+to)\s+)?(?:be|equal)|is\s+equal\s+to|is|equals|becomes"
    r"|amounts\s+to|comes?\s+(?:out\s+)?(?:to(?:\s+be)?|as|at)|(?:turns|works)\s+out\s+(?:to(?:\s+be)?|as|at)"
    r"|ist|wäre|lautet|beträgt|est|es|è|é|jest|هو|هي)\b"
    r"|不是[^.\n]{1,20}?而是|(?:应该?|應該?|应当)?(?:[就即]?[是为為]|等于)|[은는이が은は])"
)
# What may stand between a label or a link and the answer, and adds nothing.
SURELY = "therefore|thus|hence|then|clearly|simply|just|indeed|exactly|probably|likely|actually|really|donc|somit|also"
ASIDE = r"(?:,?\s+(?:then|therefore|thus|hence|so|(?:that\s+)?we\s+(?:seek|want|need)|I\s+(?:think|believe)),?(?=\s))"

# Before a statement: "if the answer is", "I don't think the", "it is unlikely that the", "you might say the", "not".
_NEGATED = r"(?:\b(?:not(?!\s(?:hard|difficult))|never|no\s+longer|nobody|no\s+one|cannot|nicht|pas)|n't)"
_THAT = (
    r"(?:,?\s(?:that|the|our|my|your|this|final|correct|right|best|true|only|if|why|whether|to|for\sme|say|claim"
    r"|conclude|it|it's|is|be|dass|que|la|le|die|der|ist|est|es|el|a|o|bonne|richtige|correcta)){0,8}[\s*_\"'($]*$"
)
_DOUBTED = re.compile(
    r"(?i)(?:\b(?:if|when|whether|unless|until|suppos(?:e|ing)|assum(?:e|ing)|imagine|let's\s+say"
    r"|why|perhaps|maybe|possibl[ey]|no\s+way|hope|rather\s+than|instead\s+of|nor|neither|(?:(?<!no\s)(?<!without\s)doubt"
    r"|doubtful|unlikely|improbable|impossible|untrue|false|wrong|mistaken|incorrect|tempt(?:ing|ed))(?!,(?!\sthat))"
    r"|partial|previous|initial|preliminary|intermediate|sample|example|si|wenn|falls|se|als|если|vielleicht"
    r"|möglicherweise|peut-être|quizás?|tal\svez|talvez|forse|(?:might|could|may|would|people|some|others)\s+(?:think|say|believe|guess|expect))"
    r"|(?:^|[.!?\n]\s{0,3})(?:is|are)"
    rf"|{_NEGATED}(?:\s+(?:really|yet|at\s+all))?"
    r"(?:\s+(?:think|believe|say|mean|knows?|see|sure|certain|clear|true|convinced|the\s+case))?"
    rf"|(?:{_NEGATED}|\b(?:no(?!\sdoubt)|(?<!not\s)(?:hard|difficult)|may|might|could|unlikely|impossible"
    rf"|wrong|suppose|assume))\b[^.!?;:\n]{{0,40}}\s(?:that|que)){_THAT}"
    r"|(?:[如若]果?|假[设如設]|要是|[不没沒](?:认为|認為|相信|确定|確定|知道)?|为什么|怀疑|懷疑|也许|可能|或许|是否|并非|而非)"
    r"(?:最终|本题)?$"
)
_CONDITION = re.compile(  # "Si" may be silicon
    r"(?i)(?:^|[.!?\n])[\s*_>]{0,6}(?:(?:and|but|so|now|then|only|or|however),?\s){0,2}"
    r"(?:(?:if|assuming|provided)(?!\s(?:we|you|I|one)\s(?!assume|suppose))|assume|unless|suppos(?:e|ing)|wenn|falls"
    r"|s[ie](?=\s[^.\n]*\b(?:la|el)\s(?:\w+\s)?$))\b(?:[^.!?;\n]|\.(?=\d))*$"
    r"|(?:^|[.!?,\n])\s?(?:如果|若|倘若|假[如设設]|要是)[^.!?\n]*$"
)
_LABELLED = re.compile(rf"(?i){LABEL}\s*{LINK}[\s:*_$(\[]*$")


def doubted(text: str, at: int, box: bool = False) -> bool:
    """Whether what is stated there is denied, doubted or conditional ("If n is even, the"; no box without label)."""
    label = _LABELLED.search(text, max(0, at - 40), at) if box else None
    at = label.start() if label else at
    condition = (label or not box) and _CONDITION.search(text, max(0, at - 200), at)
    return bool(condition or _DOUBTED.search(text, max(0, at - 60), at))


# After one: "is wrong" in the very next words, or "wait" and the like at the start of any later sentence.
_WRONG = r"(?:wrong|incorrect|false|impossible|invalid|mistaken|not\s(?:right|correct|true|it\b|the\s(?:\w+\s)?answer))"
RETRACTED = re.compile(
    r"(?i)\A(?:[ ,;(*$}\])]{1,9}(?:only\s)?(?:if(?!\syou)|unless|provided|assuming|wenn|falls)\b"
    r"|[\s.,;!)$*\]}–—-]{0,9}+(?:\?|\((?:wrong|incorrect)\b"
    r"|(?:(?:oh|no|but|and|hmm|wait|actually)\b[\s,.!]{0,3}){0,4}"
    rf"(?:that|this|which|it)?(?:(?:'s|\s?\bis|\swas|\sseems|\slooks)\s{_WRONG}|\s?(?:contradicts|violates)"
    r"|\s?(?:can(?:no|')t|could\snot)\sbe\s(?:right|correct|true|it))\b))"
    r"|(?:\A|[.!?…,;:)(\n*–—]|\s-\s)[\s*_$}]{0,4}+(?:(?:but|oh|ah|hmm|oops|sorry)\b[,. ]{0,3}+)?"
    r"(?:wait\b(?! (?:times?|for|until)\b)|hold on\b|(?:scratch|strike) that\b|on (?:second thoughts?|reflection)\b"
    r"|hmm+\b|oops\b|never ?mind\b|no(?:pe)?(?:\s?[,.!;:–—]|\s?\Z|\swait\b)"
    r"|let me (?:re(?:do|consider|-?c)|start over|try again)"
    r"|actually,? (?:no|wait|not|it|I|that|let|the answer|option|[A-D])\b|correction[:,]|my (?:mistake|bad)\b"
    r"|I (?:was wrong|mis\w+|made an? (?:error|mistake)|take (?:that|it) back)\b)|等等|不对|不對|更正"
)
# "So the answer should be 3. However, ..."
YET = re.compile(r"(?i)[^.\n]{0,30}\b(?:should|would)\s(?:then\s)?be\b[^.\n]{0,60}\.[\s*_]{1,4}(?:however|but|yet)\b")
# Of two answers at once, what stands between.
BETWEEN = r"(?:[/&+、]|\b(?:and|or|und|oder|или|ou|o)\b|[和或与與及]|还是|還是)"
