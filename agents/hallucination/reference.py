"""The same features in plain Python, on strings and sets: what the compiled kernel must equal, and how to read it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from agents.chars import fold, is_upper, is_wide, is_word
from agents.hallucination.align import MAX_SENTENCES
from agents.hallucination.lexicon import NEGATION, NUMBER_SHIFT, STOP, meaning

_fold: Callable[[int], int] = fold.py_func
_is_word: Callable[[int], bool] = is_word.py_func
_is_wide: Callable[[int], bool] = is_wide.py_func
_is_upper: Callable[[int], bool] = is_upper.py_func
_ADDRESS = re.compile(r"[A-Za-z]+://[^\x00-\x20)>\]\"'<]*|[\w.%+-]+@[A-Za-z0-9-]*\.[A-Za-z0-9.-]*", re.ASCII)
_NUMBER_RUN = re.compile(r"[0-9]+(?:[.,][0-9]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Word:
    """A word, its stem, its number (empty: none) and what kind of word it is."""

    text: str
    stem: str
    number: str
    sentence: int
    content: bool
    name: bool
    negates: bool
    digits: bool


@dataclass(slots=True)
class Side:
    """Everything of one side that is compared."""

    words: list[Word] = field(default_factory=list)
    grams: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)

    def pairs(self) -> list[tuple[str, str]]:
        """Neighbours in one sentence."""
        pairs = zip(self.words, self.words[1:], strict=False)
        return [(a.text, b.text) for a, b in pairs if a.sentence == b.sentence]

    def sentences(self) -> list[list[Word]]:
        """Words by sentence."""
        found: dict[int, list[Word]] = {}
        for word in self.words:
            found.setdefault(word.sentence, []).append(word)
        return list(found.values())


def measure(context: Sequence[str], question: Sequence[str], response: Sequence[str]) -> list[float] | None:
    """Features of one event in the order of `FEATURES`; None where the response has no word."""
    ctx, asked, own = _read(context), _read(question), _read(response)
    if not own.words:
        return None
    known_words = {w.text for w in ctx.words + asked.words}
    known_numbers = {w.number for w in ctx.words + asked.words if w.number}
    stems = {w.stem for w in ctx.words}
    words = _share([w.text in known_words for w in own.words])
    covered = [w.stem in stems for w in own.words if w.content]
    content = _share(covered, words)
    per_sentence = [[w.stem in stems for w in s if w.content] for s in own.sentences()]
    aligned, denial = _align(ctx, own)
    numbers = [w.number not in known_numbers for w in own.words if w.digits]
    names = [w.text not in known_words and w.stem not in stems for w in own.words if w.name]
    addresses = [a not in ctx.addresses + asked.addresses for a in own.addresses]
    return [
        words,
        _share([p in set(ctx.pairs()) for p in own.pairs()], words),
        _share([g in set(ctx.grams) for g in own.grams]),
        content,
        min((_share(s) for s in per_sentence if len(s) >= 2), default=content),
        words if aligned is None else aligned,
        _longest_gap(covered) / len(covered) if covered else 0.0,
        *_missing(numbers),
        *_missing(names),
        _missing(addresses)[1],
        denial,
    ]


def _share(hits: Sequence[bool], otherwise: float = 0.0) -> float:
    return sum(hits) / len(hits) if hits else otherwise


def _missing(absent: Sequence[bool]) -> tuple[float, float]:
    return _share(absent), sum(absent) / (1.0 + sum(absent))


def _longest_gap(covered: Sequence[bool]) -> int:
    return max(map(len, "".join("x" if hit else "o" for hit in covered).split("x")))


def _align(context: Side, own: Side) -> tuple[float | None, float]:
    total = shared = matched = differ = 0
    for sentence in own.sentences()[:MAX_SENTENCES]:
        stems = {w.stem for w in sentence if w.content}
        best, denies = 0, False
        for other in context.sentences():
            common = len(stems & {w.stem for w in other if w.content})
            if common > best:
                best, denies = common, any(w.negates for w in other)
        total += len(stems)
        shared += best
        if best and 2 * best >= len(stems):
            matched += 1
            differ += any(w.negates for w in sentence) != denies
    return shared / total if total else None, differ / matched if matched else 0.0


def _read(texts: Sequence[str]) -> Side:
    side, sentence = Side(), 0
    for text in texts:
        sentence = _words(text, side, sentence)
        side.grams += _grams(text)
        side.addresses += [m.group().rstrip(".,;:!?").lower() for m in _ADDRESS.finditer(text)]
    return side


def _words(text: str, side: Side, sentence: int) -> int:
    opens, i = True, 0
    while i < len(text):
        if _is_word(ord(text[i])):
            end = _end(text, i)
            side.words.append(_word(text[i:end], sentence, opens=opens))
            opens, i = False, end
            continue
        ends = text[i] in "\n。！？" or (text[i] in ".!?" and (i + 1 == len(text) or ord(text[i + 1]) <= 32))
        if ends and not opens:
            sentence, opens = sentence + 1, True
        i += 1
    return sentence if opens else sentence + 1


def _end(text: str, begin: int) -> int:
    i = begin
    if number := _NUMBER_RUN.match(text, begin):
        i = number.end()
    while i < len(text) and _is_word(ord(text[i])):
        i += 1
    return i


def _word(raw: str, sentence: int, *, opens: bool) -> Word:
    text = "".join(chr(_fold(ord(c))) for c in raw).replace(",", "")
    wide, digits = _is_wide(ord(raw[0])), raw[0] in "0123456789"
    says = meaning(text)
    run = _NUMBER_RUN.match(raw)
    number = run.group().replace(",", "") if run else str((says >> NUMBER_SHIFT) - 1) if says >> NUMBER_SHIFT else ""
    plain = not says & STOP
    return Word(
        text=text,
        stem=text if digits else text[: 2 if wide else 5],
        number=number,
        sentence=sentence,
        content=digits or (plain and (len(text) >= 3 or wide)),
        name=plain and not digits and not opens and len(text) >= 2 and _is_upper(ord(raw[0])),
        negates=bool(says & NEGATION),
        digits=digits,
    )


def _grams(text: str) -> list[str]:
    stream, found = "   ", []
    for c in text:
        if _is_word(ord(c)):
            stream += chr(_fold(ord(c)))
            found.append(stream[-2:] if _is_wide(ord(c)) else stream[-4:])
        elif stream[-1] != " ":
            stream += " "
    return found
