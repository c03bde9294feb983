"""Training rows from supported answers that a small edit makes unsupported; labelled data sets have too few of them.

Each edited answer is paired with its original, so that the edit is the only difference (contrast sets: Gardner et al.
2020, "Evaluating models' local decision boundaries via contrast sets", Findings of EMNLP).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agents.hallucination.lexicon import ANTONYM_CODES, STOP_WORDS

Row = Mapping[str, Any]
Edit = Callable[[Row, Sequence[Row], random.Random], str | None]
PER_SOURCE = 250
"""Maximum number of answers of a source per kind of edit."""

_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{2,}")
_CONTENT = re.compile(r"\b[a-z]{4,}\b")
_NUMBER = re.compile(r"\b[0-9]+(?:[.,][0-9]+)*\b")
_AUXILIARY = re.compile(r"\b(?:is|was|are|were|has|have|can|will|had|could|should|would)\b(?! not)")
_OPPOSITE = re.compile(rf"\b(?:{'|'.join(sorted(ANTONYM_CODES))})\b")


def edited(rows: Sequence[Row], seed: int) -> list[Row]:
    """Return pairs of an edited answer (label 1) and its original (label 0); ``src`` names the edit.

    Parameters
    ----------
    rows
        Labelled rows; rows with label 0 are edited.
    seed
        Seed; equal seeds and rows give equal pairs.
    """
    rng = random.Random(seed)
    supported: dict[str, list[Row]] = {}
    for row in rows:
        if not row["label"]:
            supported.setdefault(str(row["src"]), []).append(row)
    pairs: list[Row] = []
    for name, edit in EDITS.items():
        for source in sorted(supported):
            for row in rng.sample(supported[source], min(PER_SOURCE, len(supported[source]))):
                text = edit(row, supported[source], rng)
                if text is not None and text != row["response"]:
                    pairs.append({**row, "response": text, "label": 1, "src": f"edit_{name}"})
                    pairs.append({**row, "src": f"edit_{name}"})
    return pairs


def _replaced(text: str, match: re.Match[str], word: str) -> str:
    return text[: match.start()] + word + text[match.end() :]


def _context(row: Row) -> str:
    context = row["context"]
    return context if isinstance(context, str) else "\n".join(context)


def _content_words(text: str) -> list[re.Match[str]]:
    return [m for m in _CONTENT.finditer(text) if m.group() not in STOP_WORDS]


def _denial(row: Row, _others: Sequence[Row], rng: random.Random) -> str | None:
    """Insert or remove a "not"."""
    text = str(row["response"])
    if " not " in text:
        return text.replace(" not ", " ", 1)
    places = list(_AUXILIARY.finditer(text))
    return None if not places else _replaced(text, place := rng.choice(places), f"{place.group()} not")


def _opposite(row: Row, _others: Sequence[Row], rng: random.Random) -> str | None:
    """Replace a word with an opposite."""
    text = str(row["response"])
    places = list(_OPPOSITE.finditer(text))
    if not places:
        return None
    place = rng.choice(places)
    pool = sorted(word for word, side in ANTONYM_CODES.items() if side == ANTONYM_CODES[place.group()] ^ 1)
    return _replaced(text, place, rng.choice(pool)) if pool else None


def _number(row: Row, _others: Sequence[Row], rng: random.Random) -> str | None:
    """Change one digit of a number."""
    text = str(row["response"])
    places = list(_NUMBER.finditer(text))
    if not places:
        return None
    place = rng.choice(places)
    figures = list(place.group())
    i = rng.choice([i for i, c in enumerate(figures) if c not in ".,"])
    figures[i] = str((int(figures[i]) + rng.randint(1, 8)) % 10)
    return _replaced(text, place, "".join(figures))


def _name(row: Row, others: Sequence[Row], rng: random.Random) -> str | None:
    """Replace a name with another name of the same context or of another context."""
    text = str(row["response"])
    places = list(_NAME.finditer(text))
    other = row if rng.random() < 0.4 else rng.choice(others)
    pool = [m.group() for m in _NAME.finditer(_context(other)) if m.group() not in text]
    return _replaced(text, rng.choice(places), rng.choice(pool)) if places and pool else None


def _swap(row: Row, _others: Sequence[Row], rng: random.Random) -> str | None:
    """Swap two names, or two words if there are not enough names."""
    text = str(row["response"])
    places = list(_NAME.finditer(text))
    if len({m.group() for m in places}) < 2:
        places = _content_words(text)
    if len({m.group() for m in places}) < 2:
        return None
    a, b = sorted(rng.sample(places, 2), key=lambda m: m.start())
    return text[: a.start()] + b.group() + text[a.end() : b.start()] + a.group() + text[b.end() :]


def _word(row: Row, others: Sequence[Row], rng: random.Random) -> str | None:
    """Replace a word with a word of another answer that the context lacks."""
    text, context = str(row["response"]), _context(row).lower()
    places = _content_words(text)
    pool = [m.group() for m in _content_words(str(rng.choice(others)["response"])) if m.group()[:5] not in context]
    return _replaced(text, rng.choice(places), rng.choice(pool)) if places and pool else None


EDITS: Mapping[str, Edit] = {
    "denial": _denial,
    "opposite": _opposite,
    "number": _number,
    "name": _name,
    "swap": _swap,
    "word": _word,
}
