"""What is kept of a segment: one fixed-size record, so that memory is known and a snapshot is a few array copies."""

from __future__ import annotations

import numpy as np

from agents.drift.words import DIMENSIONS

MEASURED = ("prompt_chars", "response_chars", "latency_ms", "ttft_ms", "input_tokens", "output_tokens", "cost_usd")
"""Compared on a logarithmic scale."""

FLAGS = ("refusal", "error")
"""Compared as shares."""

USUAL = ("language", "response_model", "finish_reason")
"""Compared as the share of the reference's most frequent value."""

SCALARS = (*MEASURED, *FLAGS, *USUAL)
TEXT = len(SCALARS)
SIGNALS = (*SCALARS, "text")
FIRST_SHARE = len(MEASURED)
FIRST_USUAL = len(MEASURED) + len(FLAGS)

WINDOWED = tuple(SCALARS.index(name) for name in ("latency_ms", "output_tokens", "refusal", "error"))
"""Also watched by ADWIN, which sees small lasting shifts that a CUSUM tuned to larger ones passes over."""

CATEGORIES = ("language", "model", "finish_reason", "prompt_version")
"""Of which the shares of the most frequent values are kept; the first three are the features `USUAL`."""

VALUES = 5
NAME_BYTES = 24
RING = 64
CELLS = 60
TERM_BYTES = 16
PACKED = DIMENSIONS * (DIMENSIONS + 1) // 2

LEVELS, BUCKETS = 10, 2
"""Of ADWIN: windows of up to 3 * (2**10 - 1) events."""

MARKS, MARK_EVERY = 8, 256
"""Every so many events offset and time are noted, so that a cut of ADWIN can be dated."""

_F, _C, _W = len(SCALARS), len(CATEGORIES), len(WINDOWED)

SEGMENT = np.dtype(
    [
        ("seen", "i8"),
        # scalars: Welford, then two one-sided sums (up, down) each
        ("n", "i4", (_F,)),
        ("mean", "f8", (_F,)),
        ("squares", "f8", (_F,)),
        ("products", "f4", (_F,)),
        ("last", "f4", (_F,)),
        ("slope", "f4", (2, _F)),
        ("drop", "f4", (2, _F)),
        ("limit", "f4", (2, _F)),
        ("sum", "f4", (2, _F)),
        ("run", "i4", (2, _F)),
        ("run_total", "f4", (2, _F)),
        ("since_offset", "i8", (2, _F)),
        ("since_time", "i8", (2, _F)),
        # ADWIN of some scalars: buckets, and what value is 0 and how much is 1
        ("window", "f8", (_W, 5)),
        ("totals", "f4", (_W, LEVELS, BUCKETS + 1)),
        ("variances", "f4", (_W, LEVELS, BUCKETS + 1)),
        ("counts", "u1", (_W, LEVELS)),
        ("zero", "f4", (_W,)),
        ("unit", "f4", (_W,)),
        ("mark_offset", "i8", (MARKS,)),
        ("mark_time", "i8", (MARKS,)),
        # text: mean and packed co-moments while learning, then the Cholesky factor and the moving average
        ("text_n", "i4"),
        ("text_mean", "f4", (DIMENSIONS,)),
        ("factor", "f4", (PACKED,)),
        ("average", "f4", (DIMENSIONS,)),
        ("text_level", "f8"),
        ("text_last", "f4", (DIMENSIONS,)),
        ("text_products", "f8"),
        ("text_energy", "f8"),
        ("text_run", "i4"),
        ("text_squares", "f8"),
        ("text_offset", "i8"),
        ("text_time", "i8"),
        # shares of values: in the reference, and the slots of the last events
        ("value", "u8", (_C, VALUES)),
        ("value_count", "f4", (_C, VALUES)),
        ("value_name", "u1", (_C, VALUES, NAME_BYTES)),
        ("usual", "i1", (_C,)),
        ("ring", "u1", (_C, RING)),
        # words by hash cell
        ("term", "u4", (CELLS,)),
        ("term_votes", "f4", (CELLS,)),
        ("term_before", "f4", (CELLS,)),
        ("term_after", "f4", (CELLS,)),
        ("term_text", "u1", (CELLS, TERM_BYTES)),
    ],
    align=True,
)
