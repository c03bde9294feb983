"""Halves and parts of one call, joined by tenant, app and call id, in bounded memory.

A call comes whole, or as a request and a response half, or in OpenTelemetry's parts: its span, its messages and its
choices, each from a topic and at a time of its own. It is whole when its span and its choices are there; messages are
written before the call begins, so they have come by then or were not recorded.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Any, NamedTuple, TypeAlias

from agents.base import State, milliseconds
from agents.watermark import Scope, Stamp, Watermarks, stamp
from schemas.errors import StateError
from schemas.event import LLMEvent, merged_issues

Key: TypeAlias = "tuple[str, str, str]"
_LATER = ("choices", "usage", "cost_usd", "ttft_ms", "error", "response_model", "system_fingerprint")
_REMEMBERED = 4096
_OVERHEAD_BYTES = 1000
_WHOLE = frozenset({"span", "choices"})
_DAY_MS = 86_400_000


class Held(NamedTuple):
    """A half that waits.

    Attributes
    ----------
    deadline, silent_at
        Event time of its scope, and time of the broker, at which it is given up; the latter 0 where it is not known.
    size
        Bytes, about.
    """

    event: LLMEvent
    deadline: int
    silent_at: int
    size: int


@dataclass(slots=True)
class JoinCounts:
    """What became of halves."""

    joined: int = 0
    orphans: int = 0
    late: int = 0
    duplicates: int = 0


class Joiner:
    """Gives out whole calls: as they come, when their second half comes, or alone when it did not come in time.

    Time is event time of the half's scope (`agents.watermark.Watermarks`), so that replay gives up the same halves as
    the live run did; where the scope falls silent it is the broker's time, which records of other scopes bring.

    Parameters
    ----------
    pending_max
        Most halves waiting; beyond it the oldest is given up.
    timeout_ms
        Event time a half waits for the other.
    pending_bytes
        Most bytes of text waiting, about.

    Examples
    --------
    >>> base = dict(call_id="c", time="2026-01-01T00:00:00Z", tenant="t", app="a")
    >>> joiner = Joiner(10, 60_000)
    >>> joiner.add(LLMEvent(kind="request", event_id="e1", messages=[{"role": "user", "content": "hi"}], **base))
    []
    >>> (call,) = joiner.add(LLMEvent(kind="response", event_id="e2", choices=[{"content": "ho"}], **base))
    >>> call.kind, call.event_id, call.text("user"), call.text("response")
    ('call', 'c', 'hi', 'ho')
    """

    def __init__(self, pending_max: int, timeout_ms: int, pending_bytes: int = 64 << 20) -> None:
        self.pending_max = pending_max
        self.timeout_ms = timeout_ms
        self.pending_bytes = pending_bytes
        self.counts = JoinCounts()
        self._waiting: OrderedDict[Key, Held] = OrderedDict()
        # Of each scope, those that wait in the order in which they came; of all, when the broker's time gives them up.
        self._queues: dict[Scope, dict[Key, None]] = {}
        self._silent: list[tuple[int, Key]] = []
        self._bytes = 0
        self._given_up: OrderedDict[Key, None] = OrderedDict()
        self._done: OrderedDict[Key, None] = OrderedDict()
        self._times = Watermarks()

    @property
    def pending(self) -> int:
        """Halves waiting now."""
        return len(self._waiting)

    def add(self, event: LLMEvent, when: Stamp | None = None) -> list[LLMEvent]:
        """Take an event and its time; return the calls that can now be judged, the given-up ones first."""
        when = when or stamp(milliseconds(event), 0, 0)
        scope = (event.tenant, event.app)
        now = self._times.advance(scope, when.reach) or when.at
        out = self._expired(scope, now, when.broker) if self._waiting else []
        if event.kind == "call":
            out.append(event)
        else:
            due = (now + self.timeout_ms, when.broker and when.broker + self.timeout_ms)
            out += self._part(event, due) if event.kind == "part" else self._half(event, due)
            out += self._beyond_bounds()
        return out

    def _part(self, event: LLMEvent, due: tuple[int, int]) -> list[LLMEvent]:
        key = (event.tenant, event.app, event.call_id)
        if key in self._done:
            # Content that came on the span and once more in the logs.
            self.counts.duplicates += 1
            return []
        if key in self._given_up:
            self.counts.late += 1
            return [event]
        held = self._waiting.get(key)
        if held is not None and held.event.kind != "part":
            self.counts.duplicates += 1
            return []
        whole = event if held is None else with_part(held.event, event)
        if not _WHOLE.issubset(whole.parts):
            self._wait(key, whole, due)
            return []
        if held is not None:
            self._forget(key)
            self.counts.joined += 1
        self._remember(self._done, key)
        return [whole.model_copy(update={"kind": "call", "parts": ()})]

    def _wait(self, key: Key, event: LLMEvent, due: tuple[int, int]) -> None:
        """Hold an event; one already held keeps its place and its deadlines."""
        held, size = self._waiting.get(key), _size(event)
        if held is not None:
            self._bytes += size - held.size
            self._waiting[key] = held._replace(event=event, size=size)
            return
        self._bytes += size
        self._waiting[key] = Held(event, *due, size)
        self._queue(key)

    def _queue(self, key: Key) -> None:
        self._queues.setdefault(key[:2], {})[key] = None
        if silent_at := self._waiting[key].silent_at:
            heappush(self._silent, (silent_at, key))
            if len(self._silent) > 2 * len(self._waiting) + _REMEMBERED:
                self._silent = [(held.silent_at, k) for k, held in self._waiting.items() if held.silent_at]
                heapify(self._silent)

    @staticmethod
    def _remember(keys: OrderedDict[Key, None], key: Key) -> None:
        keys[key] = None
        if len(keys) > _REMEMBERED:
            keys.popitem(last=False)

    def _half(self, event: LLMEvent, due: tuple[int, int]) -> list[LLMEvent]:
        key = (event.tenant, event.app, event.call_id)
        if key in self._given_up:
            self.counts.late += 1
            return [event]
        held = self._waiting.get(key)
        if held is None:
            self._wait(key, event, due)
            return []
        other = held.event
        if other.kind in {event.kind, "part"}:
            self.counts.duplicates += 1
            return []
        self._forget(key)
        self.counts.joined += 1
        return [merge(other, event) if other.kind == "request" else merge(event, other)]

    def _expired(self, scope: Scope, now: int, broker: int) -> list[LLMEvent]:
        out = []
        while self._silent and self._silent[0][0] <= broker:
            silent_at, key = heappop(self._silent)
            held = self._waiting.get(key)
            if held is not None and held.silent_at == silent_at:
                out.append(self._give_up(key))
        while queue := self._queues.get(scope):
            key = next(iter(queue))
            if self._waiting[key].deadline > now:
                break
            out.append(self._give_up(key))
        return out

    def _beyond_bounds(self) -> list[LLMEvent]:
        out = []
        while len(self._waiting) > self.pending_max or (self._bytes > self.pending_bytes and len(self._waiting) > 1):
            out.append(self._give_up(next(iter(self._waiting))))
        return out

    def _give_up(self, key: Key) -> LLMEvent:
        event = self._forget(key)
        self.counts.orphans += 1
        self._remember(self._given_up, key)
        return event

    def _forget(self, key: Key) -> LLMEvent:
        held = self._waiting.pop(key)
        queue = self._queues[key[:2]]
        del queue[key]
        if not queue:
            del self._queues[key[:2]]
        self._bytes -= held.size
        return held.event

    def state(self) -> State:
        """Everything needed to continue."""
        c = self.counts
        waiting = self._waiting.values()
        return {
            "waiting": [[h.event.model_dump_json(exclude_unset=True), h.deadline, h.silent_at] for h in waiting],
            "given_up": [list(key) for key in self._given_up],
            "done": [list(key) for key in self._done],
            "times": self._times.state(),
            "counts": [c.joined, c.orphans, c.late, c.duplicates],
        }

    def restore(self, state: State) -> None:
        """Continue from a state."""
        waiting: OrderedDict[Key, Held] = OrderedDict()
        values: Any = state
        times = Watermarks()
        try:
            for raw, deadline, silent_at in values["waiting"]:
                event = LLMEvent.model_validate_json(raw)
                held = Held(event, int(deadline), int(silent_at), _size(event))
                waiting[event.tenant, event.app, event.call_id] = held
            given_up = OrderedDict(((a, b, c), None) for a, b, c in values["given_up"])
            done = OrderedDict(((a, b, c), None) for a, b, c in values["done"])
            counts = JoinCounts(*values["counts"])
            times.restore(values["times"])
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"join: {error}; it starts cold") from error
        self._waiting, self._given_up, self._done = waiting, given_up, done
        self.counts, self._times = counts, times
        self._bytes = sum(held.size for held in waiting.values())
        self._queues, self._silent = {}, []
        for key in waiting:
            self._queue(key)


def merge(request: LLMEvent, response: LLMEvent) -> LLMEvent:
    """Return the whole call of two halves; what only one half has is kept, what both have is the request's.

    Its event id is the call's id: neither half's id names the whole.
    """
    fields = _overlaid(request, response)
    fields |= {name: getattr(response, name) for name in _LATER if name in response.model_fields_set}
    fields |= {"kind": "call", "event_id": request.call_id}
    latency = response.latency_ms
    if latency is None:
        latency = max(0.0, (response.time - request.time).total_seconds() * 1000)
    # A day is the most that the contract allows: beyond it, one of the halves has the time of a wrong clock.
    return LLMEvent.model_construct(**fields | {"latency_ms": latency if latency <= _DAY_MS else None})


def with_part(held: LLMEvent, part: LLMEvent) -> LLMEvent:
    """Return one part with another added: what the span says goes before, but messages and answers are the logs'.

    A span whose answer was not recorded still says why it ended, as a choice without text; the log's has both.
    """
    first, second = (held, part) if "span" in held.parts else (part, held)
    fields = _overlaid(first, second)
    for name in ("messages", "choices"):
        if name not in first.parts and (said := getattr(second, name)):
            fields[name] = said
    if held.guardrails or part.guardrails:
        fields["guardrails"] = (held.guardrails + part.guardrails)[:64]
    parts = tuple(name for name in ("span", "messages", "choices") if name in {*held.parts, *part.parts})
    return LLMEvent.model_construct(**fields | {"kind": "part", "parts": parts})


def _overlaid(first: LLMEvent, second: LLMEvent) -> dict[str, Any]:
    """Return the fields that either has, unknown ones too; where both have one it is the first's, or both merged."""
    fields: dict[str, Any] = {name: getattr(second, name) for name in second.model_fields_set}
    fields |= {name: getattr(first, name) for name in first.model_fields_set}
    fields |= {**(second.model_extra or {}), **(first.model_extra or {})}
    if issues := merged_issues(first.input_issues, second.input_issues):
        fields["input_issues"] = issues
    for name in ("parameters", "groups", "labels"):
        if both := {**getattr(second, name), **getattr(first, name)}:
            fields[name] = both
    return fields


def _size(event: LLMEvent) -> int:
    texts = [m.content for m in event.messages] + [d.text for d in event.documents] + [c.content for c in event.choices]
    return _OVERHEAD_BYTES + sum(map(len, texts))
