"""An alarm in words: which feature, from where to where, since when, which terms and which slices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import uint64
from numpy.typing import NDArray

from agents.base import ChangePoint
from agents.drift.adwin import LEVELS
from agents.drift.categorical import ring
from agents.drift.causes import LATEST, is_provider, levels, moved, rank
from agents.drift.config import DriftConfig
from agents.drift.cusum import DOWN, UP
from agents.drift.layout import (
    CATEGORIES,
    FLAGS,
    GROUP,
    HISTORY,
    MARK_EVERY,
    MARKS,
    NOVELTY,
    PROVIDER,
    RING,
    SCALARS,
    SIGNALS,
    TEXT,
    UNFAMILIAR,
    WINDOWED,
)
from agents.drift.scalar_charts import CUT
from agents.drift.segment_store import Examples, Key
from agents.drift.word_embedding import DIMENSIONS

TERMS = 8
GAINED, LOST = 5.0, 16.0
"""Log-likelihood ratios from which a word is named, both measured: see ``docs/models/drift.md``."""

OF_TEXT = (TEXT, NOVELTY, UNFAMILIAR)
"""Features of which the words are evidence."""

_FLAG_OF = {SCALARS.index(name): kind for kind, name in enumerate(FLAGS)} | dict.fromkeys(
    OF_TEXT, FLAGS.index("unfamiliar")
)
"""By feature the flag (`FLAGS`) that the events have which are its evidence; of others the latest are."""

_SLICES = ("language", "model", "request_model", "prompt_version", "format", "fingerprint")


def describe(  # noqa: PLR0913, PLR0917 - what the agent knows of an alarm
    row: Any, index: int, alarm: Sequence[float], key: Key, examples: Examples, config: DriftConfig
) -> ChangePoint:
    """Make the finding of a segment's record at its alarm (statistic over limit, feature, side)."""
    score, feature, side = alarm[0], int(alarm[1]), int(alarm[2])
    if feature == PROVIDER:
        feature, side = _foremost(row)
    offset, time, run, before, after = _text_span(row) if feature == TEXT else _span(row, feature, side)
    kind = _FLAG_OF.get(feature)
    risen = feature in OF_TEXT or after > before  # of a fall, the events that still have the flag show nothing
    flagged = tuple(name for name, at in examples.flagged[kind] if at >= offset) if kind is not None and risen else ()
    gained, lost = terms(row, run, config) if feature in OF_TEXT else ((), ())
    latest, what = slices(row, LATEST), moved(row, feature, float(row["text_ratio"]))
    name = SIGNALS[feature]
    if feature != TEXT and GROUP[feature] >= 0 and is_provider(what, latest, SIGNALS[feature]):
        name, before, after = "provider", 0.0, float(sum(SCALARS.index(n) in _OUTPUT for n in what if n in SCALARS))
    return ChangePoint(
        index,
        f"drift.{name}",
        {"tenant": key[0], "app": key[1]},
        offset,
        time,
        round(before, 6),
        round(after, 6),
        round(score, 6),
        gained,
        lost,
        slices(row, run),
        flagged or examples.recent[-run:],
        causes=rank(what, latest, SIGNALS[feature]),
    )


_OUTPUT = frozenset(f for f, group in enumerate(GROUP) if group >= 0)


def _foremost(row: Any) -> tuple[int, int]:
    """Feature of the output whose chart is nearest to its limit, and the side."""
    ratios = {(f, s): float(row["sum"][s, f] / row["limit"][s, f]) for f in sorted(_OUTPUT) for s in (UP, DOWN)
              if row["limit"][s, f] > 0.0}  # fmt: skip
    return max(ratios, key=ratios.__getitem__)


def _text_span(row: Any) -> tuple[int, int, int, float, float]:
    run = int(row["text_run"])
    before = math.sqrt(float(row["text_level"]) / DIMENSIONS)
    after = math.sqrt(float(row["text_squares"]) / (run * DIMENSIONS))
    return int(row["text_offset"]), int(row["text_time"]), run, before, after


def _span(row: Any, feature: int, side: int) -> tuple[int, int, int, float, float]:
    """Offset and time of the begin, events since, levels before and after."""
    before = float(row["mean"][feature])
    if side == CUT:
        w = WINDOWED.index(feature)
        run, level = newest(row["totals"][w], row["counts"][w], int(row["window"][w, LEVELS]))
        after = level * float(row["unit"][w]) + float(row["zero"][w])
        at = max(0, int(row["seen"]) - run, int(row["seen"]) - MARK_EVERY * (MARKS - 1)) // MARK_EVERY % MARKS
        return int(row["mark_offset"][at]), int(row["mark_time"][at]), run, *levels(feature, before, after)
    run = int(row["run"][side, feature])
    after = float(row["run_total"][side, feature]) / run
    since = int(row["since_offset"][side, feature]), int(row["since_time"][side, feature])
    return *since, run, *levels(feature, before, after)


def newest(totals: Any, counts: Any, levels: int) -> tuple[int, float]:
    """Size and mean of the newer part of an ADWIN window, split where the parts differ most in standard errors."""
    buckets = [(1 << k, float(t)) for k in range(levels) for t in totals[k, : counts[k]][::-1]]
    width, total = sum(n for n, _ in buckets), sum(t for _, t in buckets)
    n, u, best, found = 0, 0.0, -1.0, (width, total / width)
    for size, value in buckets[:-1]:
        n, u = n + size, u + value
        apart = abs(u / n - (total - u) / (width - n)) * math.sqrt(n * (width - n))
        if apart > best:
            best, found = apart, (n, u / n)
    return found


def terms(row: Any, run: int, config: DriftConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Words that a larger, and a smaller, share of texts has since the begin than in the reference, surest first.

    What few users write must not get into an alert: it may be a name, or a diagnosis. So a word is named that at least
    ``min_users`` of them have written; where no call says whose it is, none is.
    """
    run, reference = min(run, HISTORY), config.reference_events
    counted = uint64((1 << run) - 1)
    now = np.bitwise_count(row["rising_history"] & counted)
    said, usual = (np.bitwise_count(row[name]) >= config.min_users for name in ("rising_users", "usual_users"))
    said &= now > 1
    gained = np.where(said, surprise(row["rising_before"], reference, now, run), 0.0)
    fewer = -surprise(row["usual_texts"], reference, np.bitwise_count(row["usual_history"] & counted), run)
    lost = np.where(usual, fewer, 0.0)
    return _surest(gained, GAINED, row["rising_name"]), _surest(lost, LOST, row["usual_name"])


def _surest(surprises: NDArray[np.float64], least: float, names: Any) -> tuple[str, ...]:
    order = np.argsort(-surprises, kind="stable")[:TERMS]
    return tuple(_text(names[k]) for k in order.tolist() if surprises[k] > least)


def surprise(before: Any, n: int, after: Any, m: int) -> NDArray[np.float64]:
    """Log-likelihood ratio of shares ``before / n`` and ``after / m`` to one share; negative where it fell.

    References
    ----------
    Dunning, T. (1993). Accurate methods for the statistics of surprise and coincidence. Computational Linguistics 19,
    61-74.
    """
    a, b = np.minimum(before.astype(np.float64), n), after.astype(np.float64)
    share = (a + b) / (n + m)
    ratio = _likelihood(a, n, a / n) + _likelihood(b, m, b / m) - _likelihood(a, n, share) - _likelihood(b, m, share)
    signed: NDArray[np.float64] = 2.0 * ratio * np.sign(b / m - a / n)
    return signed


def _likelihood(k: NDArray[np.float64], n: int, share: NDArray[np.float64]) -> NDArray[np.float64]:
    tiny = np.finfo(float).tiny
    result: NDArray[np.float64] = k * np.log(np.maximum(share, tiny)) + (n - k) * np.log(np.maximum(1.0 - share, tiny))
    return result


def slices(row: Any, run: int) -> dict[str, tuple[float, float]]:
    """Shares of each slice's values in the reference and in the last ``run`` (at most `RING`) events."""
    seen = int(row["seen"])
    window = [(seen - 1 - p) % RING for p in range(min(max(run, 1), RING, seen))]
    found: dict[str, tuple[float, float]] = {}
    latest = ring(row)
    for c, name in enumerate(CATEGORIES):
        if name not in _SLICES:
            continue
        total = max(float(row["value_count"][c].sum()), 1.0)
        slots = latest[c, window]
        for k in np.flatnonzero(row["value"][c]).tolist():
            before, after = float(row["value_count"][c, k]) / total, float((slots == k).mean())
            if before or after:
                found[f"{name}={_text(row['value_name'][c, k])}"] = (round(before, 6), round(after, 6))
    return found


def _text(raw: Any) -> str:
    return bytes(raw.tobytes()).rstrip(b"\0").decode("utf-8", "ignore")
