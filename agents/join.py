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
from agents.tenant_map import TenantLru
from schemas.errors import StateError
from schemas.event import LLMEvent, merged_issues

Key: TypeAlias = "tuple[str, str, str]"
_LATER = ("choices", "usage", "cost_usd", "ttft_ms", "error", "response_model", "system_fingerprint")
_REMEMBERED = 4096
_OVERHEAD_BYTES, _OBJECT_BYTES, _VALUE_BYTES = 1000, 600, 100
"""Memory, about, of an event without content, of each message and the like in it, of each value in what is free."""
_UNITS = 16
"""Least weight of a half, in units of which there are `_UNITS * pending_max`: so weights bound number and bytes."""
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
        Most halves waiting. Beyond it the oldest of the tenants that have most are given up (`TenantLru`).
    timeout_ms
        Event time a half waits for the other.
    pending_bytes
        Most bytes waiting, of records and of what they take in memory.

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
        self._room = TenantLru[Key, int](_UNITS * pending_max, weigh=int)
        self._given_up = TenantLru[Key, bool](_REMEMBERED)
        self._done = TenantLru[Key, bool](_REMEMBERED)
        self._clock = StreamClock()

    @property
    def pending(self) -> int:
        """Halves waiting now."""
        return len(self._waiting)

    def add(self, event: LLMEvent, size: int | None = None) -> list[LLMEvent]:
        """Take an event; return the calls that can now be scored, the given-up ones first.

        Parameters
        ----------
        size
            Bytes of its record; measured where not given.
        """
        self._clock.advance(_ms(event))
        out = self._expired()
        if event.kind == "call":
            out.append(event)
        else:
            out += (self._part if event.kind == "part" else self._half)(event, _memory(event, size))
        return out

    def _part(self, event: LLMEvent, size: int) -> list[LLMEvent]:
        key = (event.tenant, event.app, event.call_id)
        if self._done.peek(event.tenant, key):
            # Content that came on the span and once more in the logs.
            self.counts.duplicates += 1
            return []
        if self._given_up.peek(event.tenant, key):
            self.counts.late += 1
            return [event]
        held = self._waiting.get(key)
        if held is not None and held[0].kind != "part":
            self.counts.duplicates += 1
            return []
        whole = event if held is None else with_part(held[0], event)
        if not _WHOLE.issubset(whole.parts):
            deadline, before = (self._clock.now + self.timeout_ms, 0) if held is None else held[1:]
            return self._wait(key, whole, deadline, before + size)
        if held is not None:
            self._forget(key)
            self.counts.joined += 1
        self._done.put(event.tenant, key, True)
        return [whole.model_copy(update={"kind": "call", "parts": ()})]

    def _wait(self, key: Key, event: LLMEvent, deadline: int, size: int) -> list[LLMEvent]:
        """Hold an event; return what is given up for it. One already held keeps its place in the order of deadlines."""
        self._waiting[key] = (event, deadline, size)
        weight = max(_UNITS, -(-size * _UNITS * self.pending_max // self.pending_bytes))
        return [self._give_up(gone) for _, gone, _ in self._room.put(key[0], key, weight)]

    def _half(self, event: LLMEvent, size: int) -> list[LLMEvent]:
        key = (event.tenant, event.app, event.call_id)
        if self._given_up.peek(event.tenant, key):
            self.counts.late += 1
            return [event]
        held = self._waiting.get(key)
        if held is None:
            return self._wait(key, event, self._clock.now + self.timeout_ms, size)
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

    def _give_up(self, key: Key) -> LLMEvent:
        event = self._forget(key)
        self.counts.orphans += 1
        self._given_up.put(key[0], key, True)
        return event

    def _forget(self, key: Key) -> LLMEvent:
        self._room.pop(key[0], key)
        return self._waiting.pop(key)[0]

    def state(self) -> State:
        """Everything needed to continue."""
        c = self.counts
        waiting = [[e.model_dump_json(exclude_unset=True), *more] for e, *more in self._waiting.values()]
        places = {key: k for k, key in enumerate(self._waiting)}
        return {
            "waiting": waiting,
            "tenants": self._room.tenants(),
            "order": [[places[key], weight] for _, key, weight in self._room.items()],
            "given_up": [list(key) for key in self._given_up],
            "given_up_tenants": self._given_up.tenants(),
            "done": [list(key) for key in self._done],
            "done_tenants": self._done.tenants(),
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
            for raw, deadline, size in values["waiting"]:
                event = LLMEvent.model_validate_json(text(raw))
                counts(deadline, size)
                waiting[event.tenant, event.app, event.call_id] = (event, deadline, size)
            keys = list(waiting)
            self._room.restore(
                values["tenants"], (keys[k] for k, _ in values["order"]), (w for _, w in values["order"])
            )
            for name, kept in (("given_up", self._given_up), ("done", self._done)):
                kept.restore(values[f"{name}_tenants"], map(_key, values[name]), [True] * len(values[name]))
            counts(*values["counts"])
            of_halves = JoinCounts(*values["counts"])
            self._clock.restore(values["clock"])
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"join: {error}; it starts cold") from error
        self._waiting, self.counts = waiting, of_halves


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


def _memory(event: LLMEvent, size: int | None) -> int:
    """Return the bytes that a half takes, about: its record, and what small parts of a record become as objects."""
    if size is None:
        size = len(event.model_dump_json(exclude_unset=True).encode())
    calls = [message.tool_calls for message in event.messages] + [choice.tool_calls for choice in event.choices]
    objects = len(calls) + len(event.documents) + len(event.guardrails) + sum(map(len, calls))
    values = sum(len(choice.logprobs) for choice in event.choices if choice.logprobs)
    values += sum(map(_values, (event.parameters, event.groups, event.labels, event.model_extra)))
    return _OVERHEAD_BYTES + size + _OBJECT_BYTES * objects + _VALUE_BYTES * values


def _values(free: Any) -> int:
    """Count what is nested in a value that the contract leaves free."""
    if type(free) is dict:
        return len(free) + sum(map(_values, free.values()))
    return len(free) + sum(map(_values, free)) if type(free) is list else 0
