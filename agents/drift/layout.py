"""Record of an app: one fixed-size numpy record, so that memory is bounded and a snapshot is a few array copies."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.drift.word_embedding import DIMENSIONS

CONTINUOUS = ("prompt_chars", "response_chars", "latency_ms", "ttft_ms", "input_tokens", "output_tokens", "cost_usd")
"""Continuous features, compared on a logarithmic scale."""

NOVELTY = len(CONTINUOUS)
"""Index of the novelty (`agents.drift.novelty`), compared on a linear scale."""

BINARY = ("refusal", "error", "unfamiliar")
"""Binary features, compared as shares."""

CATEGORICAL = ("language", "response_model", "finish_reason", "format", "opening", "fingerprint")
"""Categorical features, compared as the share of the most frequent value of the reference."""

SCALARS = (*CONTINUOUS, "novelty", *BINARY, *CATEGORICAL)
UNFAMILIAR = SCALARS.index("unfamiliar")
TEXT = len(SCALARS)
PROVIDER = TEXT + 1
SIGNALS = (*SCALARS, "text", "provider")
FIRST_SHARE = NOVELTY + 1
FIRST_CATEGORICAL = FIRST_SHARE + len(BINARY)

OUTPUT = (
    ("response_chars", "output_tokens"),
    ("latency_ms", "ttft_ms"),
    ("refusal",),
    ("finish_reason",),
    ("format", "opening"),
    ("response_model", "fingerprint"),
)
"""Features of the model's output, grouped by dependence: the features of a group always move together."""

GROUP = tuple(next((g for g, names in enumerate(OUTPUT) if name in names), -1) for name in SCALARS)
"""Group of each scalar in `OUTPUT`; -1 for a scalar of the input."""

ADWIN_FEATURES = tuple(SCALARS.index(name) for name in ("latency_ms", "output_tokens", "refusal", "error"))
"""Features with an additional ADWIN, which detects small lasting shifts that a CUSUM for larger shifts misses."""

CATEGORIES = (
    *("language", "model", "finish_reason", "format", "opening", "fingerprint"),
    *("request_model", "prompt_version"),
)
"""Categories whose most frequent values are counted; the first ones are the features `CATEGORICAL`."""

SPEEDS = 2
"""Number of moving averages of the text: slow and fast."""

VALUES = 5
NAME_BYTES = 24
RING = 64
REFERENCE_CELLS, RISING_CELLS = 16, 32
"""Hash cells of one word each: words of the reference, and words of later texts."""

TERM_BYTES = 16
HISTORY = 64
"""Number of latest texts for which a cell stores whether they had its word: one bit each."""
VOCABULARY = 1024
PACKED = DIMENSIONS * (DIMENSIONS + 1) // 2

LEVELS, BUCKETS = 10, 2
"""Size of ADWIN's windows: up to 2 * (2**10 - 1) events."""

CHECKPOINTS, CHECKPOINT_EVERY = 8, 256
"""Number of stored positions (offset and time), and events between two of them. They date a cut of ADWIN."""

RECENT_WEIGHT = 1.0 / 16.0
"""Weight of one event in the moving average that ranks the causes of an alarm."""

BOOTSTRAP_ROWS, BOOTSTRAP_SLOTS = 256, 1024
"""Maximum number of rows stored for the calibration of an app, and of apps with stored rows at a time."""

CALIBRATION_AFTER = 9
"""Quarters of a reference after which an app is calibrated with its last rows. The first reference is excluded."""

SCALE = 1000.0
"""Stored scalars are integer thousandths, stored vectors are integer multiples of 1 / `VECTOR_SCALE`."""
VECTOR_SCALE = 127.0
ABSENT = -(1 << 15)

_F, _C, _W = len(SCALARS), len(CATEGORIES), len(ADWIN_FEATURES)

SEGMENT = np.dtype(
    [
        ("seen", "i8"),
        ("slot", "i4"),
        ("calibrated", "i4"),
        # scalars: Welford moments, then two one-sided sums (up, down)
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
        # ADWIN of some scalars: buckets, and the value and the width that are scaled to 0 and 1
        ("window", "f8", (_W, 5)),
        ("totals", "f4", (_W, LEVELS, BUCKETS)),
        ("variances", "f4", (_W, LEVELS, BUCKETS)),
        ("counts", "u1", (_W, LEVELS)),
        ("zero", "f4", (_W,)),
        ("unit", "f4", (_W,)),
        ("mark_offset", "i8", (CHECKPOINTS,)),
        ("mark_time", "i8", (CHECKPOINTS,)),
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
        # word counts of the reference by hash cell, and the novelty above which a text is unfamiliar
        ("vocabulary", "u1", (VOCABULARY,)),
        ("vocabulary_words", "i4"),
        ("novelty_words", "f8"),
        ("novelty_total", "f8"),
        ("novelty_high", "f4"),
        # limit of the sum over the groups of the output
        ("provider_limit", "f4"),
        # values of categories: counts in the reference, and the slots of the last events, two per byte
        ("value", "u8", (_C, VALUES)),
        ("value_count", "f4", (_C, VALUES)),
        ("value_name", "u1", (_C, VALUES, NAME_BYTES)),
        ("usual", "i1", (_C,)),
        ("ring", "u1", (_C, RING // 2)),
        # words by hash cell: frequent words of the reference with their number of texts, and words that are new since;
        # the history has one bit for each of the latest texts
        ("usual_word", "u4", (REFERENCE_CELLS,)),
        ("usual_votes", "f4", (REFERENCE_CELLS,)),
        ("usual_texts", "u2", (REFERENCE_CELLS,)),
        ("usual_users", "u2", (REFERENCE_CELLS,)),
        ("usual_history", "u8", (REFERENCE_CELLS,)),
        ("usual_name", "u1", (REFERENCE_CELLS, TERM_BYTES)),
        ("rising_word", "u4", (RISING_CELLS,)),
        ("rising_votes", "f4", (RISING_CELLS,)),
        ("rising_before", "u1", (RISING_CELLS,)),
        ("rising_users", "u2", (RISING_CELLS,)),
        ("rising_history", "u8", (RISING_CELLS,)),
        ("rising_name", "u1", (RISING_CELLS, TERM_BYTES)),
    ],
    align=True,
)


class BootstrapPool(NamedTuple):
    """Rows of references that are being learned; the calibration resamples them (bootstrap).

    Attributes
    ----------
    used, events, texts
        int32[slots]: 1 for a slot in use, and the number of rows and of texts stored in it so far.
    values
        int16[slots, rows, scalars], latest rows.
    vectors
        int8[slots, rows, dimensions], latest texts.
    """

    used: NDArray[np.int32]
    events: NDArray[np.int32]
    texts: NDArray[np.int32]
    values: NDArray[np.int16]
    vectors: NDArray[np.int8]


def empty_pool(slots: int, rows: int = BOOTSTRAP_ROWS) -> BootstrapPool:
    """Return an empty pool."""
    used, events, texts = (np.zeros(slots, np.int32) for _ in range(3))
    values, vectors = np.zeros((slots, rows, _F), np.int16), np.zeros((slots, rows, DIMENSIONS), np.int8)
    return BootstrapPool(used, events, texts, values, vectors)


def bootstrap_rows(reference: int) -> int:
    """Return the number of rows that a calibration has for a reference of this many events.

    Examples
    --------
    >>> bootstrap_rows(50), bootstrap_rows(300)
    (64, 256)
    """
    return min(BOOTSTRAP_ROWS, -(-CALIBRATION_AFTER * reference // 4) - reference + 1)
