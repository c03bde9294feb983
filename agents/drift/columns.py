"""What the kernels need of a chunk, by columns."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from agents.base import Chunk, Role, Texts
from agents.drift.answer_format import FORMATS, forms
from agents.drift.language_id import LANGUAGES
from agents.drift.layout import CATEGORIES, FIRST_USUAL, MEASURED, NAME_BYTES, SCALARS
from agents.drift.word_embedding import DIMENSIONS, embed
from schemas.event import LLMEvent

_OPENING = CATEGORIES.index("opening")
_COST, _REFUSAL, _ERROR = (SCALARS.index(name) for name in ("cost_usd", "refusal", "error"))
_ANSWERED = [SCALARS.index(name) for name in ("response_chars", "latency_ms", "output_tokens", "cost_usd")]
"""Not judged where the call failed or the model declined: those are changes of their own, and move all of these."""

_Combination: TypeAlias = "tuple[int, str, str | None, int, str | None, str, str]"
COST_UNIT = 1e-6
"""Dollars that count as the 1 in log(1 + x): a millionth, so that cheap calls are told apart."""


class Columns(NamedTuple):
    """A chunk as the kernels see it.

    Attributes
    ----------
    scalars
        float64[n, features without the categories], logarithms where `layout.MEASURED`; NaN where not given and for
        the novelty and what follows from it, which the kernel finds.
    values
        int64[n, categories], index into ``codes`` and ``names``; 0 stands for none.
    vectors
        float64[n, dimensions], embedding of the last user message.
    first, words, spans
        Words of event i are ``first[i]`` to ``first[i + 1]``: hash, first byte in ``buffer`` and size (0: no term).
    users
        Hash of who asked, or of the conversation, from 1 on; where neither is known each call is of another.
    """

    offsets: NDArray[np.int64]
    times: NDArray[np.int64]
    scalars: NDArray[np.float64]
    values: NDArray[np.int64]
    codes: NDArray[np.uint64]
    names: NDArray[np.uint8]
    vectors: NDArray[np.float64]
    first: NDArray[np.int64]
    words: NDArray[np.uint64]
    spans: NDArray[np.int64]
    buffer: NDArray[np.uint8]
    users: NDArray[np.uint16]


def columns(chunk: Chunk, text_bytes: int) -> Columns:
    """Measure a chunk."""
    texts, n = chunk.texts, len(chunk)
    last = _last_of(texts, Role.USER, n)
    begin, end = _bounds(texts, last, text_bytes)
    room = int((end - begin).sum()) + 1
    first, words, spans = np.zeros(n + 1, np.int64), np.empty(room, np.uint64), np.empty((room, 2), np.int64)
    vectors, languages = np.zeros((n, DIMENSIONS)), np.zeros(n, np.int64)
    embed(texts.buffer, begin, end, first, words, spans, vectors, languages)
    scalars = _scalars(chunk, last)
    silent = (scalars[:, _REFUSAL] > 0.0) | (scalars[:, _ERROR] > 0.0)
    for column in _ANSWERED:
        scalars[silent, column] = np.nan
    answered = np.where(silent, -1, _last_of(texts, Role.RESPONSE, n))
    formats, openings, opened = _forms(texts, answered)
    values, codes, names = _values(chunk.events, languages.tolist(), formats.tolist())
    values[:, _OPENING] = np.where(openings > 0, len(codes) + np.arange(n), 0)
    codes, names = np.concatenate((codes, openings)), np.concatenate((names, opened))
    return Columns(
        chunk.offsets,
        chunk.times,
        scalars,
        values,
        codes,
        names,
        vectors,
        first,
        words,
        spans,
        texts.buffer,
        _users(chunk),
    )


def _users(chunk: Chunk) -> NDArray[np.uint16]:
    """Return one bit of 16 for the user of each event, where none is given for its conversation; 0 with neither."""
    named = (event.user_id or event.conversation_id for event in chunk.events)
    # Names differ in their last digits: the multiplication (Fibonacci hashing) brings that into the high bits.
    bits = [1 << (crc32(n.encode("utf-8", "surrogatepass")) * 0x9E3779B1 >> 28 & 15) if n else 0 for n in named]
    return np.array(bits, np.uint16)


def _forms(texts: Texts, which: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint8]]:
    """Format, and hash and name of the first word, of each answer."""
    n = len(which)
    begin = np.where(which >= 0, texts.start[which], 0)
    end = np.where(which >= 0, texts.start[which + 1], 0)
    formats, codes, names = np.zeros(n, np.int64), np.zeros(n, np.uint64), np.zeros((n, NAME_BYTES), np.uint8)
    forms(texts.buffer, begin, end, formats, codes, names)
    return formats, codes, names


def _last_of(texts: Texts, role: Role, n: int) -> NDArray[np.int64]:
    """Index of each event's last text of a role, or -1."""
    found = np.full(n, -1, np.int64)
    which = np.flatnonzero(texts.role == role)
    found[texts.event[which]] = which
    return found


def _bounds(texts: Texts, which: NDArray[np.int64], limit: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First byte and end of each text, cut at a character within ``limit`` bytes."""
    begin = np.where(which >= 0, texts.start[which], 0)
    end = np.where(which >= 0, texts.start[which + 1], 0)
    for i in np.flatnonzero(end - begin > limit).tolist():
        stop = int(begin[i]) + limit
        while stop > begin[i] and texts.buffer[stop] & 0xC0 == 0x80:
            stop -= 1
        end[i] = stop
    return begin, end


def _scalars(chunk: Chunk, prompts: NDArray[np.int64]) -> NDArray[np.float64]:
    strings = chunk.texts.strings
    out = np.full((len(chunk), FIRST_USUAL), np.nan)
    # None becomes NaN.
    measured: list[tuple[float | None, ...]] = []
    for e, k in zip(chunk.events, prompts.tolist(), strict=True):
        prompt = len(strings[k]) if k >= 0 else None
        answer = len(e.choices[0].content) if e.choices else None
        read, written = (None, None) if e.usage is None else (e.usage.input_tokens, e.usage.output_tokens)
        measured.append((prompt, answer, e.latency_ms, e.ttft_ms, read, written, e.cost_usd))
    logs = slice(0, len(MEASURED))
    out[:, logs] = measured
    out[:, _COST] /= COST_UNIT
    np.log1p(out[:, logs], out=out[:, logs])
    out[:, _REFUSAL] = np.array(chunk.refusals, np.float64)
    out[:, _ERROR] = [e.error is not None for e in chunk.events]
    return out


def _values(
    events: Sequence[LLMEvent], languages: Sequence[int], formats: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint8]]:
    """Values of the categories as indices; combinations, of which a chunk has few, are looked up as a whole."""
    combinations: dict[_Combination, int] = {}
    which = []
    for event, language, form in zip(events, languages, formats, strict=True):
        finish = event.choices[0].finish_reason if event.choices else None
        given = (
            *(language, event.response_model, finish, form),
            *(event.system_fingerprint, event.request_model, event.prompt_version),
        )
        which.append(combinations.setdefault(given, len(combinations)))
    index = {"": 0}
    rows = []
    for language, model, finish, form, fingerprint, requested, version in combinations:
        names = (LANGUAGES[language] if language >= 0 else "", model or requested, finish or "", FORMATS[form], "")
        rows.append([index.setdefault(v, len(index)) for v in (*names, fingerprint or "", requested, version)])
    named = [_named(v) for v in index]
    codes = np.array([c for c, _ in named], np.uint64)
    codes[0] = 0
    known = np.frombuffer(b"".join(b for _, b in named), np.uint8).reshape(len(named), NAME_BYTES)
    return np.array(rows, np.int64).reshape(len(rows), len(CATEGORIES))[which], codes, known


@lru_cache(maxsize=4096)
def _named(value: str) -> tuple[int, bytes]:
    """Hash (never 0) and the first bytes of a value."""
    raw = value.encode("utf-8", "replace")
    code = int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "little") | 1
    return code, raw[:NAME_BYTES].decode("utf-8", "ignore").encode().ljust(NAME_BYTES, b"\0")
