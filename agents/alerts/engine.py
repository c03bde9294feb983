"""Rules against the stream, event by event, on event time: the same alerts live and in replay."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from fnmatch import fnmatchcase
from sys import intern
from typing import Any, TypeAlias

from agents.alerts.active import Active, alert_id, as_row, fingerprint, from_row
from agents.alerts.metrics import Column, check_metric, column
from agents.alerts.summary import RATE, details, of_change, of_value
from agents.alerts.window import SlidingWindow
from agents.base import Change, Chunk, State
from agents.clock import StreamClock
from agents.fit import strict_restore, texts, within
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
        self._risen: dict[tuple[str, str], dict[str, Active]] = {}
        self._quiet_until: OrderedDict[str, int] = OrderedDict()
        self._clock = StreamClock()
        self._due = math.inf

    def process(self, chunk: Chunk, signals: Mapping[str, Sequence[Any]], changes: Sequence[Change]) -> list[Row]:
        """Take a chunk; return the changes of state it caused, in event order."""
        columns = {r.name: column(r.metric, chunk, signals) for r in [*self._events, *self._windowed]}
        hits = self._hits(columns)
        windowed = [(r, columns[r.name]) for r in self._windowed]
        by_index: dict[int, list[Change]] = {}
        for change in changes:
            by_index.setdefault(change.index, []).append(change)
        out: list[Row] = []
        for i, at in enumerate(chunk.times.tolist()):
            if self._clock.advance(at) >= self._due:
                out += self._resolve_due(int(chunk.offsets[i]))
            for rule, values in windowed:
                if (value := values[i]) is not None:
                    out += self._in_window(rule, chunk, i, at, value)
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
                active.keep(active.due, [event.event_id])

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
            active.keep(self._clock.now + rule.window_s * 1000, [chunk.events[i].event_id])
            return []
        return [self._resolve(mark, int(chunk.offsets[i]))]

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
        due = self._clock.now + rule.window_s * 1000
        if (active := self._active.get(mark)) is not None:
            active.keep(due, evidence)
            if grows:
                active.value, active.summary, active.details = float(value), summary, more or {}
            return []
        if self._clock.now < self._quiet_until.get(mark, 0):
            return []
        offset, event = int(chunk.offsets[i]), chunk.events[i]
        name = alert_id(mark, offset, event.event_id)
        active = Active(rule.name, mark, name, signal, segment, float(value), summary, self._clock.now, due, since)
        active.details = more or {}
        active.keep(due, evidence)
        self._active[mark] = active
        if rule.over in _WINDOWED:
            self._firing[_key(active)] = mark
        self._watch(active)
        self._due = min(self._due, due)
        return [as_row(active, rule, "firing", self._clock.now, self.partition, offset)]

    def _resolve_due(self, offset: int) -> list[Row]:
        out = [self._resolve(m, offset) for m, a in list(self._active.items()) if a.due <= self._clock.now]
        self._due = min((a.due for a in self._active.values()), default=math.inf)
        return out

    def _resolve(self, mark: str, offset: int) -> Row:
        active = self._active.pop(mark)
        self._firing.pop(_key(active), None)
        place = _key(active)[1:]
        risen = self._risen.get(place, {})
        risen.pop(mark, None)
        if not risen:
            self._risen.pop(place, None)
        rule = self.rules[active.rule]
        self._quiet_until[mark] = self._clock.now + rule.cooldown_s * 1000
        if len(self._quiet_until) > self.windows_max:
            self._quiet_until.popitem(last=False)
        return as_row(active, rule, "resolved", self._clock.now, self.partition, offset)

    def _watch(self, active: Active) -> None:
        moved = active.details
        if active.signal.endswith(RATE) and moved.get("after", 0.0) > moved.get("before", 0.0):
            self._risen.setdefault(_key(active)[1:], {})[active.fingerprint] = active

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
            "clock": self._clock.state(),
        }

    def restore(self, state: State) -> None:
        """Continue from a state; what belongs to rules that are no more is left out."""
        try:
            kept = {name: [row for row in state[name] if row[0] in self.rules] for name in ("windows", "active")}  # type: ignore[index,union-attr] # the except clause is for that
        except (KeyError, TypeError, IndexError) as error:
            raise StateError(f"alerts: {error!r}; they start cold") from error
        self._restore({**state, **kept})

    @strict_restore
    def _restore(self, state: Mapping[str, Any]) -> None:
        within(state["windows"], self.windows_max, "windows")
        within(state["quiet"], self.windows_max, "alerts that ended")
        windows: OrderedDict[Key, SlidingWindow] = OrderedDict()
        for *key, steps in state["windows"]:
            name, tenant, app = texts(key, 3)
            windows[name, tenant, app] = _new_window(self.rules[name])
            windows[name, tenant, app].restore(steps)
        active = [from_row(_copied(row)) for row in state["active"]]
        quiet = OrderedDict((mark, int(until)) for mark, until in state["quiet"])
        texts(quiet)
        self._clock.restore(state["clock"])
        self._windows, self._quiet_until = windows, quiet
        self._active = {a.fingerprint: a for a in active}
        windowed = [a for a in self._active.values() if self.rules[a.rule].over in _WINDOWED]
        self._firing = {_key(a): a.fingerprint for a in windowed}
        self._risen = {}
        for alert in self._active.values():
            self._watch(alert)
        self._due = min((a.due for a in self._active.values()), default=math.inf)


def _copied(row: list[Any]) -> list[Any]:
    return [list(v) if isinstance(v, list) else dict(v) if isinstance(v, dict) else v for v in row]


def _key(active: Active) -> Key:
    return active.rule, active.segment.get("tenant", ""), active.segment.get("app", "")


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
