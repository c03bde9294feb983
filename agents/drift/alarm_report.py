"""Report of an alarm: feature, levels, start of the change, terms, slices and likely causes."""

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
from agents.drift.causes import LATEST, is_provider, levels, moved_features, rank_causes
from agents.drift.config import DriftConfig
from agents.drift.cusum import DOWN, UP
from agents.drift.layout import (
    ADWIN_FEATURES,
    BINARY,
    CATEGORIES,
    CHECKPOINT_EVERY,
    CHECKPOINTS,
    GROUP,
    HISTORY,
    NOVELTY,
    PROVIDER,
    RING,
    SCALARS,
    SIGNALS,
    TEXT,
    UNFAMILIAR,
)
from agents.drift.scalar_charts import ADWIN_CUT
from agents.drift.segment_store import Examples, Scope
from agents.drift.word_embedding import DIMENSIONS

TERMS = 8
MIN_GAINED_RATIO, MIN_LOST_RATIO = 5.0, 16.0
"""Minimum log-likelihood ratio of a reported word; both are measured, see ``docs/models/drift.md``."""

TEXT_FEATURES = (TEXT, NOVELTY, UNFAMILIAR)
"""Features whose alarms report words."""

_EXAMPLES_OF = {SCALARS.index(name): kind for kind, name in enumerate(BINARY)} | dict.fromkeys(
    TEXT_FEATURES, BINARY.index("unfamiliar")
)
"""Binary feature (index into `BINARY`) that selects the example events of a feature; other features show the latest."""

_SLICES = ("language", "model", "request_model", "prompt_version", "format", "fingerprint")


def describe(  # noqa: PLR0913, PLR0917 - the inputs of a report
    row: Any, index: int, alarm: Sequence[float], scope: Scope, examples: Examples, config: DriftConfig
) -> ChangePoint:
    """Return the change of an app from its record and its alarm (ratio of statistic to limit, feature, side)."""
    score, feature, side = alarm[0], int(alarm[1]), int(alarm[2])
    if feature == PROVIDER:
        feature, side = _closest_to_limit(row)
    offset, time, run, before, after = _text_span(row) if feature == TEXT else _span(row, feature, side)
    kind = _EXAMPLES_OF.get(feature)
    risen = feature in TEXT_FEATURES or after > before  # flagged events are no evidence of a falling share
    flagged = tuple(name for name, at in examples.flagged[kind] if at >= offset) if kind is not None and risen else ()
    gained, lost = changed_terms(row, run, config) if feature in TEXT_FEATURES else ((), ())
    latest, moved = slices(row, LATEST), moved_features(row, feature, float(row["text_ratio"]))
    name = SIGNALS[feature]
    if feature != TEXT and GROUP[feature] >= 0 and is_provider(moved, latest, SIGNALS[feature]):
        name, before, after = "provider", 0.0, float(sum(SCALARS.index(n) in _OUTPUT for n in moved if n in SCALARS))
    return ChangePoint(
        index,
        f"drift.{name}",
        {"tenant": scope[0], "app": scope[1]},
        offset,
        time,
        round(before, 6),
        round(after, 6),
        round(score, 6),
        gained,
        lost,
        slices(row, run),
        flagged or examples.recent[-run:],
        causes=rank_causes(moved, latest, SIGNALS[feature]),
    )


_OUTPUT = frozenset(f for f, group in enumerate(GROUP) if group >= 0)


def _closest_to_limit(row: Any) -> tuple[int, int]:
    """Return the output feature whose statistic is closest to its limit, and the side."""
    ratios = {(f, s): float(row["sum"][s, f] / row["limit"][s, f]) for f in sorted(_OUTPUT) for s in (UP, DOWN)
              if row["limit"][s, f] > 0.0}  # fmt: skip
    return max(ratios, key=ratios.__getitem__)


def _text_span(row: Any) -> tuple[int, int, int, float, float]:
    run = int(row["text_run"])
    before = math.sqrt(float(row["text_level"]) / DIMENSIONS)
    after = math.sqrt(float(row["text_squares"]) / (run * DIMENSIONS))
    return int(row["text_offset"]), int(row["text_time"]), run, before, after


def _span(row: Any, feature: int, side: int) -> tuple[int, int, int, float, float]:
    """Return offset and time of the start of the change, the events since, and the levels before and after."""
    before = float(row["mean"][feature])
    if side == ADWIN_CUT:
        w = ADWIN_FEATURES.index(feature)
        run, level = newest_subwindow(row["totals"][w], row["counts"][w], int(row["window"][w, LEVELS]))
        after = level * float(row["unit"][w]) + float(row["zero"][w])
        k = (
            max(0, int(row["seen"]) - run, int(row["seen"]) - CHECKPOINT_EVERY * (CHECKPOINTS - 1))
            // CHECKPOINT_EVERY
            % CHECKPOINTS
        )
        return int(row["mark_offset"][k]), int(row["mark_time"][k]), run, *levels(feature, before, after)
    run = int(row["run"][side, feature])
    after = float(row["run_total"][side, feature]) / run
    start = int(row["since_offset"][side, feature]), int(row["since_time"][side, feature])
    return *start, run, *levels(feature, before, after)


def newest_subwindow(totals: Any, counts: Any, levels: int) -> tuple[int, float]:
    """Return size and mean of the newer part of an ADWIN window, split at the most significant difference of means."""
    buckets = [(1 << k, float(t)) for k in range(levels) for t in totals[k, : counts[k]][::-1]]
    width, total = sum(n for n, _ in buckets), sum(t for _, t in buckets)
    n, u, highest, subwindow = 0, 0.0, -1.0, (width, total / width)
    for size, value in buckets[:-1]:
        n, u = n + size, u + value
        difference = abs(u / n - (total - u) / (width - n)) * math.sqrt(n * (width - n))
        if difference > highest:
            highest, subwindow = difference, (n, u / n)
    return subwindow


def changed_terms(row: Any, run: int, config: DriftConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the words whose share of texts rose and fell since the start of the change, most significant first.

    An alert must not contain a word that only few users wrote: it may be a name or a diagnosis. A word is therefore
    reported only if at least ``min_users`` users wrote it, and never if the events have no user and no conversation.
    """
    run, reference = min(run, HISTORY), config.reference_events
    mask = uint64((1 << run) - 1)
    texts = np.bitwise_count(row["rising_history"] & mask)
    rising, frequent = (np.bitwise_count(row[name]) >= config.min_users for name in ("rising_users", "usual_users"))
    rising &= texts > 1
    gained = np.where(rising, log_likelihood_ratio(row["rising_before"], reference, texts, run), 0.0)
    fallen = -log_likelihood_ratio(row["usual_texts"], reference, np.bitwise_count(row["usual_history"] & mask), run)
    lost = np.where(frequent, fallen, 0.0)
    return _top_terms(gained, MIN_GAINED_RATIO, row["rising_name"]), _top_terms(lost, MIN_LOST_RATIO, row["usual_name"])


def _top_terms(ratios: NDArray[np.float64], minimum: float, names: Any) -> tuple[str, ...]:
    order = np.argsort(-ratios, kind="stable")[:TERMS]
    return tuple(_text(names[k]) for k in order.tolist() if ratios[k] > minimum)


def log_likelihood_ratio(before: Any, n: int, after: Any, m: int) -> NDArray[np.float64]:
    """Return the log-likelihood ratio of shares ``before / n`` and ``after / m`` to one common share, signed.

    The ratio is negative if the share fell.

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
    """Return the share of each slice in the reference and in the last ``run`` (at most `RING`) events."""
    seen = int(row["seen"])
    window = [(seen - 1 - p) % RING for p in range(min(max(run, 1), RING, seen))]
    shares: dict[str, tuple[float, float]] = {}
    latest = ring(row)
    for c, name in enumerate(CATEGORIES):
        if name not in _SLICES:
            continue
        total = max(float(row["value_count"][c].sum()), 1.0)
        slots = latest[c, window]
        for k in np.flatnonzero(row["value"][c]).tolist():
            before, after = float(row["value_count"][c, k]) / total, float((slots == k).mean())
            if before or after:
                shares[f"{name}={_text(row['value_name'][c, k])}"] = (round(before, 6), round(after, 6))
    return shares


def _text(raw: Any) -> str:
    return bytes(raw.tobytes()).rstrip(b"\0").decode("utf-8", "ignore")
