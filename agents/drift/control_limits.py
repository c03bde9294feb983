"""Theoretical control limits of the statistics for a configured number of events per false alarm.

Half of the false alarms are allotted to the text, half to the charts of the scalars in equal parts (Bonferroni). The
limits apply until `agents.drift.calibration` has enough rows of the app's own reference, and bound the calibrated
limits. The constants were measured by ``evaluation/eval_drift.py null``; ``docs/models/drift.md`` has the results.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from agents.drift.config import DriftConfig

_TEXT, _PER_EVENTS, _PER_SMOOTHING = 69.0, 3.6, 2.0
"""Limit of the text statistic at 20,000 events and a smoothing of 0.03, and its increase per factor e of each."""
_CONTINUOUS, _SHARE = 1.5e-5, 1.0e-4
"""False alarms per event and delta of an ADWIN with two buckets per level, on scaled normal values and on flags."""
_CONSERVATISM = 3.0
"""Ratio of the theoretical to the measured false alarms of the scalar charts. The theory assumes the maximum estimation
error of the reference."""


class Limits(NamedTuple):
    """Settings in the form that the kernels read.

    Attributes
    ----------
    reference, effect, odds
        See `DriftConfig`.
    events
        Events per false alarm of all scalar charts together, corrected for theoretical limits.
    simulated_events
        Events per false alarm of all scalar charts together, and of the text chart, for simulated limits.
    smoothing, text
        Weight of an event in the slow and the fast average of embeddings, and the limits of their statistics.
    delta_continuous, delta_share
        Delta of an ADWIN on a continuous and on a binary feature, before its division by the number of charts.
    """

    reference: int
    events: float
    simulated_events: float
    effect: float
    odds: float
    smoothing: tuple[float, float]
    text: tuple[float, float]
    delta_continuous: float
    delta_share: float


def control_limits(config: DriftConfig) -> Limits:
    """Compute the control limits from the settings."""
    half = 2.0 * config.events_per_false_alarm
    events = half / _CONSERVATISM
    return Limits(
        config.reference_events,
        events,
        half,
        config.effect,
        config.odds_ratio,
        (config.smoothing, config.quick),
        (text_limit(2.0 * half, config.smoothing), text_limit(2.0 * half, config.quick)),
        1.0 / (events * _CONTINUOUS),
        1.0 / (events * _SHARE),
    )


def text_limit(events: float, smoothing: float) -> float:
    """Return the limit of the text statistic for this number of events per false alarm."""
    return _TEXT + _PER_EVENTS * math.log(events / 20_000) + _PER_SMOOTHING * math.log(smoothing / 0.03)
