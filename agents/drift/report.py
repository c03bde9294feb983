"""An alarm in words: which feature, from where to where, since when, which terms and which slices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from agents.base import Change
from agents.drift.columns import COST_UNIT
from agents.drift.layout import CATEGORIES, FIRST_SHARE, RING, SIGNALS, TEXT
from agents.drift.segments import Key
from agents.drift.words import DIMENSIONS

TERMS = 8
_SLICES = ("language", "model", "prompt_version")
_COST = SIGNALS.index("cost_usd")


def describe(row: Any, index: int, alarm: Sequence[float], key: Key, event_ids: Sequence[str]) -> Change:
    """Make the finding of a segment's record at its alarm (statistic over limit, feature, side)."""
    score, feature, side = alarm[0], int(alarm[1]), int(alarm[2])
    if feature == TEXT:
        since, run = (int(row["text_offset"]), int(row["text_time"])), int(row["text_run"])
        before, after = 1.0, math.sqrt(float(row["text_squares"]) / (run * DIMENSIONS))
        gained, lost = terms(row)
    else:
        since = int(row["since_offset"][side, feature]), int(row["since_time"][side, feature])
        run = int(row["run"][side, feature])
        before, after = _levels(feature, float(row["mean"][feature]), float(row["run_total"][side, feature]) / run)
        gained, lost = (), ()
    segment = {"tenant": key[0], "app": key[1]}
    moved = slices(row, run)
    return Change(
        index,
        f"drift.{SIGNALS[feature]}",
        segment,
        *since,
        before=round(before, 6),
        after=round(after, 6),
        score=round(score, 6),
        terms_gained=gained,
        terms_lost=lost,
        slices=moved,
        event_ids=tuple(event_ids),
    )


def _levels(feature: int, *levels: float) -> tuple[float, ...]:
    """Levels in the signal's unit; of measured values the geometric mean."""
    if feature >= FIRST_SHARE:
        return levels
    unit = COST_UNIT if feature == _COST else 1.0
    return tuple(math.expm1(level) * unit for level in levels)


def terms(row: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Words whose share of events rose and fell most beyond chance."""
    weight, n = float(row["term_weight"]), int(row["text_n"])
    before = row["term_before"].astype(np.float64) / max(n, 1)
    after = row["term_after"].astype(np.float64) / max(weight, 1e-9)
    pooled = np.clip((before + after) / 2.0, 1e-3, 1.0)
    moved = np.where(row["term"] > 0, (after - before) / np.sqrt(pooled), 0.0)
    order = np.argsort(-moved, kind="stable").tolist()
    gained = [_text(row["term_text"][k]) for k in order[:TERMS] if moved[k] > 0.1]
    lost = [_text(row["term_text"][k]) for k in order[: -TERMS - 1 : -1] if moved[k] < -0.1]
    return tuple(gained), tuple(lost)


def slices(row: Any, run: int) -> dict[str, tuple[float, float]]:
    """Shares of each slice's values in the reference and in the last ``run`` (at most `RING`) events."""
    seen = int(row["seen"])
    window = [(seen - 1 - p) % RING for p in range(min(max(run, 1), RING, seen))]
    found: dict[str, tuple[float, float]] = {}
    for c, name in enumerate(CATEGORIES):
        if name not in _SLICES:
            continue
        total = max(float(row["value_count"][c].sum()), 1.0)
        slots = row["ring"][c][window]
        for k in np.flatnonzero(row["value"][c]).tolist():
            before, after = float(row["value_count"][c, k]) / total, float((slots == k).mean())
            if before or after:
                found[f"{name}={_text(row['value_name'][c, k])}"] = (round(before, 6), round(after, 6))
    return found


def _text(raw: Any) -> str:
    return bytes(raw.tobytes()).rstrip(b"\0").decode("utf-8", "ignore")
