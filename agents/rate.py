"""When did the share of flagged events of a segment rise: a CUSUM on flags, one per (tenant, app).

Agents that flag events share it: few attacks among many events move no mean, but they do move a CUSUM.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from sys import intern
from typing import Any, NamedTuple

import numpy as np

from agents.base import Change, State
from schemas.errors import StateError

EXAMPLES = 5
SIGMA = 1.0
GROWTH = 8
"""The reference grows to so many times its first size while nothing is suspected."""


@dataclass(frozen=True, slots=True)
class RateConfig:
    """How the rate of flags is watched.

    Attributes
    ----------
    reference_events
        Events of a segment from which its usual rate is learned, at first and again after each change of level.
    events_per_false_alarm
        Events of one segment, all at its usual rate, between two false alarms (average run length).
    odds_ratio
        The rise it is tuned to find soonest: flagged : unflagged multiplied by this.
    least_raised
        The raised rate is no less than this: where flags are rare a rise to some other rare rate is not looked for.
    min_rate
        Least usual rate assumed; below it a first flag would be an alarm.
    max_rate
        Where most events are flagged anyway there is no rise to report; only the way down is watched.
    max_segments
        Segments kept; the least recently seen is forgotten, and counted, when there are more.
    """

    reference_events: int = 400
    events_per_false_alarm: int = 10_000
    odds_ratio: float = 3.0
    least_raised: float = 0.02
    min_rate: float = 0.002
    max_rate: float = 0.5
    max_segments: int = 4096


@dataclass(frozen=True, slots=True)
class RateChange:
    """A rise of the rate, with its estimated begin; the fields are those of `agents.base.Change`."""

    since_offset: int
    since_time_ms: int
    before: float
    after: float
    score: float
    event_ids: tuple[str, ...]

    def as_change(self, index: int, signal: str, key: tuple[str, str]) -> Change:
        """Name the signal and the segment it was found in."""
        return Change(
            index,
            signal,
            {"tenant": key[0], "app": key[1]},
            self.since_offset,
            self.since_time_ms,
            self.before,
            self.after,
            self.score,
            event_ids=self.event_ids,
        )


@dataclass(slots=True)
class _Segment:
    seen: int = 0
    flagged: int = 0
    rate: float = 0.0
    threshold: float = 0.0
    up: float = 0.0
    down: float = 0.0
    since_offset: int = 0
    since_time_ms: int = 0
    run: int = 0
    run_flagged: int = 0
    examples: tuple[str, ...] = ()


class RateCusum:
    """Page's CUSUM on a Bernoulli sequence per segment, in bounded memory.

    Each unflagged event subtracts one and each flag adds the whole number of them that comes nearest to the
    log-likelihood ratio of the raised rate to the usual rate; the sum never falls below zero, and an alarm is given
    where it reaches the threshold, at which the average run length is exactly computed. The usual rate is the upper end
    of a one-sigma Wilson interval over the reference, so that the error of that estimate does not itself alarm; while
    nothing is suspected the reference grows to eight times its first size and the interval closes. After a rise the new
    level is learned and so is reported once; a fall (found by the mirrored sum) is learned silently, so that the next
    rise is seen. ``docs/models/drift.md`` has what was measured.

    Parameters
    ----------
    config
        See `RateConfig`.

    Attributes
    ----------
    evicted
        Segments forgotten because there were more than ``max_segments``.

    Examples
    --------
    >>> cusum = RateCusum(RateConfig(reference_events=50))
    >>> key = ("acme", "triage")
    >>> found = [i for i in range(200) if cusum.update(key, i >= 100, i, 1000 * i, f"e{i}")]
    >>> found[0] - 100 < 10, len(found)
    (True, 1)

    References
    ----------
    Page, E. S. (1954). Continuous inspection schemes. Biometrika 41, 100-115.
    Reynolds, M. R. and Stoumbos, Z. G. (1999). A CUSUM chart for monitoring a proportion when inspecting
    continuously. Journal of Quality Technology 31, 87-108.
    """

    def __init__(self, config: RateConfig | None = None) -> None:
        self.config = config or RateConfig()
        self.evicted = 0
        self._segments: OrderedDict[tuple[str, str], _Segment] = OrderedDict()

    def __len__(self) -> int:
        return len(self._segments)

    def update(self, key: tuple[str, str], flag: bool, offset: int, time_ms: int, event_id: str) -> RateChange | None:
        """Count one event of a segment; returns the rise where this event completes the proof of one."""
        segment = self._touch(key)
        if segment.seen < self.config.reference_events:
            self._learn(segment, flag)
            return None
        if segment.up <= 0.0:
            segment.since_offset, segment.since_time_ms = offset, time_ms
            segment.run = segment.run_flagged = 0
            segment.examples = ()
        segment.run += 1
        if flag:
            segment.run_flagged += 1
            if len(segment.examples) < EXAMPLES:
                segment.examples += (event_id,)
        change = self._advance(segment, flag)
        if segment.up <= 0.0:
            self._grow(segment)
        return change

    def _touch(self, key: tuple[str, str]) -> _Segment:
        segment = self._segments.get(key)
        if segment is not None:
            self._segments.move_to_end(key)
            return segment
        if len(self._segments) >= self.config.max_segments:
            self._segments.popitem(last=False)
            self.evicted += 1
        return self._segments.setdefault((intern(key[0]), intern(key[1])), _Segment())

    def _learn(self, segment: _Segment, flag: bool) -> None:
        segment.seen += 1
        segment.flagged += flag
        if segment.seen == self.config.reference_events:
            self._tune(segment)

    def _grow(self, segment: _Segment) -> None:
        """Take a stretch that came to nothing into the reference as a whole: its flags are as usual as its others."""
        first, before = self.config.reference_events, segment.seen
        if not first <= before < GROWTH * first:
            return
        segment.seen += segment.run
        segment.flagged += segment.run_flagged
        segment.run = segment.run_flagged = 0
        if before // first != segment.seen // first:
            self._tune(segment)

    def _tune(self, segment: _Segment) -> None:
        upper = wilson_upper(segment.flagged, segment.seen)
        segment.rate = min(max(upper, self.config.min_rate), 0.99)
        segment.threshold = self._chart(segment.rate).threshold

    def _chart(self, rate: float) -> _Chart:
        return _chart(rate, self.config.odds_ratio, self.config.least_raised, self.config.events_per_false_alarm)

    def _advance(self, segment: _Segment, flag: bool) -> RateChange | None:
        chart = self._chart(segment.rate)
        segment.up = max(0.0, segment.up + (chart.flag if flag else -1.0))
        segment.down = max(0.0, segment.down + (chart.fallen_flag if flag else chart.fallen_other))
        if segment.up >= segment.threshold and segment.rate <= self.config.max_rate:
            change = _describe(segment)
            _forget(segment)
            return change
        if segment.down >= chart.fallen_threshold:
            _forget(segment)
        return None

    def state(self) -> State:
        """Every segment, least recently seen first, by columns."""
        rows = list(self._segments.values())
        columns: dict[str, Any] = {
            f.name: np.array([getattr(r, f.name) for r in rows], np.float64 if f.type == "float" else np.int64)
            for f in fields(_Segment)
            if f.name != "examples"
        }
        names: dict[str, Any] = {
            "keys": [list(k) for k in self._segments],
            "examples": [list(r.examples) for r in rows],
        }
        return {"config": asdict(self.config), "evicted": self.evicted, **columns, **names}

    def restore(self, state: State) -> None:
        """Continue from `state`; raise `StateError` if it was made with other settings or is not whole."""
        try:
            self._segments = _rows(state, self.config)
            self.evicted = int(state["evicted"])  # type: ignore[arg-type]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise StateError(f"rate: {error!r}; start cold") from error


def wilson_upper(flagged: int, seen: int, sigma: float = SIGMA) -> float:
    """Upper end of the Wilson score interval of a share."""
    share, square = flagged / seen, sigma * sigma / seen
    half = math.sqrt(square * (share * (1.0 - share) + 0.25 * square))
    return (share + 0.5 * square + half) / (1.0 + square)


class _Chart(NamedTuple):
    """What a flag adds where every other event subtracts one, when that is a rise; the same of the mirrored sum."""

    flag: float
    threshold: float
    fallen_flag: float
    fallen_other: float
    fallen_threshold: float


@lru_cache(maxsize=4096)
def _chart(rate: float, odds_ratio: float, least_raised: float, events: int) -> _Chart:
    raised = max(_raised(rate, odds_ratio), min(least_raised, 0.99))
    flag = max(1, round(math.log(raised / rate) / -math.log((1.0 - raised) / (1.0 - rate))))
    fallen = _raised(rate, 1.0 / odds_ratio)
    hit, miss = math.log(fallen / rate), math.log((1.0 - fallen) / (1.0 - rate))
    return _Chart(flag, rise_threshold(rate, flag, events), hit, miss, _fall_threshold(rate, hit, miss, events))


def rise_threshold(rate: float, flag: int, events: int) -> int:
    """Least threshold at which the average run length at this rate is what is asked for.

    Examples
    --------
    >>> rise_threshold(0.002, 128, 10_000), rise_threshold(0.002, 128, 100_000)
    (241, 361)
    """
    low, high = 0, max(flag, 2)
    while run_length(rate, flag, high) < events and high < _MOST:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if run_length(rate, flag, middle) < events:
            low = middle
        else:
            high = middle
    return high


_MOST = 1 << 14
"""Highest threshold tried; a rate so near one half has none."""


def run_length(rate: float, flag: int, threshold: int) -> float:
    """Average run length of the sum that adds ``flag`` or subtracts one, from zero to ``threshold``.

    The run lengths ``E(i)`` from each state satisfy ``E(i) = 1 + q E(max(i - 1, 0)) + p E(i + flag)``; from the top
    down each is a linear function of the topmost one, which the equation of state zero then gives.

    References
    ----------
    Brook, D. and Evans, D. A. (1972). An approach to the probability distribution of CUSUM run length. Biometrika 59,
    539-549.

    Examples
    --------
    >>> run_length(0.5, 1, 1), run_length(0.01, 50, 50)
    (2.0, 100.0)
    """
    p, q = rate, 1.0 - rate
    fixed, factor = [0.0] * (threshold + flag), [0.0] * (threshold + flag)
    factor[threshold - 1] = 1.0
    for i in range(threshold - 1, 0, -1):
        fixed[i - 1] = (fixed[i] - 1.0 - p * fixed[i + flag]) / q
        factor[i - 1] = (factor[i] - p * factor[i + flag]) / q
    top = (1.0 / p + fixed[flag] - fixed[0]) / (factor[0] - factor[flag])
    return fixed[0] + factor[0] * top


def _fall_threshold(rate: float, hit: float, miss: float, events: int) -> float:
    """Solve ``(exp(h) - h - 1) / |E[step]| = events`` (Wald's approximation without the overshoot, hence cautious)."""
    down = -(rate * hit + (1.0 - rate) * miss)
    low, high = 0.0, 50.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        if math.expm1(middle) - middle < events * down:
            low = middle
        else:
            high = middle
    return high


def _raised(rate: float, odds_ratio: float) -> float:
    return odds_ratio * rate / (1.0 - rate + odds_ratio * rate)


def _describe(segment: _Segment) -> RateChange:
    return RateChange(
        segment.since_offset,
        segment.since_time_ms,
        round(segment.flagged / segment.seen, 6),
        round(segment.run_flagged / segment.run, 6),
        round(segment.up / segment.threshold, 6),
        segment.examples,
    )


def _forget(segment: _Segment) -> None:
    segment.seen = segment.flagged = segment.run = segment.run_flagged = 0
    segment.rate = segment.threshold = segment.up = segment.down = 0.0
    segment.examples = ()


def _numbers(column: Any) -> list[Any]:
    if not isinstance(column, np.ndarray) or column.ndim != 1 or column.dtype.kind not in "if":
        raise ValueError(f"a column of numbers was expected, not {type(column).__name__}")
    values: list[Any] = column.tolist()
    return values


def _rows(state: Mapping[str, Any], config: RateConfig) -> OrderedDict[tuple[str, str], _Segment]:
    if state["config"] != asdict(config):
        raise ValueError("made with other settings")
    columns = [state[f.name] if f.name == "examples" else _numbers(state[f.name]) for f in fields(_Segment)]
    if any(len(column) != len(state["keys"]) for column in columns):
        raise ValueError("columns of unequal length")
    names = [f.name for f in fields(_Segment)]
    rows = [_Segment(**dict(zip(names, values, strict=True))) for values in zip(*columns, strict=True)]
    for row in rows:
        row.examples = tuple(row.examples)
    return OrderedDict(((str(k[0]), str(k[1])), row) for k, row in zip(state["keys"], rows, strict=True))
