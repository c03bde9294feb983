"""Halves and parts of one call, joined by tenant, app and call id, in bounded memory.

A call comes whole, or as a request and a response half, or in OpenTelemetry's parts: its span, its messages and its
choices, each from a topic and at a time of its own. It is whole when its span and its choices are there; messages are
written before the call begins, so they have come by then or were not recorded.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, TypeAlias

from agents.base import State
from agents.clock import StreamClock
from agents.fit import counts, strict_restore, text, texts, within
from schemas.errors import StateError
from schemas.event import LLMEvent, merged_issues

Key: TypeAlias = "tuple[str, str, str]"
_LATER = ("choices", "usage", "cost_usd", "ttft_ms", "error", "response_model", "system_fingerprint")
_REMEMBERED = 4096
_OVERHEAD_BYTES = 1000
_WHOLE = frozenset({"span", "choices"})


@dataclass(slots=True)
class JoinCounts:
    """What became of halves."""

    joined: int = 0
    orphans: int = 0
    late: int = 0
    duplicates: int = 0


class Joiner:
    """Gives out whole calls: as they come, when their second half comes, or alone when it did not come in time.

    Time is event time (`agents.clock.StreamClock`), so that replay gives up the same halves as the live run did.

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
        self._waiting: OrderedDict[Key, tuple[LLMEvent, int, int]] = OrderedDict()
        self._bytes = 0
        self._given_up: OrderedDict[Key, None] = OrderedDict()
        self._done: OrderedDict[Key, None] = OrderedDict()
        self._clock = StreamClock()

    @property
    def pending(self) -> int:
        """Halves waiting now."""
        return len(self._waiting)

    def add(self, event: LLMEvent) -> list[LLMEvent]:
        """Take an event; return the calls that can now be judged, the given-up ones first."""
        self._clock.advance(_ms(event))
        out = self._expired()
        if event.kind == "call":
            out.append(event)
        else:
            out += self._part(event) if event.kind == "part" else self._half(event)
            out += self._beyond_bounds()
        return out

    def _part(self, event: LLMEvent) -> list[LLMEvent]:
        key = (event.tenant, event.app, event.call_id)
        if key in self._done:
            # Content that came on the span and once more in the logs.
            self.counts.duplicates += 1
            return []
        if key in self._given_up:
            self.counts.late += 1
            return [event]
        held = self._waiting.get(key)
        if held is not None and held[0].kind != "part":
            self.counts.duplicates += 1
            return []
        whole = event if held is None else with_part(held[0], event)
        if not _WHOLE.issubset(whole.parts):
            self._wait(key, whole, self._clock.now + self.timeout_ms if held is None else held[1])
            return []
        if held is not None:
            self._forget(key)
            self.counts.joined += 1
        self._remember(self._done, key)
        return [whole.model_copy(update={"kind": "call", "parts": ()})]

    def _wait(self, key: Key, event: LLMEvent, deadline: int) -> None:
        """Hold an event; one already held keeps its place in the order of deadlines."""
        size = _size(event)
        self._bytes += size - (self._waiting[key][2] if key in self._waiting else 0)
        self._waiting[key] = (event, deadline, size)

    @staticmethod
    def _remember(keys: OrderedDict[Key, None], key: Key) -> None:
        keys[key] = None
        if len(keys) > _REMEMBERED:
            keys.popitem(last=False)

    def _half(self, event: LLMEvent) -> list[LLMEvent]:
        key = (event.tenant, event.app, event.call_id)
        if key in self._given_up:
            self.counts.late += 1
            return [event]
        held = self._waiting.get(key)
        if held is None:
            self._wait(key, event, self._clock.now + self.timeout_ms)
            return []
        other = held[0]
        if other.kind in {event.kind, "part"}:
            self.counts.duplicates += 1
            return []
        self._forget(key)
        self.counts.joined += 1
        return [merge(other, event) if other.kind == "request" else merge(event, other)]

    def _expired(self) -> list[LLMEvent]:
        out = []
        while self._waiting:
            key, (_, deadline, _) = next(iter(self._waiting.items()))
            if deadline > self._clock.now:
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
        event, _, size = self._waiting.pop(key)
        self._bytes -= size
        return event

    def state(self) -> State:
        """Everything needed to continue."""
        c = self.counts
        waiting = [[e.model_dump_json(exclude_unset=True), deadline] for e, deadline, _ in self._waiting.values()]
        return {
            "waiting": waiting,
            "given_up": [list(key) for key in self._given_up],
            "done": [list(key) for key in self._done],
            "clock": self._clock.state(),
            "counts": [c.joined, c.orphans, c.late, c.duplicates],
        }

    @strict_restore
    def restore(self, state: State) -> None:
        """Continue from a state."""
        waiting: OrderedDict[Key, tuple[LLMEvent, int, int]] = OrderedDict()
        values: Any = state
        try:
            within(values["waiting"], self.pending_max, "halves")
            for name in ("given_up", "done"):
                within(values[name], _REMEMBERED, "calls")
            for raw, deadline in values["waiting"]:
                event = LLMEvent.model_validate_json(text(raw))
                counts(deadline)
                waiting[event.tenant, event.app, event.call_id] = (event, deadline, _size(event))
            given_up, done = (OrderedDict((_key(k), None) for k in values[name]) for name in ("given_up", "done"))
            counts(*values["counts"])
            of_halves = JoinCounts(*values["counts"])
            self._clock.restore(values["clock"])
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"join: {error}; it starts cold") from error
        self._waiting, self._given_up, self._done = waiting, given_up, done
        self.counts = of_halves
        self._bytes = sum(size for _, _, size in waiting.values())


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
    return LLMEvent.model_construct(**fields | {"latency_ms": latency})


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


def _key(value: Any) -> Key:
    tenant, app, call = texts(value, 3)
    return tenant, app, call


def _ms(event: LLMEvent) -> int:
    return int(event.time.timestamp() * 1000)


def _size(event: LLMEvent) -> int:
    texts = [m.content for m in event.messages] + [d.text for d in event.documents] + [c.content for c in event.choices]
    return _OVERHEAD_BYTES + sum(map(len, texts))
