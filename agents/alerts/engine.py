"""Rules against the stream, event by event, on the event time of each scope: the same alerts live and in replay."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from fnmatch import fnmatchcase
from sys import intern
from typing import Any, TypeAlias

import numpy as np

from agents.alerts.active import Active, alert_id, as_row, fingerprint
from agents.alerts.metrics import Column, check_metric, column
from agents.alerts.summary import RATE, details, of_change, of_value
from agents.alerts.window import SlidingWindow
from agents.base import Change, Chunk, State
from agents.watermark import Scope
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
        Most windows (rule, tenant, app) kept; the least recently used is forgotten.
    """

    def __init__(self, rules: RuleSet, partition: int, windows_max: int = 20_000) -> None:
        self.rules = {rule.name: rule for rule in rules.rules}
        for rule in rules.rules:
            if rule.over != "change":
                check_metric(rule.name, rule.metric)
        self._events = [r for r in rules.rules if r.over == "event"]
        self._windowed = [r for r in rules.rules if r.over in _WINDOWED]
        self._changes = [r for r in rules.rules if r.over == "change"]
        self.partition = partition
        self.windows_max = windows_max
        self._windows: OrderedDict[Key, SlidingWindow] = OrderedDict()
        self._active: dict[str, Active] = {}
        # Fingerprint by window, so that an event need not hash its own to learn that nothing fires there.
        self._firing: dict[Key, str] = {}
        # Risen rates that fire, by tenant and app: the events flagged meanwhile are their evidence.
        self._risen: dict[Scope, dict[str, Active]] = {}
        # Fingerprints of what fires, by tenant and app, so that an event looks at those of its own scope only.
        self._of_scope: dict[Scope, dict[str, None]] = {}
        self._quiet_until: OrderedDict[str, int] = OrderedDict()
        # Event time of the scope of the event at hand, and the broker's time of its record.
        self._now = self._broker = 0
        # The earliest time of the broker at which an alert of a silent scope may be due.
        self._silent_at = math.inf

    def process(self, chunk: Chunk, signals: Mapping[str, Sequence[Any]], changes: Sequence[Change]) -> list[Row]:
        """Take a chunk; return the changes of state it caused, in event order."""
        columns = {r.name: column(r.metric, chunk, signals) for r in [*self._events, *self._windowed]}
        hits = self._hits(columns)
        windowed = [(r, columns[r.name]) for r in self._windowed]
        by_index: dict[int, list[Change]] = {}
        for change in changes:
            by_index.setdefault(change.index, []).append(change)
        out: list[Row] = []
        for i, (at, mark, broker) in enumerate(zip(*map(np.ndarray.tolist, chunk.timing), strict=True)):
            self._now, self._broker = mark or at, broker
            if self._active:
                out += self._resolve_due(chunk.places[i], int(chunk.offsets[i]))
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
                if value is not None and value > rule.above:
                    hits.setdefault(i, []).append((rule, value))
        return hits

    def _in_event(self, rule: Rule, chunk: Chunk, i: int, value: float) -> list[Row]:
        event = chunk.events[i]
        if not _applies(rule, event.app):
            return []
        segment = {"tenant": event.tenant, "app": event.app}
        text = of_value(rule, segment, value, 1)
        return self._fire(rule, rule.metric, segment, chunk, i, value=value, summary=text, evidence=[event.event_id])

    def _in_window(self, rule: Rule, chunk: Chunk, i: int, at: int, value: float) -> list[Row]:
        event = chunk.events[i]
        if not _applies(rule, event.app):
            return []
        key = (rule.name, event.tenant, event.app)
        window = self._window(rule, key)
        window.add(at, value)
        if (mark := self._firing.get(key)) is not None:
            return self._while_firing(rule, chunk, i, window, mark)
        if window.n < rule.min_events or not _over(rule, window.n, window.hits_above):
            return []
        segment = {"tenant": event.tenant, "app": event.app}
        measured = _measure(rule, window)
        text = of_value(rule, segment, measured, window.n)
        return self._fire(rule, rule.metric, segment, chunk, i, value=measured, summary=text, evidence=[event.event_id])

    def _while_firing(self, rule: Rule, chunk: Chunk, i: int, window: SlidingWindow, mark: str) -> list[Row]:
        active = self._active[mark]
        hits = window.hits_below if rule.over == "quantile" else window.hits_above
        if _over(rule, window.n, hits, resolving=True):
            active.keep(*self._due_of(rule), [chunk.events[i].event_id])
            return []
        return [self._resolve(mark, int(chunk.offsets[i]), self._now)]

    def _in_change(self, chunk: Chunk, change: Change) -> list[Row]:
        out: list[Row] = []
        for rule in self._changes:
            in_app = _applies(rule, change.segment.get("app"))
            if fnmatchcase(change.signal, rule.metric) and in_app and _passes(rule, change):
                out += self._fire(
                    rule,
                    change.signal,
                    dict(change.segment),
                    chunk,
                    change.index,
                    value=change.after,
                    summary=of_change(change),
                    evidence=change.event_ids,
                    since=change.since_time_ms,
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
        since: int | None = None,
        more: dict[str, Any] | None = None,
        grows: bool = False,
    ) -> list[Row]:
        mark = fingerprint(rule.name, signal, segment, self.partition)
        due, silent_at = self._due_of(rule)
        if (active := self._active.get(mark)) is not None:
            active.keep(due, silent_at, evidence)
            if grows:
                active.value, active.summary, active.details = float(value), summary, more or {}
            return []
        if self._now < self._quiet_until.get(mark, 0):
            return []
        offset, event = int(chunk.offsets[i]), chunk.events[i]
        name = alert_id(mark, offset, event.event_id)
        active = Active(rule.name, mark, name, signal, segment, float(value), summary, self._now, due, silent_at, since)
        active.details = more or {}
        active.keep(due, silent_at, evidence)
        self._active[mark] = active
        self._watch(active)
        return [as_row(active, rule, "firing", self._now, self.partition, offset)]

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
            silent = [m for m, a in self._active.items() if 0 < a.silent_at <= self._broker]
            out += [self._resolve(m, offset, self._active[m].due) for m in silent]
            self._silent_at = min((a.silent_at for a in self._active.values() if a.silent_at), default=math.inf)
        if (marks := self._of_scope.get(scope)) is not None:
            due = [m for m in marks if self._active[m].due <= self._now]
            out += [self._resolve(m, offset, self._now) for m in due]
        return out

    def _resolve(self, mark: str, offset: int, at: int) -> Row:
        active = self._active.pop(mark)
        self._firing.pop(_key(active), None)
        for kept in (self._risen, self._of_scope):
            _drop(kept, active.scope, mark)
        rule = self.rules[active.rule]
        self._quiet_until[mark] = at + rule.cooldown_s * 1000
        if len(self._quiet_until) > self.windows_max:
            self._quiet_until.popitem(last=False)
        return as_row(active, rule, "resolved", at, self.partition, offset)

    def _watch(self, active: Active) -> None:
        self._of_scope.setdefault(active.scope, {})[active.fingerprint] = None
        if self.rules[active.rule].over in _WINDOWED:
            self._firing[_key(active)] = active.fingerprint
        if active.silent_at:
            self._silent_at = min(self._silent_at, active.silent_at)
        moved = active.details
        if active.signal.endswith(RATE) and moved.get("after", 0.0) > moved.get("before", 0.0):
            self._risen.setdefault(active.scope, {})[active.fingerprint] = active

    def _window(self, rule: Rule, key: Key) -> SlidingWindow:
        window = self._windows.get(key)
        if window is None:
            window = self._windows[rule.name, intern(key[1]), intern(key[2])] = _new_window(rule)
            if len(self._windows) > self.windows_max:
                self._windows.popitem(last=False)
        else:
            self._windows.move_to_end(key)
        return window

    def state(self) -> State:
        """Everything needed to continue."""
        return {
            "windows": [[*key, w.state()] for key, w in self._windows.items()],
            # Copies: an alert that fires goes on collecting evidence.
            "active": [_copied([getattr(a, name) for name in _FIELDS]) for a in self._active.values()],
            "quiet": list(self._quiet_until.items()),
        }

    def restore(self, state: State) -> None:
        """Continue from a state; what belongs to rules that are no more is left out."""
        values: Any = state
        try:
            windows: OrderedDict[Key, SlidingWindow] = OrderedDict()
            for name, tenant, app, steps in values["windows"]:
                if name in self.rules:
                    windows[name, tenant, app] = _new_window(self.rules[name])
                    windows[name, tenant, app].restore(steps)
            active = [Active(*_copied(row)) for row in values["active"]]
            quiet = OrderedDict((mark, int(until)) for mark, until in values["quiet"])
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"alerts: {error}; they start cold") from error
        self._windows, self._quiet_until = windows, quiet
        self._active = {a.fingerprint: a for a in active if a.rule in self.rules}
        self._firing, self._risen, self._of_scope, self._silent_at = {}, {}, {}, math.inf
        for alert in self._active.values():
            self._watch(alert)


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


def _passes(rule: Rule, change: Change) -> bool:
    return change.score > rule.above and (rule.below is None or change.after < rule.below)


def _levels(rule: Rule) -> tuple[float, float]:
    """Return the levels at which a rule fires and at which it resolves."""
    return rule.above, 0.8 * rule.above if rule.resolve_below is None else rule.resolve_below


def _new_window(rule: Rule) -> SlidingWindow:
    of_quantile = rule.over == "quantile"
    above, below = _levels(rule) if of_quantile else (0.0, 0.0)
    return SlidingWindow(rule.window_s * 1000, above, below, histogram=of_quantile)


def _over(rule: Rule, n: int, hits: int, *, resolving: bool = False) -> bool:
    if rule.over == "quantile":
        return hits > (1 - (rule.q or 0)) * n
    level = _levels(rule)[resolving]
    return (hits if rule.over == "count" else hits / max(n, 1)) > level


def _measure(rule: Rule, window: SlidingWindow) -> float:
    if rule.over == "quantile":
        return window.quantile(rule.q or 0)
    return float(window.hits_above) if rule.over == "count" else window.hits_above / window.n
