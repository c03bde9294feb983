"""Halves and fragments of one call, joined by tenant, app and call id, in bounded memory.

A call comes whole, or as a request and a response half, or in OpenTelemetry's fragments: its span, its messages and its
choices, each from a topic and at a time of its own. It is whole when its span and its choices are there; messages are
written before the call begins, so they have come by then or were not recorded.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import islice, zip_longest
from typing import Any, NamedTuple, TypeAlias

from agents.base import State, event_time_ms
from agents.common.state_validation import expect_at_most, expect_counts, expect_text, expect_texts, strict_restore
from agents.common.tenant_map import TenantLru
from agents.common.watermark import EventTime, Scope, Watermarks, bounded_time
from schemas.errors import StateError
from schemas.event import KEYS_MAX, SHORTENED, Contract, LLMEvent, merged_issues

Key: TypeAlias = "tuple[str, str, str]"
_LATER = ("choices", "usage", "cost_usd", "ttft_ms", "error", "response_model", "system_fingerprint")
_REMEMBERED = 4096
_OVERHEAD_BYTES, _OBJECT_BYTES, _VALUE_BYTES = 1000, 600, 100
"""Memory, about, of an event without content, of each message and the like in it, of each value in what is free."""
_UNITS = 16
"""Minimum weight of a half, in units of which there are `_UNITS * pending_max`: weights bound both number and bytes."""
_WHOLE = frozenset({"span", "choices"})
_DAY_MS = 86_400_000
_OTHER_HALF = "other_half"
"""Field of a joined event, unknown to the contract: what the halves said that another value stands in the place of."""
_OTHER_MAX = 16
_MAPS, _MODELS = ("parameters", "groups", "tags"), ("messages", "documents", "choices", "guardrails")
_SINGLE = ("usage", "error")


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
    unmatched: int = 0
    late: int = 0
    duplicates: int = 0


class Joiner:
    """Gives out whole calls: as they come, when their second half comes, or alone when it did not come in time.

    Time is event time of the half's scope (`agents.common.watermark.Watermarks`), so that replay gives up the same
    halves as the live run did; where the scope falls silent it is the broker's time, which records of other scopes
    bring.

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
        self._waiting: OrderedDict[Key, Held] = OrderedDict()
        # Of each scope, those that wait in the order in which they came; of all, when the broker's time gives them up.
        self._queues: dict[Scope, dict[Key, None]] = {}
        self._silent: list[tuple[int, Key]] = []
        self._room = TenantLru[Key, int](_UNITS * pending_max, weigh=int)
        self._given_up = TenantLru[Key, bool](_REMEMBERED)
        self._done = TenantLru[Key, bool](_REMEMBERED)
        self._times = Watermarks()

    @property
    def pending(self) -> int:
        """Halves waiting now."""
        return len(self._waiting)

    def add(self, event: LLMEvent, when: EventTime | None = None, size: int | None = None) -> list[LLMEvent]:
        """Take an event; return the calls that can now be scored, the given-up ones first.

        Parameters
        ----------
        when
            Its time; its own where not given.
        size
            Bytes of its record; measured where not given.
        """
        when = when or bounded_time(event_time_ms(event), 0, 0)
        scope = (event.tenant, event.app)
        now = self._times.advance(scope, when.watermark_ms) or when.time_ms
        out = self._expired(scope, now, when.broker_ms) if self._waiting else []
        if event.kind == "call":
            out.append(event)
        else:
            due = (now + self.timeout_ms, when.broker_ms and when.broker_ms + self.timeout_ms)
            half = Held(event, *due, _memory(event, size))
            out += self._fragment(half) if event.kind == "fragment" else self._half(half)
        return out

    def _fragment(self, half: Held) -> list[LLMEvent]:
        event = half.event
        key = (event.tenant, event.app, event.call_id)
        if self._done.peek(event.tenant, key):
            # Content that came on the span and once more in the logs.
            self.counts.duplicates += 1
            return []
        if self._given_up.peek(event.tenant, key):
            self.counts.late += 1
            return [event]
        held = self._waiting.get(key)
        if held is not None and held.event.kind != "fragment":
            self.counts.duplicates += 1
            return []
        whole = event if held is None else merge_fragment(held.event, event)
        if not _WHOLE.issubset(whole.fragments):
            if held is not None:
                half = held._replace(size=held.size + half.size)
            return self._wait(key, half._replace(event=whole))
        if held is not None:
            self._forget(key)
            self.counts.joined += 1
        self._done.put(event.tenant, key, True)
        return [whole.model_copy(update={"kind": "call", "fragments": ()})]

    def _wait(self, key: Key, half: Held) -> list[LLMEvent]:
        """Hold a half, one already held in its place; return what is given up for it."""
        new = key not in self._waiting
        self._waiting[key] = half
        if new:
            self._queue(key)
        weight = max(_UNITS, -(-half.size * _UNITS * self.pending_max // self.pending_bytes))
        return [self._give_up(gone) for _, gone, _ in self._room.put(key[0], key, weight)]

    def _queue(self, key: Key) -> None:
        self._queues.setdefault(key[:2], {})[key] = None
        if silent_at := self._waiting[key].silent_at:
            heappush(self._silent, (silent_at, key))
            if len(self._silent) > 2 * len(self._waiting) + _REMEMBERED:
                self._silent = [(held.silent_at, k) for k, held in self._waiting.items() if held.silent_at]
                heapify(self._silent)

    def _half(self, half: Held) -> list[LLMEvent]:
        event = half.event
        key = (event.tenant, event.app, event.call_id)
        if self._given_up.peek(event.tenant, key):
            self.counts.late += 1
            return [event]
        held = self._waiting.get(key)
        if held is None:
            return self._wait(key, half)
        other = held.event
        if other.kind in {event.kind, "fragment"}:
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

    def _give_up(self, key: Key) -> LLMEvent:
        event = self._forget(key)
        self.counts.unmatched += 1
        self._given_up.put(key[0], key, True)
        return event

    def _forget(self, key: Key) -> LLMEvent:
        held = self._waiting.pop(key)
        self._room.pop(key[0], key)
        queue = self._queues[key[:2]]
        del queue[key]
        if not queue:
            del self._queues[key[:2]]
        return held.event

    def state(self) -> State:
        """Everything needed to continue."""
        c = self.counts
        places = {key: k for k, key in enumerate(self._waiting)}
        return {
            "waiting": [[e.model_dump_json(exclude_unset=True), *more] for e, *more in self._waiting.values()],
            "tenants": self._room.tenants(),
            "order": [[places[key], weight] for _, key, weight in self._room.items()],
            "given_up": [list(key) for key in self._given_up],
            "given_up_tenants": self._given_up.tenants(),
            "done": [list(key) for key in self._done],
            "done_tenants": self._done.tenants(),
            "times": self._times.state(),
            "counts": [c.joined, c.unmatched, c.late, c.duplicates],
        }

    @strict_restore
    def restore(self, state: State) -> None:
        """Continue from a state."""
        waiting: OrderedDict[Key, Held] = OrderedDict()
        values: Any = state
        times = Watermarks()
        try:
            expect_at_most(values["waiting"], self.pending_max, "halves")
            for raw, *numbers in values["waiting"]:
                event = LLMEvent.model_validate_json(expect_text(raw))
                expect_counts(*numbers)
                waiting[event.tenant, event.app, event.call_id] = Held(event, *numbers)
            keys, order = list(waiting), values["order"]
            self._room.restore(values["tenants"], (keys[k] for k, _ in order), (weight for _, weight in order))
            for name, kept in (("given_up", self._given_up), ("done", self._done)):
                kept.restore(values[f"{name}_tenants"], map(_key, values[name]), [True] * len(values[name]))
            expect_counts(*values["counts"])
            of_halves = JoinCounts(*values["counts"])
            times.restore(values["times"])
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"join: {error}; it starts cold", part="join") from error
        self._waiting, self.counts, self._times = waiting, of_halves, times
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
    fields["latency_ms"] = latency if latency <= _DAY_MS else None
    return LLMEvent.model_construct(**_with_other_half(fields, request, response))


def merge_fragment(held: LLMEvent, fragment: LLMEvent) -> LLMEvent:
    """Return one fragment with another added: what the span says goes before, but messages and answers are the logs'.

    A span whose answer was not recorded still says why it ended, as a choice without text; the log's has both.
    """
    first, second = (held, fragment) if "span" in held.fragments else (fragment, held)
    fields = _overlaid(first, second)
    for name in ("messages", "choices"):
        if name not in first.fragments and (said := getattr(second, name)):
            fields[name] = said
    if held.guardrails or fragment.guardrails:
        fields["guardrails"] = (held.guardrails + fragment.guardrails)[:64]
    fragments = tuple(
        name for name in ("span", "messages", "choices") if name in {*held.fragments, *fragment.fragments}
    )
    fields = _with_other_half(fields, first, second)
    return LLMEvent.model_construct(**fields | {"kind": "fragment", "fragments": fragments})


def _overlaid(first: LLMEvent, second: LLMEvent) -> dict[str, Any]:
    """Return the fields that either has, unknown ones too; where both have one it is the first's, or both merged."""
    fields: dict[str, Any] = {name: getattr(second, name) for name in second.model_fields_set}
    fields |= {name: getattr(first, name) for name in first.model_fields_set}
    fields |= {**(second.model_extra or {}), **(first.model_extra or {})}
    if issues := merged_issues(first.input_issues, second.input_issues):
        fields["input_issues"] = issues
    if isinstance(fields.get(SHORTENED), dict):
        fields[SHORTENED] = {**_shortened(second), **_shortened(first)}
    for name in _MAPS:
        if both := {**getattr(first, name), **getattr(second, name), **getattr(first, name)}:
            fields[name] = dict(islice(both.items(), KEYS_MAX))
    return fields


def _shortened(half: LLMEvent) -> dict[str, Any]:
    kept = (half.model_extra or {}).get(SHORTENED)
    return kept if isinstance(kept, dict) else {}


def _with_other_half(fields: dict[str, Any], *halves: LLMEvent) -> dict[str, Any]:
    """Return the fields of a joined event and, in one that the agents read and that is stored, what is not in them.

    An attack must not vanish because the other half has a field of the same name. It holds `_OTHER_MAX` values at most;
    of a call with more the event is marked.
    """
    before = [(half.model_extra or {}).get(_OTHER_HALF) for half in halves]
    other = [one for kept in before if kept is not None for one in (kept if isinstance(kept, list) else [kept])]
    other += [gone for half in halves if (gone := _replaced(fields, half))]
    if other:
        fields[_OTHER_HALF] = other[:_OTHER_MAX]
    if len(other) > _OTHER_MAX:
        fields["input_issues"] = merged_issues(fields.get("input_issues", ()), ("event_truncated",))
    return fields


def _replaced(fields: dict[str, Any], half: LLMEvent) -> dict[str, Any]:
    """Return what a half said and the fields do not; identifiers, times and numbers aside."""
    gone: dict[str, Any] = {}
    for name in (*_MODELS, *_SINGLE):
        said, kept = getattr(half, name), fields.get(name)
        if said and said is not kept:
            gone[name] = (
                _not_among(said, kept or ()) if name in _MODELS else _not_among((said,), (kept,) if kept else ())
            )
    extra = dict(half.model_extra or {})
    maps = {name: getattr(half, name) for name in _MAPS}
    if isinstance(fields.get(SHORTENED), dict) and isinstance(extra.get(SHORTENED), dict):
        maps[SHORTENED] = extra.pop(SHORTENED)
    for name, said in maps.items():
        kept = fields.get(name) or {}
        gone[name] = {key: value for key, value in said.items() if key not in kept or kept[key] != value}
    gone |= {name: value for name, value in extra.items() if name != _OTHER_HALF and fields[name] != value}
    return {name: value for name, value in gone.items() if value}


def _not_among(these: Sequence[Contract], those: Sequence[Contract]) -> list[dict[str, Any]]:
    """Return those of these that are not among those, and say more than the one in their place.

    A span's choice has only the reason that the log's has too.
    """
    known = {that.model_dump_json(exclude_unset=True) for that in those}
    return [
        one.model_dump(mode="json", exclude_unset=True)
        for one, that in zip_longest(these, those[: len(these)])
        if one.model_dump_json(exclude_unset=True) not in known
        and not (that and all(getattr(that, name, None) == value for name, value in one if value))
    ]


def _key(value: Any) -> Key:
    tenant, app, call = expect_texts(value, 3)
    return tenant, app, call


def _memory(event: LLMEvent, size: int | None) -> int:
    """Return the bytes that a half takes, about: its record, and what small parts of a record become as objects."""
    if size is None:
        size = len(event.model_dump_json(exclude_unset=True).encode())
    calls = [message.tool_calls for message in event.messages] + [choice.tool_calls for choice in event.choices]
    objects = len(calls) + len(event.documents) + len(event.guardrails) + sum(map(len, calls))
    values = sum(len(choice.logprobs) for choice in event.choices if choice.logprobs)
    values += sum(map(_values, (event.parameters, event.groups, event.tags, event.model_extra)))
    return _OVERHEAD_BYTES + size + _OBJECT_BYTES * objects + _VALUE_BYTES * values


def _values(free: Any) -> int:
    """Count what is nested in a value that the contract leaves free."""
    if type(free) is dict:
        return len(free) + sum(map(_values, free.values()))
    return len(free) + sum(map(_values, free)) if type(free) is list else 0
