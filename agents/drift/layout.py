"""What is kept of a segment: one fixed-size record, so that memory is known and a snapshot is a few array copies."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.drift.word_embedding import DIMENSIONS

MEASURED = ("prompt_chars", "response_chars", "latency_ms", "ttft_ms", "input_tokens", "output_tokens", "cost_usd")
"""Compared on a logarithmic scale."""

NOVELTY = len(MEASURED)
"""`agents.drift.novelty`, compared as it is."""

FLAGS = ("refusal", "error", "unfamiliar")
"""Compared as shares."""

USUAL = ("language", "response_model", "finish_reason", "format", "opening", "fingerprint")
"""Compared as the share of the reference's most frequent value."""

SCALARS = (*MEASURED, "novelty", *FLAGS, *USUAL)
UNFAMILIAR = SCALARS.index("unfamiliar")
TEXT = len(SCALARS)
PROVIDER = TEXT + 1
SIGNALS = (*SCALARS, "text", "provider")
FIRST_SHARE = NOVELTY + 1
FIRST_USUAL = FIRST_SHARE + len(FLAGS)

OUTPUT = (
    ("response_chars", "output_tokens"),
    ("latency_ms", "ttft_ms"),
    ("refusal",),
    ("finish_reason",),
    ("format", "opening"),
    ("response_model", "fingerprint"),
)
"""What a model gives back, in groups whose members move together by their nature."""

GROUP = tuple(next((g for g, names in enumerate(OUTPUT) if name in names), -1) for name in SCALARS)
"""The group of each scalar; -1 for those of the input."""

WINDOWED = tuple(SCALARS.index(name) for name in ("latency_ms", "output_tokens", "refusal", "error"))
"""Also watched by ADWIN, which sees small lasting shifts that a CUSUM tuned to larger ones passes over."""

CATEGORIES = (
    *("language", "model", "finish_reason", "format", "opening", "fingerprint"),
    *("request_model", "prompt_version"),
)
"""Of which the shares of the most frequent values are kept; the first ones are the features `USUAL`."""

SPEEDS = 2
"""Moving averages of the text: a slow one and a quick one."""

VALUES = 5
NAME_BYTES = 24
RING = 64
USUAL_CELLS, RISING_CELLS = 16, 32
"""Hash cells with a word each: of the reference, and of what came since."""

TERM_BYTES = 16
HISTORY = 64
"""Texts in which a cell's word is told to have been or not: a bit each."""
VOCABULARY = 1024
PACKED = DIMENSIONS * (DIMENSIONS + 1) // 2

LEVELS, BUCKETS = 10, 2
"""Of ADWIN: windows of up to 2 * (2**10 - 1) events."""

MARKS, MARK_EVERY = 8, 256
"""Every so many events offset and time are noted, so that a cut of ADWIN can be dated."""

RECENT = 1.0 / 16.0
"""Weight of one event in the moving average by which the causes of an alarm are ranked."""

ROWS, SLOTS = 256, 1024
"""Last rows of a reference that are kept for its calibration, and segments for which they are kept at a time."""

WAITING = 9
"""Quarters of a reference after which it is calibrated, by its last rows: those that came after the first one."""

SCALE = 1000.0
"""Scalars of kept rows are whole thousandths; vectors are in parts of `VECTOR_SCALE`."""
VECTOR_SCALE = 127.0
ABSENT = -(1 << 15)

_F, _C, _W = len(SCALARS), len(CATEGORIES), len(WINDOWED)

SEGMENT = np.dtype(
    [
        ("seen", "i8"),
        ("slot", "i4"),
        ("calibrated", "i4"),
        # scalars: Welford, then two one-sided sums (up, down) each
        ("n", "i4", (_F,)),
        ("mean", "f8", (_F,)),
        ("squares", "f8", (_F,)),
        ("products", "f4", (_F,)),
        ("last", "f4", (_F,)),
        ("slope", "f4", (2, _F)),
        ("drop", "f4", (2, _F)),
        ("limit", "f4", (2, _F)),
        ("scale", "f4", (2, _F)),
        ("sum", "f4", (2, _F)),
        ("run", "i4", (2, _F)),
        ("run_total", "f4", (2, _F)),
        ("recent", "f4", (_F,)),
        ("since_offset", "i8", (2, _F)),
        ("since_time", "i8", (2, _F)),
        # ADWIN of some scalars: buckets, and what value is 0 and how much is 1
        ("window", "f8", (_W, 5)),
        ("totals", "f4", (_W, LEVELS, BUCKETS)),
        ("variances", "f4", (_W, LEVELS, BUCKETS)),
        ("counts", "u1", (_W, LEVELS)),
        ("zero", "f4", (_W,)),
        ("unit", "f4", (_W,)),
        ("mark_offset", "i8", (MARKS,)),
        ("mark_time", "i8", (MARKS,)),
        # text: mean and packed co-moments while learning, then the Cholesky factor and the moving average
        ("text_n", "i4"),
        ("text_mean", "f4", (DIMENSIONS,)),
        ("factor", "f4", (PACKED,)),
        ("average", "f4", (SPEEDS, DIMENSIONS)),
        ("text_limit", "f4", (SPEEDS,)),
        ("text_ratio", "f4"),
        ("text_level", "f8"),
        ("text_last", "f4", (DIMENSIONS,)),
        ("text_products", "f8"),
        ("text_energy", "f8"),
        ("text_run", "i4"),
        ("text_squares", "f8"),
        ("text_offset", "i8"),
        ("text_time", "i8"),
        # the words of the reference by hash, and how unlike it a text must be to be unfamiliar
        ("vocabulary", "u1", (VOCABULARY,)),
        ("vocabulary_words", "i4"),
        ("novelty_words", "f8"),
        ("novelty_total", "f8"),
        ("novelty_high", "f4"),
        # all groups of the output together
        ("provider_limit", "f4"),
        # shares of values: in the reference, and the slots of the last events, two to a byte
        ("value", "u8", (_C, VALUES)),
        ("value_count", "f4", (_C, VALUES)),
        ("value_name", "u1", (_C, VALUES, NAME_BYTES)),
        ("usual", "i1", (_C,)),
        ("ring", "u1", (_C, RING // 2)),
        # words by hash cell: those usual in the reference with the count of its texts, and those new since; the latest
        # texts that had them, a bit each
        ("usual_word", "u4", (USUAL_CELLS,)),
        ("usual_votes", "f4", (USUAL_CELLS,)),
        ("usual_texts", "u2", (USUAL_CELLS,)),
        ("usual_users", "u2", (USUAL_CELLS,)),
        ("usual_history", "u8", (USUAL_CELLS,)),
        ("usual_name", "u1", (USUAL_CELLS, TERM_BYTES)),
        ("rising_word", "u4", (RISING_CELLS,)),
        ("rising_votes", "f4", (RISING_CELLS,)),
        ("rising_before", "u1", (RISING_CELLS,)),
        ("rising_users", "u2", (RISING_CELLS,)),
        ("rising_history", "u8", (RISING_CELLS,)),
        ("rising_name", "u1", (RISING_CELLS, TERM_BYTES)),
    ],
    align=True,
)


class Pool(NamedTuple):
    """Rows of references that are being learned.

    Attributes
    ----------
    used, events, texts
        int32[slots]: whether a place is taken, and how many rows, and texts, it was given.
    values
        int16[slots, rows, scalars], the latest rows.
    vectors
        int8[slots, rows, dimensions], the latest texts.
    """

    used: NDArray[np.int32]
    events: NDArray[np.int32]
    texts: NDArray[np.int32]
    values: NDArray[np.int16]
    vectors: NDArray[np.int8]


def pool_of(slots: int, rows: int = ROWS) -> Pool:
    """Make an empty pool."""
    used, events, texts = (np.zeros(slots, np.int32) for _ in range(3))
    values, vectors = np.zeros((slots, rows, _F), np.int16), np.zeros((slots, rows, DIMENSIONS), np.int8)
    return Pool(used, events, texts, values, vectors)


def rows_kept(reference: int) -> int:
    """Return how many rows of a reference of so many events a calibration has.

    Examples
    --------
    >>> rows_kept(50), rows_kept(300)
    (64, 256)
    """
    return min(ROWS, -(-WAITING * reference // 4) - reference + 1)
