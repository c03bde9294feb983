"""The same features in plain Python, on strings and sets: what the compiled kernel must equal, and how to read it."""

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
    MONTH_WORDS,
    NEGATION_WORDS,
    NUMBER_WORDS,
    SCALE_WORDS,
    SIDES,
    STOP_WORDS,
)
from agents.hallucination.overlap import MAX_MARK, MAX_QUOTE

_fold: Callable[[int], int] = fold.py_func
_is_word: Callable[[int], bool] = is_word.py_func
_is_wide: Callable[[int], bool] = is_wide.py_func
_is_upper: Callable[[int], bool] = is_upper.py_func
_ADDRESS = re.compile(r"[A-Za-z]+://[^\x00-\x20)>\]\"'<]*|[\w.%+-]+@[A-Za-z0-9-]*\.[A-Za-z0-9.-]*", re.ASCII)
_NUMBER_RUN = re.compile(r"[0-9]+(?:[.,][0-9]+)*", re.ASCII)
_DENIALS = re.compile("[않없못]|아니")
_MARKS = re.compile('["\u201c-\u201f]')
_LONG = 10**16


@dataclass(frozen=True, slots=True)
class Number:
    """``plain`` as written, ``whole`` with its unit; ``scaled`` where one follows."""

    plain: Fraction
    shift: int = 0
    scaled: bool = False

    @property
    def whole(self) -> Fraction:
        """Its value with the unit."""
        return self.plain * Fraction(10) ** self.shift

    @property
    def year(self) -> int:
        """The year that it may be, or 0."""
        whole = self.shift == 0 and self.plain.denominator == 1 and 1000 <= self.plain <= 2099
        return int(self.plain) if whole else 0


@dataclass(frozen=True, slots=True)
class Word:
    """A word, its stem, its number and what kind of word it is."""

    text: str
    stem: str
    begin: int
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
class Side:
    """Everything of one side that is compared."""

    words: list[Word] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    quotes: list[list[Word]] = field(default_factory=list)

    def pairs(self) -> list[tuple[str, str]]:
        """Neighbours in one sentence."""
        return _pairs(self.words)

    def sentences(self) -> list[list[Word]]:
        """Words by sentence."""
        found: dict[int, list[Word]] = {}
        for word in self.words:
            found.setdefault(word.sentence, []).append(word)
        return list(found.values())


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of a context, each way that an answer may write it."""

    plain: set[Fraction]
    bare: set[Fraction]
    whole: set[Fraction]
    rounded: set[Fraction]
    decades: set[int]

    @classmethod
    def of(cls, words: Sequence[Word]) -> Numbers:
        """Collect them."""
        found = [w.number for w in words if w.number]
        return cls(
            {n.plain for n in found},
            {n.plain for n in found if not n.scaled},
            {n.whole for n in found},
            {r for n in found if not n.year for r in _rounded(n)},
            {n.year // 10 * 10 for n in found if n.year},
        )

    def back(self, word: Word) -> bool:
        """Whether they have the number of this word."""
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
    """To two or three figures, or to one from a million on, half up."""
    digits, power = _trim(number.plain)
    n = len(str(digits)) if digits else 0
    size = n + power + number.shift
    if size < 3 and power >= 0:
        return []
    found = []
    for keep in range(1 if size > 6 else 2, min(3, n - 1) + 1):
        unit = 10 ** (n - keep)
        found.append((digits + unit // 2) // unit * Fraction(10) ** (power + number.shift + n - keep))
    return found


def _trim(value: Fraction) -> tuple[int, int]:
    """Write a decimal as digits without closing zeros, times a power of ten."""
    power = 0
    while value.denominator != 1:
        value, power = value * 10, power - 1
    digits = int(value)
    while digits and digits % 10 == 0:
        digits, power = digits // 10, power + 1
    return digits, power


def measure(context: Sequence[str], question: Sequence[str], response: Sequence[str]) -> list[float] | None:
    """Features that the texts give, in the order of `FEATURES`; None where the response has no word."""
    ctx, asked, own = _read(context), _read(question), _read(response)
    if not own.words:
        return None
    known_words = {w.text for w in ctx.words + asked.words}
    numbers = Numbers.of(ctx.words + asked.words)
    stems = {w.stem for w in ctx.words}
    words = _share([w.text in known_words for w in own.words])
    covered = [w.stem in stems for w in own.words if w.content]
    content = _share(covered, words)
    per_sentence = [[w.stem in stems for w in s if w.content] for s in own.sentences()]
    aligned, order, opposites, denials = _align(ctx, own)
    close = words if aligned is None else aligned
    pairs = set(ctx.pairs())
    figures = [
        not (numbers.back(w) if w.number else w.text in known_words) for w in own.words if w.digits and not w.marker
    ]
    names = [
        not (w.text in known_words or w.stem in stems or (w.month and numbers.back(w))) for w in own.words if w.name
    ]
    sources = [a not in ctx.addresses + asked.addresses for a in own.addresses]
    sources += [_uncited(w, ctx, asked, len(context)) for w in own.words if w.marker]
    denial_new = any(w.negates for w in own.words) and not any(w.negates for w in ctx.words)
    return [
        words,
        _share([p in pairs for p in own.pairs()], words),
        content,
        min((_share(s) for s in per_sentence if len(s) >= 2), default=content),
        close,
        _longest_gap(covered) / len(covered) if covered else 0.0,
        *_missing(figures),
        *_missing(names),
        _missing(sources)[1],
        _missing([any(p not in pairs for p in _pairs(q)) for q in own.quotes])[1],
        opposites / (1.0 + opposites),
        denials / (1.0 + denials),
        float(denial_new),
        _missing([w.text in ABSOLUTE_WORDS and w.text not in known_words for w in own.words])[1],
        order,
        _missing(figures)[1] * (close * close),
        _missing(names)[1] * (close * close),
        denials / (1.0 + denials) * (close * close),
    ]


def _uncited(word: Word, context: Side, asked: Side, texts: int) -> bool:
    if word.text in {w.text for w in context.words + asked.words if w.marker}:
        return False
    return (
        word.number is None or word.number.plain.denominator != 1 or not 1 <= word.number.plain <= min(texts, MAX_MARK)
    )


def _pairs(words: Sequence[Word]) -> list[tuple[str, str]]:
    return [(a.text, b.text) for a, b in pairwise(words) if a.sentence == b.sentence]


def _share(hits: Sequence[bool], otherwise: float = 0.0) -> float:
    return sum(hits) / len(hits) if hits else otherwise


def _missing(absent: Sequence[bool]) -> tuple[float, float]:
    return _share(absent), sum(absent) / (1.0 + sum(absent))


def _longest_gap(covered: Sequence[bool]) -> int:
    return max(map(len, "".join("x" if hit else "o" for hit in covered).split("x")))


def _align(context: Side, own: Side) -> tuple[float | None, float, float, int]:
    total = shared = neighbours = kept = denials = 0
    opposites = 0.0
    for sentence in own.sentences()[:MAX_SENTENCES]:
        stems = {w.stem for w in sentence if w.content}
        best, other = 0, list[Word]()
        for candidate in context.sentences():
            common = len(stems & {w.stem for w in candidate if w.content})
            if common > best:
                best, other = common, candidate
        total += len(stems)
        shared += best
        if not best:
            continue
        theirs = [w.stem for w in other if w.content and w.stem in stems][:MAX_STEMS]
        ours = [w.stem for w in [w for w in sentence if w.content][:MAX_STEMS] if w.stem in theirs]
        if len(ours) >= 2:
            neighbours += len(ours) - 1
            kept += max(_common(ours, theirs) - 1, 0)
        denials += any(w.negates for w in sentence) and not any(w.negates for w in other)
        opposites += len(_sides(sentence) & {code ^ 1 for code in _sides(other)}) * best / len(stems)
    order = 1.0 - kept / neighbours if neighbours else 0.0
    return shared / total if total else None, order, opposites, denials


def _sides(words: Sequence[Word]) -> set[int]:
    """Sides of opposites that a sentence takes; not of those it has both of."""
    codes = {SIDES[w.text] for w in words if w.text in SIDES}
    return {code for code in codes if code ^ 1 not in codes}


def _common(a: Sequence[str], b: Sequence[str]) -> int:
    line = [0] * (len(b) + 1)
    for x in a:
        corner = 0
        for j, y in enumerate(b):
            corner, line[j + 1] = line[j + 1], corner + 1 if x == y else max(line[j + 1], line[j])
    return line[-1]


def _read(texts: Sequence[str]) -> Side:
    side, sentence = Side(), 0
    for text in texts:
        first = len(side.words)
        sentence = _words(text, side, sentence)
        side.addresses += [m.group().rstrip(".,;:!?").lower() for m in _ADDRESS.finditer(text)]
        side.quotes += _quotes(text, side.words[first:])
    return side


def _quotes(text: str, words: Sequence[Word]) -> list[list[Word]]:
    """Words between two marks, three to `MAX_QUOTE` of them; a mark that closes none opens the next."""
    found: list[list[Word]] = []
    opened: int | None = None
    for mark in _MARKS.finditer(text):
        at = sum(w.begin < mark.end() for w in words)
        if opened is not None and 3 <= at - opened <= MAX_QUOTE:
            found.append(list(words[opened:at]))
            opened = None
        else:
            opened = at
    return found


def _words(text: str, side: Side, sentence: int) -> int:
    opens, i = True, 0
    while i < len(text):
        if _is_word(ord(text[i])):
            end = _end(text, i)
            word = _word(text, i, end, sentence, opens=opens)
            side.words.append(word if word.digits else _scale(text, side.words, word))
            opens, i = False, end
            continue
        ends = text[i] in "\n。！？" or (text[i] in ".!?" and (i + 1 == len(text) or ord(text[i + 1]) <= 32))
        if ends and not opens:
            sentence, opens = sentence + 1, True
        i += 1
    return sentence if opens else sentence + 1


def _scale(text: str, words: list[Word], word: Word) -> Word:
    """Let a unit or power of ten scale the number one ASCII character before it; it then counts as that number too."""
    if word.text not in SCALE_WORDS or not words:
        return word
    before = words[-1]
    if before.number is None or before.month or before.sentence != word.sentence:
        return word
    if word.begin - before.end != 1 or not text[before.end].isascii():
        return word
    scaled = replace(before.number, shift=before.number.shift + SCALE_WORDS[word.text], scaled=True)
    words[-1] = replace(before, number=scaled)
    return replace(word, number=Number(scaled.whole, 0, scaled=True))


def _end_of_digits(text: str, begin: int = 0) -> int:
    run = _NUMBER_RUN.match(text, begin)
    return run.end() if run else begin


def _end(text: str, begin: int) -> int:
    i = _end_of_digits(text, begin)
    while i < len(text) and _is_word(ord(text[i])):
        i += 1
    return i


def _word(whole: str, begin: int, end: int, sentence: int, *, opens: bool) -> Word:
    raw = whole[begin:end]
    text = "".join(chr(_fold(ord(c))) for c in raw).replace(",", "")
    if raw[0] in "0123456789":
        number, marker = _figure(raw), whole[max(begin - 1, 0) : begin] == "[" and whole[end : end + 1] == "]"
        return Word(text, text, begin, end, sentence, number, content=True, digits=True, marker=marker)
    wide, plain = _is_wide(ord(raw[0])), text not in STOP_WORDS | NEGATION_WORDS
    value = MONTH_WORDS.get(text, NUMBER_WORDS.get(text))
    return Word(
        text=text,
        stem=text[: 2 if wide else 5],
        begin=begin,
        end=end,
        sentence=sentence,
        number=None if value is None else Number(Fraction(value)),
        content=plain and (len(text) >= 3 or wide),
        name=plain and not opens and len(text) >= 2 and _is_upper(ord(raw[0])),
        negates=text in NEGATION_WORDS or bool(_DENIALS.search(text)),
        month=text in MONTH_WORDS,
    )


def _figure(raw: str) -> Number | None:
    """Read the number at the head of a word; None where two points make it none."""
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
