"""Rules against the stream, event by event, on the event time of each scope: the same alerts live and in replay."""

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
from processing.alerting.firing import Active, alert_id, as_row, fingerprint, from_row
from processing.alerting.signal_values import Column, check_metric, column
from processing.alerting.sliding_window import SlidingWindow
from processing.alerting.summary import RATE, details, summarise_change, summarise_value
from schemas.errors import StateError
from schemas.event import LLMEvent
from schemas.rules import Rule, RuleSet

_WINDOWED = frozenset({"count", "rate", "quantile"})
_FIELDS = tuple(f.name for f in fields(Active))
Row: TypeAlias = "dict[str, Any]"
Key: TypeAlias = "tuple[str, str, str]"
"""Rule, tenant and app of a window."""


class AlertEngine:
    """All rules over one partition.

    Parameters
    ----------
    rules
        What to look for.
    partition
        Part of each alert's identity.
    windows_max
        Most windows (rule, tenant, app) kept, with a fair share for each tenant; the least recently used are forgotten.
    active_max
        Most alerts that fire, shared likewise; those that go on least recently are resolved for others.

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
        # By fingerprint.
        self._active = TenantLru[str, Active](active_max)
        # By window, so that an event need not hash its fingerprint to learn that nothing fires there.
        self._firing: dict[Key, Active] = {}
        # Risen rates that fire, by tenant and app: the events flagged meanwhile are their evidence.
        self._risen: dict[Scope, dict[str, Active]] = {}
        # What fires, by tenant and app, so that an event looks at the alerts of its own scope only.
        self._of_scope: dict[Scope, dict[str, Active]] = {}
        self._quiet_until = TenantLru[str, int](windows_max)
        # Event time of the scope of the event at hand, and the broker's time of its record.
        self._now = self._broker = 0
        # The earliest time of the broker at which an alert of a silent scope may be due.
        self._silent_at = math.inf

    def process(self, chunk: Chunk, signals: Mapping[str, Sequence[Any]], changes: Sequence[ChangePoint]) -> list[Row]:
        """Take a chunk; return the changes of state it caused, in event order."""
        columns = {r.name: column(r.metric, chunk, signals) for r in [*self._events, *self._windowed]}
        hits = self._hits(columns)
        windowed = [(r, columns[r.name]) for r in self._windowed]
        by_index: dict[int, list[ChangePoint]] = {}
        for change in changes:
            by_index.setdefault(change.index, []).append(change)
        out: list[Row] = []
        for i, (at, mark, broker) in enumerate(zip(*map(np.ndarray.tolist, chunk.timing), strict=True)):
            self._now, self._broker = mark or at, broker
            if self._active and (broker >= self._silent_at or chunk.scopes[i] in self._of_scope):
                out += self._resolve_due(chunk.scopes[i], int(chunk.offsets[i]))
            for rule, values in windowed:
                if (value := values[i]) is not None:
                    # What is ahead of its scope must not push the others out of the window.
                    out += self._in_window(rule, chunk, i, min(at, mark), value)
            for rule, value in hits.get(i, ()):
                out += self._in_event(rule, chunk, i, value)
            for change in by_index.get(i, ()):
                out += self._in_change(chunk, change)
            if self._risen:
                self._collect(chunk.events[i], i, signals)
        return out

    def _collect(self, event: LLMEvent, i: int, signals: Mapping[str, Sequence[Any]]) -> None:
        for active in self._risen.get((event.tenant, event.app), {}).values():
            said = signals.get(active.signal.removesuffix(RATE))
            if said is not None and getattr(said[i], "flag", False):
                active.keep(active.due, active.silent_at, [event.event_id])

    def _hits(self, columns: Mapping[str, Column]) -> dict[int, list[tuple[Rule, float]]]:
        hits: dict[int, list[tuple[Rule, float]]] = {}
        for rule in self._events:
            for i, value in enumerate(columns[rule.name]):
                if value is not None and value > rule.threshold:
                    hits.setdefault(i, []).append((rule, value))
        return hits

    def _in_event(self, rule: Rule, chunk: Chunk, i: int, value: float) -> list[Row]:
        event = chunk.events[i]
        if not _applies(rule, event.app):
            return []
        segment = {"tenant": event.tenant, "app": event.app}
        text = summarise_value(rule, segment, value, 1)
        return self._fire(rule, rule.metric, segment, chunk, i, value=value, summary=text, evidence=[event.event_id])

    def _in_window(self, rule: Rule, chunk: Chunk, i: int, at: int, value: float) -> list[Row]:
        event = chunk.events[i]
        if not _applies(rule, event.app):
            return []
        key = (rule.name, event.tenant, event.app)
        window = self._window(rule, key)
        window.add(at, value)
        if (active := self._firing.get(key)) is not None:
            return self._while_firing(rule, chunk, i, window, active)
        if window.n < rule.min_events or not _over(rule, window.n, window.hits_above):
            return []
        segment = {"tenant": event.tenant, "app": event.app}
        measured = _measure(rule, window)
        text = summarise_value(rule, segment, measured, window.n)
        return self._fire(rule, rule.metric, segment, chunk, i, value=measured, summary=text, evidence=[event.event_id])

    def _while_firing(self, rule: Rule, chunk: Chunk, i: int, window: SlidingWindow, active: Active) -> list[Row]:
        hits = window.hits_below if rule.type == "quantile" else window.hits_above
        if _over(rule, window.n, hits, resolving=True):
            self._active.get(active.scope[0], active.fingerprint)
            active.keep(*self._due_of(rule), [chunk.events[i].event_id])
            return []
        return [self._resolve(active, int(chunk.offsets[i]), self._now)]

    def _in_change(self, chunk: Chunk, change: ChangePoint) -> list[Row]:
        out: list[Row] = []
        for rule in self._changes:
            in_app = _applies(rule, change.segment.get("app"))
            if in_app and watches(rule, change.signal) and _passes(rule, change):
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
                    more=details(change),
                    grows=bool(change.facts),
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
        more: dict[str, Any] | None = None,
        grows: bool = False,
    ) -> list[Row]:
        mark = fingerprint(rule.name, signal, segment, self.partition)
        due, silent_at = self._due_of(rule)
        tenant = segment.get("tenant", "")
        if (active := self._active.get(tenant, mark)) is not None:
            active.keep(due, silent_at, evidence)
            if grows:
                active.value, active.summary, active.details = float(value), summary, more or {}
            return []
        if self._now < (self._quiet_until.peek(tenant, mark) or 0):
            return []
        offset, event = int(chunk.offsets[i]), chunk.events[i]
        name = alert_id(mark, offset, event.event_id)
        active = Active(
            rule.name, mark, name, signal, segment, float(value), summary, self._now, due, silent_at, change_started_at
        )
        active.details = more or {}
        active.keep(due, silent_at, evidence)
        self._watch(active)
        gone = self._active.put(tenant, mark, active)
        out = [self._ended(other, offset, self._now) for _, _, other in gone]
        return [*out, as_row(active, rule, "firing", self._now, self.partition, offset)]

    def _due_of(self, rule: Rule) -> tuple[int, int]:
        """Return when an alert that is kept up by the event at hand resolves, by its scope's and the broker's time."""
        width = rule.window_s * 1000
        silent_at = self._broker and self._broker + width
        if silent_at:
            self._silent_at = min(self._silent_at, silent_at)
        return self._now + width, silent_at

    def _resolve_due(self, scope: Scope, offset: int) -> list[Row]:
        out: list[Row] = []
        if self._broker >= self._silent_at:
            # Its own time, not that of whichever record came next: other scopes must not show.
            silent = [a for a in self._active.values() if 0 < a.silent_at <= self._broker]
            out += [self._resolve(a, offset, a.due) for a in silent]
            self._silent_at = min((a.silent_at for a in self._active.values() if a.silent_at), default=math.inf)
        if (fires := self._of_scope.get(scope)) is not None:
            due = [a for a in fires.values() if a.due <= self._now]
            out += [self._resolve(a, offset, self._now) for a in due]
        return out

    @property
    def evicted(self) -> int:
        """Windows forgotten for others."""
        return self._windows.evicted

    @property
    def overflow(self) -> int:
        """Alerts resolved for others."""
        return self._active.evicted

    def _resolve(self, active: Active, offset: int, at: int) -> Row:
        self._active.pop(active.scope[0], active.fingerprint)
        return self._ended(active, offset, at)

    def _ended(self, active: Active, offset: int, at: int) -> Row:
        """Return the row of an alert that has just been taken out."""
        self._firing.pop(_key(active), None)
        for kept in (self._risen, self._of_scope):
            _drop(kept, active.scope, active.fingerprint)
        rule = self.rules[active.rule]
        self._quiet_until.put(active.scope[0], active.fingerprint, at + rule.cooldown_s * 1000)
        return as_row(active, rule, "resolved", at, self.partition, offset)

    def _watch(self, active: Active) -> None:
        self._of_scope.setdefault(active.scope, {})[active.fingerprint] = active
        if self.rules[active.rule].type in _WINDOWED:
            self._firing[_key(active)] = active
        if active.silent_at:
            self._silent_at = min(self._silent_at, active.silent_at)
        moved = active.details
        if active.signal.endswith(RATE) and moved.get("after", 0.0) > moved.get("before", 0.0):
            self._risen.setdefault(active.scope, {})[active.fingerprint] = active

    def _window(self, rule: Rule, key: Key) -> SlidingWindow:
        window = self._windows.get(key[1], key)
        if window is None:
            window, tenant = _new_window(rule), intern(key[1])
            self._windows.put(tenant, (rule.name, tenant, intern(key[2])), window)
        return window

    def state(self) -> State:
        """Return everything needed to continue, in the order of `TenantLru.items`."""
        return {
            "windows": [[*key, window.state()] for _, key, window in self._windows.items()],
            "window_tenants": self._windows.tenants(),
            # Copies: an alert that fires goes on collecting evidence.
            "active": [_copied([getattr(a, name) for name in _FIELDS]) for a in self._active.values()],
            "active_tenants": self._active.tenants(),
            "quiet": [[mark, until] for _, mark, until in self._quiet_until.items()],
            "quiet_tenants": self._quiet_until.tenants(),
            "overflow": self.overflow,
        }

    def restore(self, state: State) -> None:
        """Continue from a state; what belongs to rules that are no more is left out."""
        try:
            self._restore(restrict_to_rules(state, self.rules))
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise StateError(f"alerts: {error!r}; they start cold", part="alerts") from error

    @strict_restore
    def _restore(self, state: Mapping[str, Any]) -> None:
        windows: list[SlidingWindow] = []
        for name, _, _, steps in state["windows"]:
            windows.append(window := _new_window(self.rules[name]))
            window.restore(steps)
        keys = [expect_texts(key, 3) for *key, _ in state["windows"]]
        self._windows.restore(state["window_tenants"], ((rule, tenant, app) for rule, tenant, app in keys), windows)
        active = [from_row(_copied(row)) for row in state["active"]]
        self._active.restore(state["active_tenants"], (a.fingerprint for a in active), active)
        self._active.evicted = int(state["overflow"])
        marks = expect_texts(mark for mark, _ in state["quiet"])
        self._quiet_until.restore(state["quiet_tenants"], marks, (int(until) for _, until in state["quiet"]))
        self._firing, self._risen, self._of_scope, self._silent_at = {}, {}, {}, math.inf
        for alert in active:
            self._watch(alert)


def restrict_to_rules(state: Mapping[str, Any], names: Container[str]) -> dict[str, Any]:
    """Return of the state of an `AlertEngine` what belongs to these rules."""
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


def _key(active: Active) -> Key:
    return active.rule, *active.scope


def _drop(kept: dict[Scope, dict[str, Any]], scope: Scope, mark: str) -> None:
    """Leave out what stands under a fingerprint, and its scope where that was the last."""
    found = kept.get(scope, {})
    found.pop(mark, None)
    if not found:
        kept.pop(scope, None)


def _applies(rule: Rule, app: str | None) -> bool:
    own = rule.app
    return own == "*" or own == app  # noqa: PLR1714 -- of every event and rule: a set is slower than two comparisons


def watches(rule: Rule, signal: str) -> bool:
    """Return whether a rule of type change is about a signal."""
    return fnmatchcase(signal, rule.metric) and not any(fnmatchcase(signal, other) for other in rule.exclude)


def _passes(rule: Rule, change: ChangePoint) -> bool:
    return change.score > rule.threshold and (rule.below is None or change.after < rule.below)


def _levels(rule: Rule) -> tuple[float, float]:
    """Return the levels at which a rule fires and at which it resolves."""
    return rule.threshold, 0.8 * rule.threshold if rule.resolve_threshold is None else rule.resolve_threshold


def _new_window(rule: Rule) -> SlidingWindow:
    of_quantile = rule.type == "quantile"
    above, below = _levels(rule) if of_quantile else (0.0, 0.0)
    return SlidingWindow(rule.window_s * 1000, above, below, histogram=of_quantile)


def _over(rule: Rule, n: int, hits: int, *, resolving: bool = False) -> bool:
    if rule.type == "quantile":
        return hits > (1 - (rule.q or 0)) * n
    level = _levels(rule)[resolving]
    return (hits if rule.type == "count" else hits / max(n, 1)) > level


def _measure(rule: Rule, window: SlidingWindow) -> float:
    if rule.type == "quantile":
        return window.quantile(rule.q or 0)
    return float(window.hits_above) if rule.type == "count" else window.hits_above / window.n
