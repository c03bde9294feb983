"""What the statistics are compared with for a stated number of events per false alarm, before the calibration.

Half of the false alarms are allowed to the text, half to the scalars' charts in equal parts (Bonferroni). These limits
hold until `agents.drift.calibration` has enough rows of the segment's own reference, and bound what it may find. The
constants were measured: ``evaluation/eval_drift.py null``, ``docs/models/drift.md``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from agents.drift.config import DriftConfig

_TEXT, _PER_EVENTS, _PER_SMOOTHING = 69.0, 3.6, 2.0
"""Limit at 20,000 events and a smoothing of 0.03, and what e times as many events, or e times the smoothing, add."""
_MEASURED, _SHARE = 1.5e-5, 1.0e-4
"""False alarms per event of an ADWIN with two buckets of a size, by its delta: on scaled normal values, on flags."""
_QUIET = 3.0
"""How much quieter the scalars' charts were than their theory, which counts the reference's error as if at its end."""


class Limits(NamedTuple):
    """The settings as the kernels see them.

    Attributes
    ----------
    events
        Events per false alarm that all charts of scalars together may have, by theory.
    asked
        The same where it is simulated; also that of the text's chart.
    smoothing, text
        Weight of an event in the slow and the quick average of embeddings, and the limits of their statistics.
    delta_measured, delta_share
        ADWIN's delta if it were the only chart; it is divided by their number.
    """

    reference: int
    events: float
    asked: float
    effect: float
    odds: float
    smoothing: tuple[float, float]
    text: tuple[float, float]
    delta_measured: float
    delta_share: float


def limits(config: DriftConfig) -> Limits:
    """Derive the limits from the settings."""
    half = 2.0 * config.events_per_false_alarm
    events = half / _QUIET
    return Limits(
        config.reference_events,
        events,
        half,
        config.effect,
        config.odds_ratio,
        (config.smoothing, config.quick),
        (text_limit(2.0 * half, config.smoothing), text_limit(2.0 * half, config.quick)),
        1.0 / (events * _MEASURED),
        1.0 / (events * _SHARE),
    )


def text_limit(events: float, smoothing: float) -> float:
    """Limit of the text statistic with so many events per false alarm."""
    return _TEXT + _PER_EVENTS * math.log(events / 20_000) + _PER_SMOOTHING * math.log(smoothing / 0.03)
