"""Join of request and response halves, or of fragments, by tenant, app and call id, in bounded memory.

A call arrives complete, as a request half and a response half, or as OpenTelemetry fragments: its span, its messages
and its choices. Fragments arrive from different topics and at different times. A call is complete once its span and its
choices have arrived. Messages are written before the call starts, so by then they have arrived or were not recorded.
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
_RESPONSE_FIELDS = ("choices", "usage", "cost_usd", "ttft_ms", "error", "response_model", "system_fingerprint")
_REMEMBERED_MAX = 4096
_OVERHEAD_BYTES, _OBJECT_BYTES, _VALUE_BYTES = 1000, 600, 100
"""Approximate memory of an event without content, per message or similar object, and per value in free-form fields."""
_WEIGHT_MIN = 16
"""Minimum weight of a half. All pending halves weigh at most `_WEIGHT_MIN * pending_max`, which bounds their number and
their bytes."""
_REQUIRED_FRAGMENTS = frozenset({"span", "choices"})
_DAY_MS = 86_400_000
_OTHER_HALF = "other_half"
"""Field of a joined event, outside of the contract: values of the halves that another value has replaced."""
_OTHER_HALF_MAX = 16
_MAPS, _MODELS = ("parameters", "groups", "tags"), ("messages", "documents", "choices", "guardrails")
_SINGLE = ("usage", "error")


class PendingHalf(NamedTuple):
    """Half or fragment that waits for the rest of its call.

    Attributes
    ----------
    event
        The half, or the merged fragments so far.
    deadline
        Event time of the scope at which the half expires.
    idle_deadline
        Broker time at which the half expires if its scope has become idle; 0 if unknown.
    size
        Approximate memory in bytes.
    """

    event: LLMEvent
    deadline: int
    idle_deadline: int
    size: int


@dataclass(slots=True)
class JoinCounts:
    """Number of halves by outcome: joined, expired unmatched, arrived late, duplicate."""

    joined: int = 0
    unmatched: int = 0
    late: int = 0
    duplicates: int = 0


class Joiner:
    """Stream join that releases complete calls at once, joined calls on their second half, and expired halves alone.

    Halves expire by the event time of their scope (`agents.common.watermark.Watermarks`), so that a replay expires the
    same halves as the live run. If a scope becomes idle, its halves expire by broker time, which the records of other
    scopes advance.

    Parameters
    ----------
    pending_max
        Maximum number of pending halves. Beyond it, the oldest halves of the tenants with the most halves expire
        (`TenantLru`).
    timeout_ms
        Event time for which a half waits for the other half.
    pending_bytes
        Maximum approximate memory of the pending halves, in bytes.

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
        self._pending: OrderedDict[Key, PendingHalf] = OrderedDict()
        # Pending keys of each scope in order of arrival, and a heap of the idle deadlines of all pending keys.
        self._queues: dict[Scope, dict[Key, None]] = {}
        self._idle_deadlines: list[tuple[int, Key]] = []
        self._pending_weights = TenantLru[Key, int](_WEIGHT_MIN * pending_max, weigh=int)
        self._expired_keys = TenantLru[Key, bool](_REMEMBERED_MAX)
        self._joined_keys = TenantLru[Key, bool](_REMEMBERED_MAX)
        self._watermarks = Watermarks()

    @property
    def pending(self) -> int:
        """Number of pending halves."""
        return len(self._pending)

    def add(self, event: LLMEvent, time: EventTime | None = None, size: int | None = None) -> list[LLMEvent]:
        """Add an event; return the calls that can now be scored, expired halves first.

        Parameters
        ----------
        event
            A complete call, a half or a fragment.
        time
            Bounded time of the event; by default, the event's own time.
        size
            Size of the record in bytes; by default, the size of the serialised event.
        """
        time = time or bounded_time(event_time_ms(event), 0, 0)
        scope = (event.tenant, event.app)
        now_ms = self._watermarks.advance(scope, time.watermark_ms) or time.time_ms
        out = self._expire_due(scope, now_ms, time.broker_ms) if self._pending else []
        if event.kind == "call":
            out.append(event)
        else:
            deadlines = (now_ms + self.timeout_ms, time.broker_ms and time.broker_ms + self.timeout_ms)
            half = PendingHalf(event, *deadlines, _memory_bytes(event, size))
            out += self._add_fragment(half) if event.kind == "fragment" else self._add_half(half)
        return out

    def _add_fragment(self, half: PendingHalf) -> list[LLMEvent]:
        event = half.event
        key = (event.tenant, event.app, event.call_id)
        if self._joined_keys.peek(event.tenant, key):
            # The content was recorded both on the span and in the logs.
            self.counts.duplicates += 1
            return []
        if self._expired_keys.peek(event.tenant, key):
            self.counts.late += 1
            return [event]
        pending = self._pending.get(key)
        if pending is not None and pending.event.kind != "fragment":
            self.counts.duplicates += 1
            return []
        merged = event if pending is None else merge_fragment(pending.event, event)
        if not _REQUIRED_FRAGMENTS.issubset(merged.fragments):
            if pending is not None:
                half = pending._replace(size=pending.size + half.size)
            return self._hold(key, half._replace(event=merged))
        if pending is not None:
            self._remove(key)
            self.counts.joined += 1
        self._joined_keys.put(event.tenant, key, True)
        return [merged.model_copy(update={"kind": "call", "fragments": ()})]

    def _hold(self, key: Key, half: PendingHalf) -> list[LLMEvent]:
        """Hold a half, replacing an earlier one of the same call; return the halves that expire to make room."""
        is_new = key not in self._pending
        self._pending[key] = half
        if is_new:
            self._enqueue(key)
        weight = max(_WEIGHT_MIN, -(-half.size * _WEIGHT_MIN * self.pending_max // self.pending_bytes))
        return [self._expire(evicted) for _, evicted, _ in self._pending_weights.put(key[0], key, weight)]

    def _enqueue(self, key: Key) -> None:
        self._queues.setdefault(key[:2], {})[key] = None
        if idle_deadline := self._pending[key].idle_deadline:
            heappush(self._idle_deadlines, (idle_deadline, key))
            if len(self._idle_deadlines) > 2 * len(self._pending) + _REMEMBERED_MAX:
                self._idle_deadlines = [
                    (half.idle_deadline, k) for k, half in self._pending.items() if half.idle_deadline
                ]
                heapify(self._idle_deadlines)

    def _add_half(self, half: PendingHalf) -> list[LLMEvent]:
        event = half.event
        key = (event.tenant, event.app, event.call_id)
        if self._expired_keys.peek(event.tenant, key):
            self.counts.late += 1
            return [event]
        pending = self._pending.get(key)
        if pending is None:
            return self._hold(key, half)
        other = pending.event
        if other.kind in {event.kind, "fragment"}:
            self.counts.duplicates += 1
            return []
        self._remove(key)
        self.counts.joined += 1
        return [merge(other, event) if other.kind == "request" else merge(event, other)]

    def _expire_due(self, scope: Scope, now_ms: int, broker_ms: int) -> list[LLMEvent]:
        out = []
        while self._idle_deadlines and self._idle_deadlines[0][0] <= broker_ms:
            idle_deadline, key = heappop(self._idle_deadlines)
            half = self._pending.get(key)
            if half is not None and half.idle_deadline == idle_deadline:
                out.append(self._expire(key))
        while queue := self._queues.get(scope):
            key = next(iter(queue))
            if self._pending[key].deadline > now_ms:
                break
            out.append(self._expire(key))
        return out

    def _expire(self, key: Key) -> LLMEvent:
        event = self._remove(key)
        self.counts.unmatched += 1
        self._expired_keys.put(key[0], key, True)
        return event

    def _remove(self, key: Key) -> LLMEvent:
        half = self._pending.pop(key)
        self._pending_weights.pop(key[0], key)
        queue = self._queues[key[:2]]
        del queue[key]
        if not queue:
            del self._queues[key[:2]]
        return half.event

    def state(self) -> State:
        """Return the complete state."""
        c = self.counts
        positions = {key: k for k, key in enumerate(self._pending)}
        return {
            "waiting": [[e.model_dump_json(exclude_unset=True), *more] for e, *more in self._pending.values()],
            "tenants": self._pending_weights.tenants(),
            "order": [[positions[key], weight] for _, key, weight in self._pending_weights.items()],
            "given_up": [list(key) for key in self._expired_keys],
            "given_up_tenants": self._expired_keys.tenants(),
            "done": [list(key) for key in self._joined_keys],
            "done_tenants": self._joined_keys.tenants(),
            "times": self._watermarks.state(),
            "counts": [c.joined, c.unmatched, c.late, c.duplicates],
        }

    @strict_restore
    def restore(self, state: State) -> None:
        """Load a state; raise `StateError` if it does not fit."""
        pending: OrderedDict[Key, PendingHalf] = OrderedDict()
        values: Any = state
        watermarks = Watermarks()
        try:
            expect_at_most(values["waiting"], self.pending_max, "halves")
            for raw, *numbers in values["waiting"]:
                event = LLMEvent.model_validate_json(expect_text(raw))
                expect_counts(*numbers)
                pending[event.tenant, event.app, event.call_id] = PendingHalf(event, *numbers)
            keys, order = list(pending), values["order"]
            self._pending_weights.restore(
                values["tenants"], (keys[k] for k, _ in order), (weight for _, weight in order)
            )
            for name, keys_seen in (("given_up", self._expired_keys), ("done", self._joined_keys)):
                keys_seen.restore(values[f"{name}_tenants"], map(_key, values[name]), [True] * len(values[name]))
            expect_counts(*values["counts"])
            join_counts = JoinCounts(*values["counts"])
            watermarks.restore(values["times"])
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"join: the state does not fit ({error!r}); it starts cold", part="join") from error
        self._pending, self.counts, self._watermarks = pending, join_counts, watermarks
        self._queues, self._idle_deadlines = {}, []
        for key in pending:
            self._enqueue(key)


def merge(request: LLMEvent, response: LLMEvent) -> LLMEvent:
    """Return the call joined from its halves; for fields that both halves have, the request's value counts.

    The event id of the joined call is the call id, because neither half's event id identifies the call.
    """
    fields = _merged_fields(request, response)
    fields |= {name: getattr(response, name) for name in _RESPONSE_FIELDS if name in response.model_fields_set}
    fields |= {"kind": "call", "event_id": request.call_id}
    latency = response.latency_ms
    if latency is None:
        latency = max(0.0, (response.time - request.time).total_seconds() * 1000)
    # The contract allows at most a day. A longer latency means that one of the halves has a wrong clock.
    fields["latency_ms"] = latency if latency <= _DAY_MS else None
    return LLMEvent.model_construct(**_add_other_half(fields, request, response))


def merge_fragment(earlier: LLMEvent, fragment: LLMEvent) -> LLMEvent:
    """Merge a fragment into an earlier one: fields of the span count first, but messages and choices of the logs.

    A span whose answer was not recorded still has the finish reason, as a choice without text; the choice in the logs
    has both.
    """
    first, second = (earlier, fragment) if "span" in earlier.fragments else (fragment, earlier)
    fields = _merged_fields(first, second)
    for name in ("messages", "choices"):
        if name not in first.fragments and (value := getattr(second, name)):
            fields[name] = value
    if earlier.guardrails or fragment.guardrails:
        fields["guardrails"] = (earlier.guardrails + fragment.guardrails)[:64]
    fragments = tuple(
        name for name in ("span", "messages", "choices") if name in {*earlier.fragments, *fragment.fragments}
    )
    fields = _add_other_half(fields, first, second)
    return LLMEvent.model_construct(**fields | {"kind": "fragment", "fragments": fragments})


def _merged_fields(first: LLMEvent, second: LLMEvent) -> dict[str, Any]:
    """Merge the fields of two events, including unknown fields; ``first`` wins, but issues and maps are merged."""
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
    shortened = (half.model_extra or {}).get(SHORTENED)
    return shortened if isinstance(shortened, dict) else {}


def _add_other_half(fields: dict[str, Any], *halves: LLMEvent) -> dict[str, Any]:
    """Add the replaced values of the halves to the fields of a joined event, in a field that agents read and store.

    An attack must not vanish because the other half has a field of the same name. The field holds at most
    `_OTHER_HALF_MAX` values; an event with more values is marked as truncated.
    """
    earlier = [(half.model_extra or {}).get(_OTHER_HALF) for half in halves]
    other = [v for values in earlier if values is not None for v in (values if isinstance(values, list) else [values])]
    other += [replaced for half in halves if (replaced := _replaced(fields, half))]
    if other:
        fields[_OTHER_HALF] = other[:_OTHER_HALF_MAX]
    if len(other) > _OTHER_HALF_MAX:
        fields["input_issues"] = merged_issues(fields.get("input_issues", ()), ("event_truncated",))
    return fields


def _replaced(fields: dict[str, Any], half: LLMEvent) -> dict[str, Any]:
    """Return the values of a half that are missing in the joined fields, except identifiers, times and numbers."""
    replaced: dict[str, Any] = {}
    for name in (*_MODELS, *_SINGLE):
        value, joined = getattr(half, name), fields.get(name)
        if value and value is not joined:
            if name in _MODELS:
                replaced[name] = _missing(value, joined or ())
            else:
                replaced[name] = _missing((value,), (joined,) if joined else ())
    extra = dict(half.model_extra or {})
    maps = {name: getattr(half, name) for name in _MAPS}
    if isinstance(fields.get(SHORTENED), dict) and isinstance(extra.get(SHORTENED), dict):
        maps[SHORTENED] = extra.pop(SHORTENED)
    for name, values in maps.items():
        joined = fields.get(name) or {}
        replaced[name] = {key: value for key, value in values.items() if key not in joined or joined[key] != value}
    replaced |= {name: value for name, value in extra.items() if name != _OTHER_HALF and fields[name] != value}
    return {name: value for name, value in replaced.items() if value}


def _missing(items: Sequence[Contract], joined: Sequence[Contract]) -> list[dict[str, Any]]:
    """Return the items that do not occur among the joined items and are not covered by the item at their position.

    For example, the choice of a span has only the finish reason, which the choice of the logs has too.
    """
    known = {item.model_dump_json(exclude_unset=True) for item in joined}
    return [
        item.model_dump(mode="json", exclude_unset=True)
        for item, counterpart in zip_longest(items, joined[: len(items)])
        if item.model_dump_json(exclude_unset=True) not in known
        and not (counterpart and all(getattr(counterpart, name, None) == value for name, value in item if value))
    ]


def _key(value: Any) -> Key:
    tenant, app, call = expect_texts(value, 3)
    return tenant, app, call


def _memory_bytes(event: LLMEvent, size: int | None) -> int:
    """Return the approximate memory of a half in bytes: its record, and the overhead of its objects and values."""
    if size is None:
        size = len(event.model_dump_json(exclude_unset=True).encode())
    calls = [message.tool_calls for message in event.messages] + [choice.tool_calls for choice in event.choices]
    objects = len(calls) + len(event.documents) + len(event.guardrails) + sum(map(len, calls))
    values = sum(len(choice.logprobs) for choice in event.choices if choice.logprobs)
    values += sum(map(_values, (event.parameters, event.groups, event.tags, event.model_extra)))
    return _OVERHEAD_BYTES + size + _OBJECT_BYTES * objects + _VALUE_BYTES * values


def _values(free: Any) -> int:
    """Return the number of values nested in a free-form value."""
    if type(free) is dict:
        return len(free) + sum(map(_values, free.values()))
    return len(free) + sum(map(_values, free)) if type(free) is list else 0
