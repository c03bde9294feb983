"""Plain Python reference of the grounding features, on strings and sets; the numba kernel must equal it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise

from agents.common.unicode_fold import fold, is_upper, is_wide, is_word
from agents.hallucination.align import MAX_SENTENCES, MAX_STEMS
from agents.hallucination.lexicon import (
    ABSOLUTE_WORDS,
    ANTONYM_CODES,
    MONTH_WORDS,
    NEGATION_WORDS,
    NUMBER_WORDS,
    SCALE_WORDS,
    STOP_WORDS,
)
from agents.hallucination.overlap import MAX_CITATION, MAX_QUOTE

_fold: Callable[[int], int] = fold.py_func
_is_word: Callable[[int], bool] = is_word.py_func
_is_wide: Callable[[int], bool] = is_wide.py_func
_is_upper: Callable[[int], bool] = is_upper.py_func
_ADDRESS = re.compile(r"[A-Za-z]+://[^\x00-\x20)>\]\"'<]*|[\w.%+-]+@[A-Za-z0-9-]*\.[A-Za-z0-9.-]*", re.ASCII)
_NUMBER_RUN = re.compile(r"[0-9]+(?:[.,][0-9]+)*", re.ASCII)
_NEGATIONS = re.compile("[않없못]|아니")
_MARKS = re.compile('["\u201c-\u201f]')
_LONG = 10**16


@dataclass(frozen=True, slots=True)
class Number:
    """A number: ``plain`` as written, ``whole`` with its unit; ``scaled`` if a unit follows."""

    plain: Fraction
    shift: int = 0
    scaled: bool = False

    @property
    def whole(self) -> Fraction:
        """Return the value with its unit."""
        return self.plain * Fraction(10) ** self.shift

    @property
    def year(self) -> int:
        """Return the year that the number may be, or 0."""
        whole = self.shift == 0 and self.plain.denominator == 1 and 1000 <= self.plain <= 2099
        return int(self.plain) if whole else 0


@dataclass(frozen=True, slots=True)
class Word:
    """A word with its stem, its number and its properties."""

    text: str
    stem: str
    start: int
    end: int
    sentence: int
    number: Number | None = None
    content: bool = False
    name: bool = False
    negates: bool = False
    digits: bool = False
    marker: bool = False
    month: bool = False


@dataclass(slots=True)
class Text:
    """Words, addresses and quotations of the context, the question or the response."""

    words: list[Word] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    quotes: list[list[Word]] = field(default_factory=list)

    def pairs(self) -> list[tuple[str, str]]:
        """Return pairs of neighbouring words of one sentence."""
        return _pairs(self.words)

    def sentences(self) -> list[list[Word]]:
        """Return the words of each sentence."""
        sentences: dict[int, list[Word]] = {}
        for word in self.words:
            sentences.setdefault(word.sentence, []).append(word)
        return list(sentences.values())


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers of a context in each form that an answer may use."""

    plain: set[Fraction]
    bare: set[Fraction]
    whole: set[Fraction]
    rounded: set[Fraction]
    decades: set[int]

    @classmethod
    def of(cls, words: Sequence[Word]) -> Numbers:
        """Collect the numbers of ``words``."""
        numbers = [w.number for w in words if w.number]
        return cls(
            {n.plain for n in numbers},
            {n.plain for n in numbers if not n.scaled},
            {n.whole for n in numbers},
            {r for n in numbers if not n.year for r in _rounded(n)},
            {n.year // 10 * 10 for n in numbers if n.year},
        )

    def support(self, word: Word) -> bool:
        """Return whether the context has a form of the number of ``word``."""
        number = word.number
        if number is None:
            return False
        if number.whole in self.whole or number.plain in (self.bare if number.scaled else self.plain):
            return True
        if word.month or not word.digits:
            return False
        if number.year:
            return number.year in self.decades
        return number.whole in self.rounded


def _rounded(number: Number) -> list[Fraction]:
    """Round half up to two or three figures, from a million on also to one figure."""
    digits, power = _trim(number.plain)
    n = len(str(digits)) if digits else 0
    size = n + power + number.shift
    if size < 3 and power >= 0:
        return []
    values = []
    for keep in range(1 if size > 6 else 2, min(3, n - 1) + 1):
        unit = 10 ** (n - keep)
        values.append((digits + unit // 2) // unit * Fraction(10) ** (power + number.shift + n - keep))
    return values


def _trim(value: Fraction) -> tuple[int, int]:
    """Return a decimal as digits without trailing zeros and a power of ten."""
    power = 0
    while value.denominator != 1:
        value, power = value * 10, power - 1
    digits = int(value)
    while digits and digits % 10 == 0:
        digits, power = digits // 10, power + 1
    return digits, power


def measure(context: Sequence[str], question: Sequence[str], response: Sequence[str]) -> list[float] | None:
    """Return the features of the texts in the order of `FEATURES`; None if the response has no word."""
    ctx, asked, answer = _analyse(context), _analyse(question), _analyse(response)
    if not answer.words:
        return None
    vocabulary = {w.text for w in ctx.words + asked.words}
    numbers = Numbers.of(ctx.words + asked.words)
    stems = {w.stem for w in ctx.words}
    words = _share([w.text in vocabulary for w in answer.words])
    covered = [w.stem in stems for w in answer.words if w.content]
    content = _share(covered, words)
    per_sentence = [[w.stem in stems for w in s if w.content] for s in answer.sentences()]
    aligned, order, opposites, denials = _align(ctx, answer)
    close = words if aligned is None else aligned
    pairs = set(ctx.pairs())
    figures = [
        not (numbers.support(w) if w.number else w.text in vocabulary)
        for w in answer.words
        if w.digits and not w.marker
    ]
    names = [
        not (w.text in vocabulary or w.stem in stems or (w.month and numbers.support(w)))
        for w in answer.words
        if w.name
    ]
    sources = [a not in ctx.addresses + asked.addresses for a in answer.addresses]
    sources += [_uncited(w, ctx, asked, len(context)) for w in answer.words if w.marker]
    denial_new = any(w.negates for w in answer.words) and not any(w.negates for w in ctx.words)
    return [
        words,
        _share([p in pairs for p in answer.pairs()], words),
        content,
        min((_share(s) for s in per_sentence if len(s) >= 2), default=content),
        close,
        _longest_gap(covered) / len(covered) if covered else 0.0,
        *_missing(figures),
        *_missing(names),
        _missing(sources)[1],
        _missing([any(p not in pairs for p in _pairs(q)) for q in answer.quotes])[1],
        opposites / (1.0 + opposites),
        denials / (1.0 + denials),
        float(denial_new),
        _missing([w.text in ABSOLUTE_WORDS and w.text not in vocabulary for w in answer.words])[1],
        order,
        _missing(figures)[1] * (close * close),
        _missing(names)[1] * (close * close),
        denials / (1.0 + denials) * (close * close),
    ]


def _uncited(word: Word, context: Text, asked: Text, texts: int) -> bool:
    if word.text in {w.text for w in context.words + asked.words if w.marker}:
        return False
    return (
        word.number is None
        or word.number.plain.denominator != 1
        or not 1 <= word.number.plain <= min(texts, MAX_CITATION)
    )


def _pairs(words: Sequence[Word]) -> list[tuple[str, str]]:
    return [(a.text, b.text) for a, b in pairwise(words) if a.sentence == b.sentence]


def _share(hits: Sequence[bool], default: float = 0.0) -> float:
    return sum(hits) / len(hits) if hits else default


def _missing(absent: Sequence[bool]) -> tuple[float, float]:
    return _share(absent), sum(absent) / (1.0 + sum(absent))


def _longest_gap(covered: Sequence[bool]) -> int:
    return max(map(len, "".join("x" if hit else "o" for hit in covered).split("x")))


def _align(context: Text, answer: Text) -> tuple[float | None, float, float, int]:
    total = shared = neighbours = ordered = denials = 0
    opposites = 0.0
    for sentence in answer.sentences()[:MAX_SENTENCES]:
        stems = {w.stem for w in sentence if w.content}
        best, match = 0, list[Word]()
        for candidate in context.sentences():
            common = len(stems & {w.stem for w in candidate if w.content})
            if common > best:
                best, match = common, candidate
        total += len(stems)
        shared += best
        if not best:
            continue
        match_stems = [w.stem for w in match if w.content and w.stem in stems][:MAX_STEMS]
        common_stems = [w.stem for w in [w for w in sentence if w.content][:MAX_STEMS] if w.stem in match_stems]
        if len(common_stems) >= 2:
            neighbours += len(common_stems) - 1
            ordered += max(_longest_common_subsequence(common_stems, match_stems) - 1, 0)
        denials += any(w.negates for w in sentence) and not any(w.negates for w in match)
        opposites += len(_antonyms(sentence) & {code ^ 1 for code in _antonyms(match)}) * best / len(stems)
    order = 1.0 - ordered / neighbours if neighbours else 0.0
    return shared / total if total else None, order, opposites, denials


def _antonyms(words: Sequence[Word]) -> set[int]:
    """Return the antonym codes of a sentence, without pairs of which it has both sides."""
    codes = {ANTONYM_CODES[w.text] for w in words if w.text in ANTONYM_CODES}
    return {code for code in codes if code ^ 1 not in codes}


def _longest_common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    line = [0] * (len(b) + 1)
    for x in a:
        corner = 0
        for j, y in enumerate(b):
            corner, line[j + 1] = line[j + 1], corner + 1 if x == y else max(line[j + 1], line[j])
    return line[-1]


def _analyse(texts: Sequence[str]) -> Text:
    analysed, sentence = Text(), 0
    for text in texts:
        first = len(analysed.words)
        sentence = _append_words(text, analysed, sentence)
        analysed.addresses += [m.group().rstrip(".,;:!?").lower() for m in _ADDRESS.finditer(text)]
        analysed.quotes += _quotes(text, analysed.words[first:])
    return analysed


def _quotes(text: str, words: Sequence[Word]) -> list[list[Word]]:
    """Return three to `MAX_QUOTE` words between two marks; a mark that closes no quotation opens the next one."""
    quotes: list[list[Word]] = []
    opened: int | None = None
    for mark in _MARKS.finditer(text):
        position = sum(w.start < mark.end() for w in words)
        if opened is not None and 3 <= position - opened <= MAX_QUOTE:
            quotes.append(list(words[opened:position]))
            opened = None
        else:
            opened = position
    return quotes


def _append_words(text: str, analysed: Text, sentence: int) -> int:
    opens, i = True, 0
    while i < len(text):
        if _is_word(ord(text[i])):
            end = _end(text, i)
            word = _word(text, i, end, sentence, opens=opens)
            analysed.words.append(word if word.digits else _scale(text, analysed.words, word))
            opens, i = False, end
            continue
        ends = text[i] in "\n。！？" or (text[i] in ".!?" and (i + 1 == len(text) or ord(text[i + 1]) <= 32))
        if ends and not opens:
            sentence, opens = sentence + 1, True
        i += 1
    return sentence if opens else sentence + 1


def _scale(text: str, words: list[Word], word: Word) -> Word:
    """Scale the number one ASCII character before a unit or power of ten; the unit has the scaled number, too."""
    if word.text not in SCALE_WORDS or not words:
        return word
    previous = words[-1]
    if previous.number is None or previous.month or previous.sentence != word.sentence:
        return word
    if word.start - previous.end != 1 or not text[previous.end].isascii():
        return word
    scaled = replace(previous.number, shift=previous.number.shift + SCALE_WORDS[word.text], scaled=True)
    words[-1] = replace(previous, number=scaled)
    return replace(word, number=Number(scaled.whole, 0, scaled=True))


def _end_of_digits(text: str, start: int = 0) -> int:
    run = _NUMBER_RUN.match(text, start)
    return run.end() if run else start


def _end(text: str, start: int) -> int:
    i = _end_of_digits(text, start)
    while i < len(text) and _is_word(ord(text[i])):
        i += 1
    return i


def _word(whole: str, start: int, end: int, sentence: int, *, opens: bool) -> Word:
    raw = whole[start:end]
    text = "".join(chr(_fold(ord(c))) for c in raw).replace(",", "")
    if raw[0] in "0123456789":
        number, marker = _figure(raw), whole[max(start - 1, 0) : start] == "[" and whole[end : end + 1] == "]"
        return Word(text, text, start, end, sentence, number, content=True, digits=True, marker=marker)
    wide, plain = _is_wide(ord(raw[0])), text not in STOP_WORDS | NEGATION_WORDS
    value = MONTH_WORDS.get(text, NUMBER_WORDS.get(text))
    return Word(
        text=text,
        stem=text[: 2 if wide else 5],
        start=start,
        end=end,
        sentence=sentence,
        number=None if value is None else Number(Fraction(value)),
        content=plain and (len(text) >= 3 or wide),
        name=plain and not opens and len(text) >= 2 and _is_upper(ord(raw[0])),
        negates=text in NEGATION_WORDS or bool(_NEGATIONS.search(text)),
        month=text in MONTH_WORDS,
    )


def _figure(raw: str) -> Number | None:
    """Parse the number at the start of a word; return None if it has two points."""
    end = _end_of_digits(raw)
    digits = raw[:end].replace(",", "")
    if digits.count(".") > 1:
        return None
    value, power, points = 0, 0, 0
    for c in digits:
        if c == ".":
            points = 1
        elif value < _LONG:
            value, power = value * 10 + int(c), power - points
        else:
            power += 1 - points
    rest = "".join(chr(_fold(ord(c))) for c in raw[end:])
    return Number(value * Fraction(10) ** power, SCALE_WORDS.get(rest, 0), rest in SCALE_WORDS)
