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

CATEGORIES = ("language", "model", "finish_reason", "prompt_version")
"""Of which the shares of the most frequent values are kept; the first three are the features `USUAL`."""

VALUES = 6
NAME_BYTES = 32
RING = 64
CELLS = 64
TERM_BYTES = 20
PACKED = DIMENSIONS * (DIMENSIONS + 1) // 2

_F, _C = len(SCALARS), len(CATEGORIES)

SEGMENT = np.dtype(
    [
        ("seen", "i8"),
        # scalars: Welford while learning, then two one-sided sums (up, down) each
        ("n", "i8", (_F,)),
        ("mean", "f8", (_F,)),
        ("spread", "f8", (_F,)),
        ("slope", "f8", (2, _F)),
        ("drop", "f8", (2, _F)),
        ("limit", "f8", (2, _F)),
        ("sum", "f8", (2, _F)),
        ("run", "i8", (2, _F)),
        ("run_total", "f8", (2, _F)),
        ("since_offset", "i8", (2, _F)),
        ("since_time", "i8", (2, _F)),
        # text: mean and packed co-moments while learning, then the Cholesky factor and the moving average
        ("text_n", "i8"),
        ("text_mean", "f8", (DIMENSIONS,)),
        ("factor", "f4", (PACKED,)),
        ("average", "f8", (DIMENSIONS,)),
        ("text_limit", "f8"),
        ("text_run", "i8"),
        ("text_squares", "f8"),
        ("text_offset", "i8"),
        ("text_time", "i8"),
        # shares of values: in the reference, and the slots of the last events
        ("value", "u8", (_C, VALUES)),
        ("value_count", "f4", (_C, VALUES)),
        ("value_name", "u1", (_C, VALUES, NAME_BYTES)),
        ("usual", "i8", (_C,)),
        ("ring", "u1", (_C, RING)),
        # words by hash cell
        ("term", "u8", (CELLS,)),
        ("term_votes", "f4", (CELLS,)),
        ("term_before", "f4", (CELLS,)),
        ("term_after", "f4", (CELLS,)),
        ("term_weight", "f8"),
        ("term_text", "u1", (CELLS, TERM_BYTES)),
    ],
    align=True,
)
