"""When did the share of flagged events of a segment rise: a CUSUM on flags, one per (tenant, app).

Agents that flag events share it: few attacks among many events move no mean, but they do move a CUSUM. Flags may have
grades: one that harmless events hardly ever get is worth several of those that they get now and then.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from sys import intern
from typing import Any, NamedTuple

import numpy as np

from agents.base import ChangePoint, State
from agents.common.run_length import rise_threshold, wald_threshold
from agents.common.state_validation import expect_array, expect_at_most, expect_texts, strict_restore
from agents.common.tenant_map import TenantLru
from schemas.errors import StateError

EXAMPLES = 5
FALLEN = 1.0 / 3.0
"""Odds of a flag, as a multiple of the usual, at which the level is learned anew: to learn takes its time."""
SIGMA = 1.0
GROWTH = 8
"""The reference grows to so many times its first size while nothing is suspected."""


class SeverityPriors(NamedTuple):
    """What is known beforehand of flags that are more or less sure.

    Attributes
    ----------
    anomalous
        Share of bad events that is flagged in each grade, the first being 1; what is missing to one is not flagged.
    normal
        Share of each grade among the flags of events that are as usual, until enough of those were seen; sums to one.
    """

    anomalous: tuple[float, ...]
    normal: tuple[float, ...]


UNGRADED = SeverityPriors((1.0,), (1.0,))
"""Flags without grades."""
PRIOR_STRENGTH = 8.0
"""Flags of a segment at which its own shares of grades weigh as much as `SeverityPriors.normal`."""


@dataclass(frozen=True, slots=True)
class RateConfig:
    """How the rate of flags is watched.

    Attributes
    ----------
    reference_events
        Events of a segment from which its usual rate is learned, at first and again after each change of level.
    events_per_false_alarm
        Events of one segment, all at its usual rate, between two false alarms (average run length).
    min_share, odds_ratio
        The rise it is tuned to find soonest: each grade gets what it would of this share of bad events, or its odds are
        multiplied by this, whichever is more.
    min_rate
        Least usual rate assumed, all grades together; below it a first flag would be an alarm.
    max_rate
        Where most events are flagged anyway there is no rise to report; only the way down is watched.
    max_segments
        Segments kept, with a fair share for each tenant; the least recently seen are forgotten, and counted, when there
        are more.
    """

    reference_events: int = 400
    events_per_false_alarm: int = 10_000
    min_share: float = 0.02
    odds_ratio: float = 2.0
    min_rate: float = 0.002
    max_rate: float = 0.4
    max_segments: int = 4096


@dataclass(frozen=True, slots=True)
class RateChange:
    """A rise of the rate, with its estimated begin; the fields are those of `agents.base.ChangePoint`."""

    since_offset: int
    since_time_ms: int
    before: float
    after: float
    score: float
    event_ids: tuple[str, ...]

    def as_change_point(self, index: int, signal: str, key: tuple[str, str]) -> ChangePoint:
        """Name the signal and the segment it was found in."""
        return ChangePoint(
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
    """Counts and rates by grade; ``chart`` follows from the rates."""

    flagged: list[int]
    run_flagged: list[int]
    rates: list[float]
    seen: int = 0
    run: int = 0
    up: float = 0.0
    down: float = 0.0
    since_offset: int = 0
    since_time_ms: int = 0
    examples: tuple[str, ...] = ()
    chart: _Chart | None = None


class FlagRateMonitor:
    """Page's CUSUM on a sequence of graded flags per segment, in bounded memory.

    Each unflagged event subtracts one and each flag adds the whole number of them that comes nearest to the
    log-likelihood ratio of the raised rate of its grade to the usual one; the sum never falls below zero, and an alarm
    is given where it reaches the threshold, at which the average run length is exactly computed. The usual rate is the
    upper end of a one-sigma Wilson interval over the reference, so that the error of that estimate does not itself
    alarm; while nothing is suspected the reference grows to eight times its first size and the interval closes. After a
    rise the new level is learned and so is reported once; a fall of the rate of all grades together (found by the
    mirrored sum) is learned silently, so that the next rise is seen. ``docs/models/drift.md`` has what was measured.

    Parameters
    ----------
    config
        See `RateConfig`.
    grades
        See `SeverityPriors`.

    Examples
    --------
    >>> cusum = FlagRateMonitor(RateConfig(reference_events=50))
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

    def __init__(self, config: RateConfig | None = None, grades: SeverityPriors = UNGRADED) -> None:
        self.config = config or RateConfig()
        self._grades = grades
        self._segments = TenantLru[tuple[str, str], _Segment](self.config.max_segments)

    def __len__(self) -> int:
        return len(self._segments)

    @property
    def evicted(self) -> int:
        """Segments forgotten because there were more than ``max_segments``."""
        return self._segments.evicted

    def update(self, key: tuple[str, str], grade: int, offset: int, time_ms: int, event_id: str) -> RateChange | None:
        """Count one event of a segment; returns the rise where this event completes the proof of one.

        Parameters
        ----------
        key
            Tenant and app.
        grade
            0 for an event that is not flagged, else the grade of its flag, from 1; a bool where flags have none.
        offset, time_ms, event_id
            Of the event.
        """
        segment = self._touch(key)
        if segment.chart is None:
            self._learn(segment, grade)
            return None
        if segment.up <= 0.0:
            segment.since_offset, segment.since_time_ms = offset, time_ms
            segment.run = 0
            if segment.examples:
                segment.run_flagged, segment.examples = [0] * len(self._grades.anomalous), ()
        segment.run += 1
        if grade:
            segment.run_flagged[grade - 1] += 1
            if len(segment.examples) < EXAMPLES:
                segment.examples += (event_id,)
        chart = segment.chart
        segment.up = max(0.0, segment.up + (chart.flags[grade - 1] if grade else -1))
        segment.down = max(0.0, segment.down + (chart.fallen_flag if grade else chart.fallen_other))
        if segment.up >= chart.threshold and chart.rate <= self.config.max_rate:
            self._segments.replace(key[0], key, self._fresh())
            return _describe(segment, chart)
        if segment.down >= chart.fallen_threshold:
            self._segments.replace(key[0], key, self._fresh())
        elif segment.up <= 0.0:
            self._grow(segment)
        return None

    def _touch(self, key: tuple[str, str]) -> _Segment:
        segment = self._segments.get(key[0], key)
        if segment is None:
            segment, tenant = self._fresh(), intern(key[0])
            self._segments.put(tenant, (tenant, intern(key[1])), segment)
        return segment

    def _fresh(self) -> _Segment:
        grades = len(self._grades.anomalous)
        return _Segment([0] * grades, [0] * grades, [0.0] * grades)

    def _learn(self, segment: _Segment, grade: int) -> None:
        segment.seen += 1
        if grade:
            segment.flagged[grade - 1] += 1
        if segment.seen == self.config.reference_events:
            self._tune(segment)

    def _grow(self, segment: _Segment) -> None:
        """Take a stretch that came to nothing into the reference as a whole: its flags are as usual as its others."""
        first, before = self.config.reference_events, segment.seen
        if before >= GROWTH * first:
            return
        segment.seen += segment.run
        if segment.examples:
            segment.flagged = [n + new for n, new in zip(segment.flagged, segment.run_flagged, strict=True)]
        if before // first != segment.seen // first:
            self._tune(segment)

    def _tune(self, segment: _Segment) -> None:
        flagged = sum(segment.flagged)
        usual = min(max(wilson_upper(flagged, segment.seen), self.config.min_rate), 0.99)
        shares = zip(segment.flagged, self._grades.normal, strict=True)
        segment.rates = [usual * (n + PRIOR_STRENGTH * share) / (flagged + PRIOR_STRENGTH) for n, share in shares]
        segment.chart = self._chart(segment.rates)

    def _chart(self, rates: Sequence[float]) -> _Chart:
        config = self.config
        least, events = config.min_share, config.events_per_false_alarm
        return _chart(tuple(rates), self._grades.anomalous, config.odds_ratio, least, events)

    def state(self) -> State:
        """Return every segment by columns, in the order of `TenantLru.items`."""
        rows = list(self._segments.values())
        columns: dict[str, Any] = {
            name: np.array([getattr(r, name) for r in rows], kind).reshape(len(rows), *shape)
            for name, (kind, shape) in self._columns().items()
        }
        names: dict[str, Any] = {
            "keys": [list(k) for k in self._segments],
            "tenants": self._segments.tenants(),
            "examples": [list(r.examples) for r in rows],
        }
        grades = [list(shares) for shares in self._grades]
        return {"config": asdict(self.config), "grades": grades, "evicted": self.evicted, **columns, **names}

    def _columns(self) -> dict[str, tuple[type, tuple[int, ...]]]:
        """Return the type of a segment's numbers, and how many of them there are, by name."""
        grades = (len(self._grades.anomalous),)
        by_grade = {"flagged": (np.int64, grades), "run_flagged": (np.int64, grades), "rates": (np.float64, grades)}
        whole = ("seen", "run", "since_offset", "since_time_ms")
        return by_grade | dict.fromkeys(whole, (np.int64, ())) | dict.fromkeys(("up", "down"), (np.float64, ()))

    @strict_restore
    def restore(self, state: State) -> None:
        """Continue from `state`; raise `StateError` if it was made with other settings or is not whole."""
        try:
            self._segments = self._rows(state)
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise StateError(f"rate: {error!r}; start cold", part="rate") from error

    def _rows(self, state: Mapping[str, Any]) -> TenantLru[tuple[str, str], _Segment]:
        if (state["config"], state["grades"]) != (asdict(self.config), [list(shares) for shares in self._grades]):
            raise StateError("rate: made with other settings; start cold", part="rate", code="settings")
        n = len(state["keys"])
        expect_at_most(state["keys"], self.config.max_segments, "segments")
        found = {name: expect_array(state[name], kind, n, *shape) for name, (kind, shape) in self._columns().items()}
        if any((found[name] < 0).any() for name in ("seen", "run", "flagged", "run_flagged", "up", "down")):
            raise ValueError("a count is negative")
        for flags, events in ((found["flagged"], found["seen"]), (found["run_flagged"], found["run"])):
            if (flags > events[:, None]).any() or (flags.sum(1) > events).any():
                raise ValueError("more flags than events")
        tuned = found["seen"] >= self.config.reference_events
        if (found["rates"][tuned] <= 0.0).any() or (found["rates"][tuned].sum(1) >= 1.0).any():
            raise ValueError("rates that are none")
        if any(found[name][~tuned].any() for name in ("run", "up", "down")):
            raise ValueError("sums of a segment that has no usual rate yet")
        columns: dict[str, list[Any]] = {name: column.tolist() for name, column in found.items()}
        columns["examples"] = [expect_texts(ids) for ids in state["examples"]]
        if any(len(ids) > EXAMPLES for ids in columns["examples"]):
            raise ValueError(f"more than {EXAMPLES} examples of a segment")
        segments = TenantLru[tuple[str, str], _Segment](self.config.max_segments)
        rows = [_Segment(**dict(zip(columns, values, strict=True))) for values in zip(*columns.values(), strict=True)]
        for segment in rows:
            if segment.seen >= self.config.reference_events:
                segment.chart = self._chart(segment.rates)
        keys = [expect_texts(key, 2) for key in state["keys"]]
        segments.restore(state["tenants"], ((intern(tenant), intern(app)) for tenant, app in keys), rows)
        segments.evicted = int(state["evicted"])
        return segments


def wilson_upper(flagged: int, seen: int, sigma: float = SIGMA) -> float:
    """Upper end of the Wilson score interval of a share."""
    share, square = flagged / seen, sigma * sigma / seen
    half = math.sqrt(square * (share * (1.0 - share) + 0.25 * square))
    return (share + 0.5 * square + half) / (1.0 + square)


class _Chart(NamedTuple):
    """What a flag of each grade adds where every other event subtracts one; the same of the mirrored sum.

    Attributes
    ----------
    rate
        Usual share of flagged events.
    """

    rate: float
    flags: tuple[int, ...]
    threshold: int
    fallen_flag: float
    fallen_other: float
    fallen_threshold: float


@lru_cache(maxsize=4096)
def _chart(
    rates: tuple[float, ...], bad: tuple[float, ...], odds_ratio: float, min_share: float, events: int
) -> _Chart:
    usual = sum(rates)
    raised = [max(r + min_share * b, _raised(r, odds_ratio)) for r, b in zip(rates, bad, strict=True)]
    # Of what is not flagged as usual no more than half may turn into flags: where most is flagged there is no room.
    room = min(1.0, (1.0 - usual) / 2.0 / (sum(raised) - usual))
    other = -math.log1p(-room * (sum(raised) - usual) / (1.0 - usual))
    ratios = [math.log1p(room * (high - rate) / rate) for high, rate in zip(raised, rates, strict=True)]
    flags = tuple(max(1, round(ratio / other)) for ratio in ratios)
    fallen = _raised(usual, FALLEN)
    hit, miss = math.log(fallen / usual), math.log((1.0 - fallen) / (1.0 - usual))
    threshold = rise_threshold(rates, flags, events)
    down = -(usual * hit + (1.0 - usual) * miss)
    return _Chart(usual, flags, threshold, hit, miss, wald_threshold(events * down))


def _raised(rate: float, odds_ratio: float) -> float:
    return odds_ratio * rate / (1.0 - rate + odds_ratio * rate)


def _describe(segment: _Segment, chart: _Chart) -> RateChange:
    return RateChange(
        segment.since_offset,
        segment.since_time_ms,
        round(sum(segment.flagged) / segment.seen, 6),
        round(sum(segment.run_flagged) / segment.run, 6),
        round(segment.up / chart.threshold, 6),
        segment.examples,
    )
