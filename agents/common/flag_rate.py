"""Change detection on flag rates: one CUSUM per scope (tenant, app).

All agents that flag events use this monitor. A few attacks among many events do not move a mean, but they move a CUSUM.
Flags may have grades: a grade that harmless events almost never get counts as much as several flags of a common grade.
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
from agents.common.watermark import Scope
from schemas.errors import StateError

EXAMPLES_MAX = 5
DOWN_ODDS_RATIO = 1.0 / 3.0
"""Odds of a flag, relative to the reference, at which a fall is detected and the reference is learned again. The fall
must be large, because learning takes hundreds of events."""
SIGMA = 1.0
GROWTH = 8
"""Factor by which the reference grows beyond its first size while no change is suspected."""


class SeverityPriors(NamedTuple):
    """Prior shares of the grades of flags.

    Attributes
    ----------
    anomalous
        Share of bad events that are flagged in each grade, from grade 1. The rest of the bad events is not flagged.
    normal
        Share of each grade among the flags of normal events, used until enough flags were seen; sums to 1.
    """

    anomalous: tuple[float, ...]
    normal: tuple[float, ...]


UNGRADED = SeverityPriors((1.0,), (1.0,))
"""Priors of flags without grades."""
PRIOR_STRENGTH = 8.0
"""Number of flags at which the observed shares of grades weigh as much as `SeverityPriors.normal`."""


@dataclass(frozen=True, slots=True)
class RateConfig:
    """Settings of a `FlagRateMonitor`.

    Attributes
    ----------
    reference_events
        Number of events of a scope from which its reference rate is learned, at first and after each change.
    events_per_false_alarm
        Average number of events of one scope, at its reference rate, between two false alarms (average run length).
    min_share, odds_ratio
        The rise that is detected soonest: each grade rises by its part of this share of bad events, or its odds are
        multiplied by this ratio, whichever is more.
    min_rate
        Minimum reference rate, over all grades. With a lower rate, the first flag would raise an alarm.
    max_rate
        Reference rate above which no rise is reported, because most events are flagged anyway.
    max_segments
        Maximum number of scopes, with a fair share for each tenant; the least recently used are evicted.
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
    """Rise of a flag rate with its estimated start; the fields are those of `agents.base.ChangePoint`."""

    since_offset: int
    since_time_ms: int
    before: float
    after: float
    score: float
    event_ids: tuple[str, ...]

    def as_change_point(self, index: int, signal: str, scope: Scope) -> ChangePoint:
        """Return the change point for a signal and scope."""
        return ChangePoint(
            index,
            signal,
            {"tenant": scope[0], "app": scope[1]},
            self.since_offset,
            self.since_time_ms,
            self.before,
            self.after,
            self.score,
            event_ids=self.event_ids,
        )


@dataclass(slots=True)
class _ScopeRate:
    """Counts and rates by grade of one scope; ``chart`` is derived from the rates."""

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
    """Page's CUSUM on a sequence of graded flags per scope, in bounded memory.

    Each unflagged event subtracts one. Each flag adds an integer: the rounded log-likelihood ratio of the raised rate
    of its grade to the reference rate, in units of the ratio of an unflagged event. The sum never falls below zero. An
    alarm is raised when the sum reaches a threshold, for which the average run length is computed exactly.

    The reference rate is the upper end of a one-sigma Wilson interval, so that the error of the estimate raises no
    alarm. While no change is suspected, the reference grows to eight times its first size and the interval narrows.
    After a rise, the new level is learned, so each rise is reported once. A fall of the rate over all grades, detected
    by the mirrored sum, is learned silently, so that the next rise is detected. ``docs/models/drift.md`` has the
    measurements.

    Parameters
    ----------
    config
        See `RateConfig`.
    grades
        See `SeverityPriors`.

    Examples
    --------
    >>> monitor = FlagRateMonitor(RateConfig(reference_events=50))
    >>> scope = ("acme", "triage")
    >>> rises = [i for i in range(200) if monitor.update(scope, i >= 100, i, 1000 * i, f"e{i}")]
    >>> rises[0] - 100 < 10, len(rises)
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
        self._segments = TenantLru[Scope, _ScopeRate](self.config.max_segments)

    def __len__(self) -> int:
        return len(self._segments)

    @property
    def evicted(self) -> int:
        """Number of scopes evicted to make room."""
        return self._segments.evicted

    def update(self, scope: Scope, grade: int, offset: int, time_ms: int, event_id: str) -> RateChange | None:
        """Add one event of a scope; return a rise if this event completes the evidence for one.

        Parameters
        ----------
        scope
            Tenant and app.
        grade
            0 for an event that is not flagged, else the grade of its flag, from 1. Without grades, a bool.
        offset, time_ms, event_id
            Offset, time and id of the event.
        """
        rate = self._lookup(scope)
        if rate.chart is None:
            self._learn_reference(rate, grade)
            return None
        if rate.up <= 0.0:
            rate.since_offset, rate.since_time_ms = offset, time_ms
            rate.run = 0
            if rate.examples:
                rate.run_flagged, rate.examples = [0] * len(self._grades.anomalous), ()
        rate.run += 1
        if grade:
            rate.run_flagged[grade - 1] += 1
            if len(rate.examples) < EXAMPLES_MAX:
                rate.examples += (event_id,)
        chart = rate.chart
        rate.up = max(0.0, rate.up + (chart.flags[grade - 1] if grade else -1))
        rate.down = max(0.0, rate.down + (chart.down_flag if grade else chart.down_other))
        if rate.up >= chart.threshold and chart.rate <= self.config.max_rate:
            self._segments.replace(scope[0], scope, self._new())
            return _describe(rate, chart)
        if rate.down >= chart.down_threshold:
            self._segments.replace(scope[0], scope, self._new())
        elif rate.up <= 0.0:
            self._extend_reference(rate)
        return None

    def _lookup(self, scope: Scope) -> _ScopeRate:
        rate = self._segments.get(scope[0], scope)
        if rate is None:
            rate, tenant = self._new(), intern(scope[0])
            self._segments.put(tenant, (tenant, intern(scope[1])), rate)
        return rate

    def _new(self) -> _ScopeRate:
        grades = len(self._grades.anomalous)
        return _ScopeRate([0] * grades, [0] * grades, [0.0] * grades)

    def _learn_reference(self, rate: _ScopeRate, grade: int) -> None:
        rate.seen += 1
        if grade:
            rate.flagged[grade - 1] += 1
        if rate.seen == self.config.reference_events:
            self._recompute_thresholds(rate)

    def _extend_reference(self, rate: _ScopeRate) -> None:
        """Add a run without an alarm to the reference, with its flagged and its unflagged events."""
        first, before = self.config.reference_events, rate.seen
        if before >= GROWTH * first:
            return
        rate.seen += rate.run
        if rate.examples:
            rate.flagged = [n + new for n, new in zip(rate.flagged, rate.run_flagged, strict=True)]
        if before // first != rate.seen // first:
            self._recompute_thresholds(rate)

    def _recompute_thresholds(self, rate: _ScopeRate) -> None:
        flagged = sum(rate.flagged)
        reference_rate = min(max(wilson_upper(flagged, rate.seen), self.config.min_rate), 0.99)
        shares = zip(rate.flagged, self._grades.normal, strict=True)
        rate.rates = [reference_rate * (n + PRIOR_STRENGTH * share) / (flagged + PRIOR_STRENGTH) for n, share in shares]
        rate.chart = self._chart(rate.rates)

    def _chart(self, rates: Sequence[float]) -> _Chart:
        config = self.config
        priors = self._grades.anomalous
        return _chart(tuple(rates), priors, config.odds_ratio, config.min_share, config.events_per_false_alarm)

    def state(self) -> State:
        """Return the complete state by columns, in the order of `TenantLru.items`."""
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
        """Return dtype and shape of each column of the state, by name."""
        grades = (len(self._grades.anomalous),)
        by_grade = {"flagged": (np.int64, grades), "run_flagged": (np.int64, grades), "rates": (np.float64, grades)}
        scalars = ("seen", "run", "since_offset", "since_time_ms")
        return by_grade | dict.fromkeys(scalars, (np.int64, ())) | dict.fromkeys(("up", "down"), (np.float64, ()))

    @strict_restore
    def restore(self, state: State) -> None:
        """Load a state; raise `StateError` if it was written with other settings or does not fit."""
        try:
            self._segments = self._rows(state)
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise StateError(f"flag rate: the state does not fit ({error!r}); it starts cold", part="rate") from error

    def _rows(self, state: Mapping[str, Any]) -> TenantLru[Scope, _ScopeRate]:
        if (state["config"], state["grades"]) != (asdict(self.config), [list(shares) for shares in self._grades]):
            raise StateError(
                "flag rate: the state was written with other settings; it starts cold", part="rate", code="settings"
            )
        n = len(state["keys"])
        expect_at_most(state["keys"], self.config.max_segments, "scopes")
        found = {name: expect_array(state[name], kind, n, *shape) for name, (kind, shape) in self._columns().items()}
        if any((found[name] < 0).any() for name in ("seen", "run", "flagged", "run_flagged", "up", "down")):
            raise ValueError("a count of the flag rates is negative")
        for flags, events in ((found["flagged"], found["seen"]), (found["run_flagged"], found["run"])):
            if (flags > events[:, None]).any() or (flags.sum(1) > events).any():
                raise ValueError("a scope has more flags than events")
        tuned = found["seen"] >= self.config.reference_events
        if (found["rates"][tuned] <= 0.0).any() or (found["rates"][tuned].sum(1) >= 1.0).any():
            raise ValueError("a rate is not between 0 and 1")
        if any(found[name][~tuned].any() for name in ("run", "up", "down")):
            raise ValueError("a scope without a reference rate has sums")
        columns: dict[str, list[Any]] = {name: column.tolist() for name, column in found.items()}
        columns["examples"] = [expect_texts(ids) for ids in state["examples"]]
        if any(len(ids) > EXAMPLES_MAX for ids in columns["examples"]):
            raise ValueError(f"a scope has more than {EXAMPLES_MAX} examples")
        segments = TenantLru[Scope, _ScopeRate](self.config.max_segments)
        rows = [_ScopeRate(**dict(zip(columns, values, strict=True))) for values in zip(*columns.values(), strict=True)]
        for rate in rows:
            if rate.seen >= self.config.reference_events:
                rate.chart = self._chart(rate.rates)
        keys = [expect_texts(key, 2) for key in state["keys"]]
        segments.restore(state["tenants"], ((intern(tenant), intern(app)) for tenant, app in keys), rows)
        segments.evicted = int(state["evicted"])
        return segments


def wilson_upper(flagged: int, seen: int, sigma: float = SIGMA) -> float:
    """Return the upper end of the Wilson score interval of a share."""
    share, square = flagged / seen, sigma * sigma / seen
    half = math.sqrt(square * (share * (1.0 - share) + 0.25 * square))
    return (share + 0.5 * square + half) / (1.0 + square)


class _Chart(NamedTuple):
    """Steps and thresholds of the CUSUM and of its mirrored sum.

    Attributes
    ----------
    rate
        Reference share of flagged events.
    flags
        Step of the sum for a flag of each grade; the step for an unflagged event is -1.
    threshold
        Threshold of the sum.
    down_flag, down_other, down_threshold
        Steps of the mirrored sum for a flagged and for an unflagged event, and its threshold.
    """

    rate: float
    flags: tuple[int, ...]
    threshold: int
    down_flag: float
    down_other: float
    down_threshold: float


@lru_cache(maxsize=4096)
def _chart(
    rates: tuple[float, ...], priors: tuple[float, ...], odds_ratio: float, min_share: float, events: int
) -> _Chart:
    reference = sum(rates)
    raised = [max(r + min_share * prior, _raised(r, odds_ratio)) for r, prior in zip(rates, priors, strict=True)]
    # At most half of the events that are normally unflagged may become flags, which limits the rise of a high rate.
    scale = min(1.0, (1.0 - reference) / 2.0 / (sum(raised) - reference))
    other = -math.log1p(-scale * (sum(raised) - reference) / (1.0 - reference))
    ratios = [math.log1p(scale * (high - rate) / rate) for high, rate in zip(raised, rates, strict=True)]
    flags = tuple(max(1, round(ratio / other)) for ratio in ratios)
    lowered = _raised(reference, DOWN_ODDS_RATIO)
    flag_step, other_step = math.log(lowered / reference), math.log((1.0 - lowered) / (1.0 - reference))
    threshold = rise_threshold(rates, flags, events)
    mean_step = -(reference * flag_step + (1.0 - reference) * other_step)
    return _Chart(reference, flags, threshold, flag_step, other_step, wald_threshold(events * mean_step))


def _raised(rate: float, odds_ratio: float) -> float:
    return odds_ratio * rate / (1.0 - rate + odds_ratio * rate)


def _describe(rate: _ScopeRate, chart: _Chart) -> RateChange:
    return RateChange(
        rate.since_offset,
        rate.since_time_ms,
        round(sum(rate.flagged) / rate.seen, 6),
        round(sum(rate.run_flagged) / rate.run, 6),
        round(rate.up / chart.threshold, 6),
        rate.examples,
    )
