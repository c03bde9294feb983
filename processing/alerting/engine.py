"""Evaluation of alert rules, event by event in the event time of each scope: live and replay raise the same alerts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import fields
from fnmatch import fnmatchcase
from sys import intern
from typing import Any, TypeAlias

import numpy as np

from agents.base import ChangePoint, Chunk, State
from agents.common.state_validation import expect_texts, strict_restore
from agents.common.tenant_map import TenantLru
from agents.common.watermark import Scope
from processing.alerting.firing import FiringAlert, alert_id, as_row, fingerprint_of, from_row
from processing.alerting.signal_values import Column, check_metric, column
from processing.alerting.sliding_window import SlidingWindow
from processing.alerting.summary import RATE, change_details, summarise_change, summarise_value
from schemas.errors import StateError
from schemas.event import LLMEvent
from schemas.rules import Rule, RuleSet

_WINDOWED = frozenset({"count", "rate", "quantile"})
_FIELDS = tuple(f.name for f in fields(FiringAlert))
Row: TypeAlias = "dict[str, Any]"
Key: TypeAlias = "tuple[str, str, str]"
"""Rule, tenant and app: the key of a window."""


class AlertEngine:
    """Evaluator of all rules over one partition.

    Parameters
    ----------
    rules
        The alert rules.
    partition
        Source partition; part of the identity of each alert.
    windows_max
        Maximum number of windows (rule, tenant, app), with a fair share for each tenant; the least recently used are
        evicted.
    active_max
        Maximum number of firing alerts, with a fair share for each tenant; the least recently extended are resolved.
    """

    def __init__(self, rules: RuleSet, partition: int, windows_max: int = 20_000, active_max: int = 5_000) -> None:
        self.rules = {rule.name: rule for rule in rules.rules}
        for rule in rules.rules:
            if rule.type != "change":
                check_metric(rule.name, rule.metric)
        self._events = [r for r in rules.rules if r.type == "event"]
        self._windowed = [r for r in rules.rules if r.type in _WINDOWED]
        self._changes = [r for r in rules.rules if r.type == "change"]
        self.partition = partition
        self._windows = TenantLru[Key, SlidingWindow](windows_max)
        # All firing alerts, by fingerprint.
        self._firing = TenantLru[str, FiringAlert](active_max)
        # The firing alerts of windowed rules, by window: a lookup without hashing a fingerprint per event.
        self._firing_by_window: dict[Key, FiringAlert] = {}
        # The firing alerts on risen flag rates, by scope: events flagged in the meantime become their evidence.
        self._elevated_rates: dict[Scope, dict[str, FiringAlert]] = {}
        # All firing alerts, by scope: an event checks only the alerts of its own scope.
        self._firing_by_scope: dict[Scope, dict[str, FiringAlert]] = {}
        self._cooldown_until = TenantLru[str, int](windows_max)
        # Event time of the scope of the current event, and the broker's time of its record.
        self._now_ms = self._broker_ms = 0
        # Earliest broker time at which an alert of an idle scope may have to be resolved.
        self._next_idle_check_ms = math.inf

    def process(self, chunk: Chunk, signals: Mapping[str, Sequence[Any]], changes: Sequence[ChangePoint]) -> list[Row]:
        """Evaluate the rules on a chunk; return the state changes of alerts, in event order."""
        columns = {r.name: column(r.metric, chunk, signals) for r in [*self._events, *self._windowed]}
        hits = self._hits(columns)
        windowed = [(r, columns[r.name]) for r in self._windowed]
        by_index: dict[int, list[ChangePoint]] = {}
        for change in changes:
            by_index.setdefault(change.index, []).append(change)
        out: list[Row] = []
        for i, (time_ms, watermark, broker_ms) in enumerate(zip(*map(np.ndarray.tolist, chunk.timing), strict=True)):
            self._now_ms, self._broker_ms = watermark or time_ms, broker_ms
            if self._firing and (broker_ms >= self._next_idle_check_ms or chunk.scopes[i] in self._firing_by_scope):
                out += self._resolve_due(chunk.scopes[i], int(chunk.offsets[i]))
            for rule, values in windowed:
                if (value := values[i]) is not None:
                    # An event ahead of its scope's watermark must not push other events out of the window.
                    out += self._on_window(rule, chunk, i, min(time_ms, watermark), value)
            for rule, value in hits.get(i, ()):
                out += self._on_event(rule, chunk, i, value)
            for change in by_index.get(i, ()):
                out += self._on_change(chunk, change)
            if self._elevated_rates:
                self._add_evidence(chunk.events[i], i, signals)
        return out

    def _add_evidence(self, event: LLMEvent, i: int, signals: Mapping[str, Sequence[Any]]) -> None:
        """Add a flagged event to the evidence of the firing rate alerts of its scope."""
        for alert in self._elevated_rates.get((event.tenant, event.app), {}).values():
            column = signals.get(alert.signal.removesuffix(RATE))
            if column is not None and getattr(column[i], "flag", False):
                alert.extend(alert.resolve_at_ms, alert.idle_resolve_at_ms, [event.event_id])

    def _hits(self, columns: Mapping[str, Column]) -> dict[int, list[tuple[Rule, float]]]:
        hits: dict[int, list[tuple[Rule, float]]] = {}
        for rule in self._events:
            for i, value in enumerate(columns[rule.name]):
                if value is not None and value > rule.threshold:
                    hits.setdefault(i, []).append((rule, value))
        return hits

    def _on_event(self, rule: Rule, chunk: Chunk, i: int, value: float) -> list[Row]:
        event = chunk.events[i]
        if not _applies(rule, event.app):
            return []
        segment = {"tenant": event.tenant, "app": event.app}
        summary = summarise_value(rule, segment, value, 1)
        return self._fire(rule, rule.metric, segment, chunk, i, value=value, summary=summary, evidence=[event.event_id])

    def _on_window(self, rule: Rule, chunk: Chunk, i: int, time_ms: int, value: float) -> list[Row]:
        event = chunk.events[i]
        if not _applies(rule, event.app):
            return []
        key = (rule.name, event.tenant, event.app)
        window = self._window(rule, key)
        window.add(time_ms, value)
        if (alert := self._firing_by_window.get(key)) is not None:
            return self._extend_or_resolve(rule, chunk, i, window, alert)
        if window.n < rule.min_events or not _exceeds(rule, window.n, window.above_fire):
            return []
        segment = {"tenant": event.tenant, "app": event.app}
        level = _level_of(rule, window)
        summary = summarise_value(rule, segment, level, window.n)
        return self._fire(rule, rule.metric, segment, chunk, i, value=level, summary=summary, evidence=[event.event_id])

    def _extend_or_resolve(
        self, rule: Rule, chunk: Chunk, i: int, window: SlidingWindow, alert: FiringAlert
    ) -> list[Row]:
        hits = window.above_resolve if rule.type == "quantile" else window.above_fire
        if _exceeds(rule, window.n, hits, resolving=True):
            self._firing.get(alert.scope[0], alert.fingerprint)
            alert.extend(*self._resolve_times(rule), [chunk.events[i].event_id])
            return []
        return [self._resolve(alert, int(chunk.offsets[i]), self._now_ms)]

    def _on_change(self, chunk: Chunk, change: ChangePoint) -> list[Row]:
        out: list[Row] = []
        for rule in self._changes:
            in_app = _applies(rule, change.segment.get("app"))
            if in_app and watches(rule, change.signal) and _crosses_threshold(rule, change):
                out += self._fire(
                    rule,
                    change.signal,
                    dict(change.segment),
                    chunk,
                    change.index,
                    value=change.after,
                    summary=summarise_change(change),
                    evidence=change.event_ids,
                    change_started_at=change.since_time_ms,
                    details=change_details(change),
                    updates_alert=bool(change.facts),
                )
        return out

    def _fire(  # noqa: PLR0913 - the parts of an alert
        self,
        rule: Rule,
        signal: str,
        segment: dict[str, str],
        chunk: Chunk,
        i: int,
        *,
        value: float,
        summary: str,
        evidence: Iterable[str],
        change_started_at: int | None = None,
        details: dict[str, Any] | None = None,
        updates_alert: bool = False,
    ) -> list[Row]:
        """Fire an alert, or extend the alert that is firing already; return the rows of state changes."""
        fingerprint = fingerprint_of(rule.name, signal, segment, self.partition)
        resolve_times = self._resolve_times(rule)
        tenant = segment.get("tenant", "")
        if (alert := self._firing.get(tenant, fingerprint)) is not None:
            alert.extend(*resolve_times, evidence)
            if updates_alert:
                alert.value, alert.summary, alert.details = float(value), summary, details or {}
            return []
        if self._now_ms < (self._cooldown_until.peek(tenant, fingerprint) or 0):
            return []
        offset, event = int(chunk.offsets[i]), chunk.events[i]
        identity = (rule.name, fingerprint, alert_id(fingerprint, offset, event.event_id), signal, segment)
        alert = FiringAlert(*identity, float(value), summary, self._now_ms, *resolve_times, change_started_at)
        alert.details = details or {}
        alert.extend(*resolve_times, evidence)
        self._index(alert)
        evicted = self._firing.put(tenant, fingerprint, alert)
        out = [self._resolved_row(other, offset, self._now_ms) for _, _, other in evicted]
        return [*out, as_row(alert, rule, "firing", self._now_ms, self.partition, offset)]

    def _resolve_times(self, rule: Rule) -> tuple[int, int]:
        """Return the event time of the scope, and the broker time, at which an alert resolves without new evidence."""
        width_ms = rule.window_s * 1000
        idle_resolve_at_ms = self._broker_ms and self._broker_ms + width_ms
        if idle_resolve_at_ms:
            self._next_idle_check_ms = min(self._next_idle_check_ms, idle_resolve_at_ms)
        return self._now_ms + width_ms, idle_resolve_at_ms

    def _resolve_due(self, scope: Scope, offset: int) -> list[Row]:
        out: list[Row] = []
        if self._broker_ms >= self._next_idle_check_ms:
            # The resolve time is the alert's own: it must not depend on the records of other scopes.
            idle = [a for a in self._firing.values() if 0 < a.idle_resolve_at_ms <= self._broker_ms]
            out += [self._resolve(alert, offset, alert.resolve_at_ms) for alert in idle]
            pending = (a.idle_resolve_at_ms for a in self._firing.values() if a.idle_resolve_at_ms)
            self._next_idle_check_ms = min(pending, default=math.inf)
        if (in_scope := self._firing_by_scope.get(scope)) is not None:
            due = [alert for alert in in_scope.values() if alert.resolve_at_ms <= self._now_ms]
            out += [self._resolve(alert, offset, self._now_ms) for alert in due]
        return out

    @property
    def evicted(self) -> int:
        """Number of windows evicted to make room."""
        return self._windows.evicted

    @property
    def overflow(self) -> int:
        """Number of alerts resolved to make room."""
        return self._firing.evicted

    def _resolve(self, alert: FiringAlert, offset: int, time_ms: int) -> Row:
        self._firing.pop(alert.scope[0], alert.fingerprint)
        return self._resolved_row(alert, offset, time_ms)

    def _resolved_row(self, alert: FiringAlert, offset: int, time_ms: int) -> Row:
        """Remove an alert from the indexes, start its cool-down and return its resolved row."""
        self._firing_by_window.pop(_key(alert), None)
        for index in (self._elevated_rates, self._firing_by_scope):
            _remove(index, alert.scope, alert.fingerprint)
        rule = self.rules[alert.rule]
        self._cooldown_until.put(alert.scope[0], alert.fingerprint, time_ms + rule.cooldown_s * 1000)
        return as_row(alert, rule, "resolved", time_ms, self.partition, offset)

    def _index(self, alert: FiringAlert) -> None:
        """Add an alert to the indexes by scope, by window and by risen rate."""
        self._firing_by_scope.setdefault(alert.scope, {})[alert.fingerprint] = alert
        if self.rules[alert.rule].type in _WINDOWED:
            self._firing_by_window[_key(alert)] = alert
        if alert.idle_resolve_at_ms:
            self._next_idle_check_ms = min(self._next_idle_check_ms, alert.idle_resolve_at_ms)
        level = alert.details
        if alert.signal.endswith(RATE) and level.get("after", 0.0) > level.get("before", 0.0):
            self._elevated_rates.setdefault(alert.scope, {})[alert.fingerprint] = alert

    def _window(self, rule: Rule, key: Key) -> SlidingWindow:
        window = self._windows.get(key[1], key)
        if window is None:
            window, tenant = _new_window(rule), intern(key[1])
            self._windows.put(tenant, (rule.name, tenant, intern(key[2])), window)
        return window

    def state(self) -> State:
        """Return the complete state, in the order of `TenantLru.items`."""
        return {
            "windows": [[*key, window.state()] for _, key, window in self._windows.items()],
            "window_tenants": self._windows.tenants(),
            # Copies, because firing alerts continue to collect evidence.
            "active": [_copied([getattr(a, name) for name in _FIELDS]) for a in self._firing.values()],
            "active_tenants": self._firing.tenants(),
            "quiet": [[fingerprint, until] for _, fingerprint, until in self._cooldown_until.items()],
            "quiet_tenants": self._cooldown_until.tenants(),
            "overflow": self.overflow,
        }

    def restore(self, state: State) -> None:
        """Load a state; the parts that belong to removed rules are skipped."""
        try:
            self._restore(restrict_to_rules(state, self.rules))
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise StateError(f"alerts: {error!r}; the alerts start cold", part="alerts") from error

    @strict_restore
    def _restore(self, state: Mapping[str, Any]) -> None:
        windows: list[SlidingWindow] = []
        for name, _, _, steps in state["windows"]:
            windows.append(window := _new_window(self.rules[name]))
            window.restore(steps)
        keys = [expect_texts(key, 3) for *key, _ in state["windows"]]
        self._windows.restore(state["window_tenants"], ((rule, tenant, app) for rule, tenant, app in keys), windows)
        active = [from_row(_copied(row)) for row in state["active"]]
        self._firing.restore(state["active_tenants"], (a.fingerprint for a in active), active)
        self._firing.evicted = int(state["overflow"])
        fingerprints = expect_texts(fingerprint for fingerprint, _ in state["quiet"])
        self._cooldown_until.restore(state["quiet_tenants"], fingerprints, (int(until) for _, until in state["quiet"]))
        self._firing_by_window, self._elevated_rates, self._firing_by_scope, self._next_idle_check_ms = (
            {},
            {},
            {},
            math.inf,
        )
        for alert in active:
            self._index(alert)


def restrict_to_rules(state: Mapping[str, Any], names: Container[str]) -> dict[str, Any]:
    """Return the part of an `AlertEngine`'s state that belongs to the named rules."""
    windows, active = ([row for row in state[part] if row[0] in names] for part in ("windows", "active"))
    kept: dict[str, Any] = {**state, "windows": windows, "active": active}
    segment = _FIELDS.index("segment")
    of_windows, of_active = (
        Counter(row[1] for row in windows),
        Counter(row[segment].get("tenant", "") for row in active),
    )
    for part, counted in (("window_tenants", of_windows), ("active_tenants", of_active)):
        kept[part] = [[tenant, counted[tenant], *more] for tenant, _, *more in state[part] if counted[tenant]]
    return kept


def _copied(row: list[Any]) -> list[Any]:
    return [list(v) if isinstance(v, list) else dict(v) if isinstance(v, dict) else v for v in row]


def _key(alert: FiringAlert) -> Key:
    return alert.rule, *alert.scope


def _remove(index: dict[Scope, dict[str, Any]], scope: Scope, fingerprint: str) -> None:
    """Remove a fingerprint from an index, and remove its scope if the scope is then empty."""
    in_scope = index.get(scope, {})
    in_scope.pop(fingerprint, None)
    if not in_scope:
        index.pop(scope, None)


def _applies(rule: Rule, app: str | None) -> bool:
    # Called for every event and rule: two comparisons are faster than a set.
    return rule.app == "*" or rule.app == app  # noqa: PLR1714


def watches(rule: Rule, signal: str) -> bool:
    """Return True if a rule of type change applies to a signal."""
    return fnmatchcase(signal, rule.metric) and not any(fnmatchcase(signal, other) for other in rule.exclude)


def _crosses_threshold(rule: Rule, change: ChangePoint) -> bool:
    return change.score > rule.threshold and (rule.below is None or change.after < rule.below)


def _levels(rule: Rule) -> tuple[float, float]:
    """Return the levels at which a rule fires and resolves."""
    return rule.threshold, 0.8 * rule.threshold if rule.resolve_threshold is None else rule.resolve_threshold


def _new_window(rule: Rule) -> SlidingWindow:
    is_quantile = rule.type == "quantile"
    fire, resolve = _levels(rule) if is_quantile else (0.0, 0.0)
    return SlidingWindow(rule.window_s * 1000, fire, resolve, histogram=is_quantile)


def _exceeds(rule: Rule, n: int, hits: int, *, resolving: bool = False) -> bool:
    if rule.type == "quantile":
        return hits > (1 - (rule.q or 0)) * n
    level = _levels(rule)[resolving]
    return (hits if rule.type == "count" else hits / max(n, 1)) > level


def _level_of(rule: Rule, window: SlidingWindow) -> float:
    if rule.type == "quantile":
        return window.quantile(rule.q or 0)
    return float(window.above_fire) if rule.type == "count" else window.above_fire / window.n
