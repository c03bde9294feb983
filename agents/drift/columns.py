"""Columns of a chunk in the form that the kernels read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from agents.base import Chunk, Role, Texts
from agents.drift.answer_format import FORMATS, read_answers
from agents.drift.language_id import LANGUAGES
from agents.drift.layout import CATEGORIES, CONTINUOUS, FIRST_CATEGORICAL, NAME_BYTES, SCALARS
from agents.drift.word_embedding import DIMENSIONS, embed
from schemas.event import LLMEvent

_OPENING = CATEGORIES.index("opening")
_COST, _REFUSAL, _ERROR = (SCALARS.index(name) for name in ("cost_usd", "refusal", "error"))
_ANSWERED = [SCALARS.index(name) for name in ("response_chars", "latency_ms", "output_tokens", "cost_usd")]
"""Features without a value for errors and refusals: those are signals of their own, and would move all of these."""

_Combination: TypeAlias = "tuple[int, str, str | None, int, str | None, str, str]"
COST_UNIT = 1e-6
"""Unit of the cost in log(1 + x), in dollars; one millionth, so that cheap calls differ."""


class Columns(NamedTuple):
    """Columns of a chunk.

    Attributes
    ----------
    offsets, times
        int64[n], offset and time (milliseconds since 1970) of each event.
    scalars
        float64[n, scalars without the categories], logarithms for `layout.CONTINUOUS`. NaN for a missing value,
        and for novelty and unfamiliarity, which the kernel computes.
    values
        int64[n, categories], index into ``codes`` and ``names``; 0 for no value.
    codes, names
        Hash and first bytes of each value.
    vectors
        float64[n, dimensions], embedding of the last user message.
    first, words, spans
        Words of event i are ``first[i]`` to ``first[i + 1]``: hash, first byte in ``buffer`` and size (0: no term).
    buffer
        uint8[bytes], texts of the chunk.
    users
        uint16[n], one bit for the user of the event or, without a user, for its conversation; 0 without both.
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


def extract_columns(chunk: Chunk, text_bytes: int) -> Columns:
    """Extract the columns of a chunk; ``text_bytes`` bytes of each user message are read."""
    texts, n = chunk.texts, len(chunk)
    prompts = _last_of(texts, Role.USER, n)
    start, end = _bounds(texts, prompts, text_bytes)
    capacity = int((end - start).sum()) + 1
    first, words, spans = np.zeros(n + 1, np.int64), np.empty(capacity, np.uint64), np.empty((capacity, 2), np.int64)
    vectors, languages = np.zeros((n, DIMENSIONS)), np.zeros(n, np.int64)
    embed(texts.buffer, start, end, first, words, spans, vectors, languages)
    scalars = _scalars(chunk, prompts)
    unanswered = (scalars[:, _REFUSAL] > 0.0) | (scalars[:, _ERROR] > 0.0)
    for column in _ANSWERED:
        scalars[unanswered, column] = np.nan
    answers = np.where(unanswered, -1, _last_of(texts, Role.RESPONSE, n))
    formats, openings, opening_names = _answer_formats(texts, answers)
    values, codes, names = _values(chunk.events, languages.tolist(), formats.tolist())
    values[:, _OPENING] = np.where(openings > 0, len(codes) + np.arange(n), 0)
    codes, names = np.concatenate((codes, openings)), np.concatenate((names, opening_names))
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
    """Return one of 16 bits for the user of each event or, without a user, for its conversation; 0 without both."""
    ids = (event.user_id or event.conversation_id for event in chunk.events)
    # Ids differ in their last digits: the multiplication (Fibonacci hashing) moves the difference to the high bits.
    bits = [1 << (crc32(i.encode("utf-8", "surrogatepass")) * 0x9E3779B1 >> 28 & 15) if i else 0 for i in ids]
    return np.array(bits, np.uint16)


def _answer_formats(
    texts: Texts, answers: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint8]]:
    """Return the format of each answer, and the hash and the name of its first word."""
    n = len(answers)
    start = np.where(answers >= 0, texts.start[answers], 0)
    end = np.where(answers >= 0, texts.start[answers + 1], 0)
    formats, codes, names = np.zeros(n, np.int64), np.zeros(n, np.uint64), np.zeros((n, NAME_BYTES), np.uint8)
    read_answers(texts.buffer, start, end, formats, codes, names)
    return formats, codes, names


def _last_of(texts: Texts, role: Role, n: int) -> NDArray[np.int64]:
    """Return the index of each event's last text with a role, or -1."""
    last = np.full(n, -1, np.int64)
    indexes = np.flatnonzero(texts.role == role)
    last[texts.event[indexes]] = indexes
    return last


def _bounds(texts: Texts, indexes: NDArray[np.int64], limit: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the byte bounds of each text, shortened to whole characters within ``limit`` bytes."""
    start = np.where(indexes >= 0, texts.start[indexes], 0)
    end = np.where(indexes >= 0, texts.start[indexes + 1], 0)
    for i in np.flatnonzero(end - start > limit).tolist():
        stop = int(start[i]) + limit
        while stop > start[i] and texts.buffer[stop] & 0xC0 == 0x80:
            stop -= 1
        end[i] = stop
    return start, end


def _scalars(chunk: Chunk, prompts: NDArray[np.int64]) -> NDArray[np.float64]:
    strings = chunk.texts.strings
    out = np.full((len(chunk), FIRST_CATEGORICAL), np.nan)
    # numpy converts None to NaN.
    continuous: list[tuple[float | None, ...]] = []
    for e, k in zip(chunk.events, prompts.tolist(), strict=True):
        prompt = len(strings[k]) if k >= 0 else None
        answer = len(e.choices[0].content) if e.choices else None
        inputs, outputs = (None, None) if e.usage is None else (e.usage.input_tokens, e.usage.output_tokens)
        continuous.append((prompt, answer, e.latency_ms, e.ttft_ms, inputs, outputs, e.cost_usd))
    logs = slice(0, len(CONTINUOUS))
    out[:, logs] = continuous
    out[:, _COST] /= COST_UNIT
    np.log1p(out[:, logs], out=out[:, logs])
    out[:, _REFUSAL] = np.array(chunk.refusals, np.float64)
    out[:, _ERROR] = [e.error is not None for e in chunk.events]
    return out


def _values(
    events: Sequence[LLMEvent], languages: Sequence[int], formats: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint8]]:
    """Return the values of the categories as indexes, with the hash and the name of each value.

    A chunk has few combinations of values, so each combination is converted once.
    """
    combinations: dict[_Combination, int] = {}
    combination_of = []
    for event, language, answer_format in zip(events, languages, formats, strict=True):
        finish = event.choices[0].finish_reason if event.choices else None
        combination = (
            *(language, event.response_model, finish, answer_format),
            *(event.system_fingerprint, event.request_model, event.prompt_version),
        )
        combination_of.append(combinations.setdefault(combination, len(combinations)))
    index = {"": 0}
    rows = []
    for language, model, finish, answer_format, fingerprint, requested, version in combinations:
        language_name = LANGUAGES[language] if language >= 0 else ""
        values = (language_name, model or requested, finish or "", FORMATS[answer_format], "")
        rows.append([index.setdefault(v, len(index)) for v in (*values, fingerprint or "", requested, version)])
    encoded = [_encode_value(v) for v in index]
    codes = np.array([c for c, _ in encoded], np.uint64)
    codes[0] = 0
    names = np.frombuffer(b"".join(b for _, b in encoded), np.uint8).reshape(len(encoded), NAME_BYTES)
    return np.array(rows, np.int64).reshape(len(rows), len(CATEGORIES))[combination_of], codes, names


@lru_cache(maxsize=4096)
def _encode_value(value: str) -> tuple[int, bytes]:
    """Return the hash (never 0) and the first bytes of a value."""
    raw = value.encode("utf-8", "replace")
    code = int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "little") | 1
    return code, raw[:NAME_BYTES].decode("utf-8", "ignore").encode().ljust(NAME_BYTES, b"\0")
