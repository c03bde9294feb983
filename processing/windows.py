"""Tumbling one-minute windows in event time.

Window values are absolute, versioned integers, so that merging and replaying are exact.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from sys import intern
from typing import Any, TypeAlias

from agents.base import Chunk, Segment, State
from agents.common.state_validation import expect_at_most, expect_counts, expect_texts, expect_times_ms, strict_restore
from agents.common.tenant_map import OTHER, TenantLru
from agents.common.watermark import SCOPES_MAX, Scope
from agents.common.window_counts import Window, WindowRow, count_event, count_signals, window_from_state
from schemas.errors import StateError

WINDOW_MS = 60_000
IDLE_MS = 3_600_000
"""Broker time after which the windows of an idle scope are closed, to free their memory."""
Key: TypeAlias = "tuple[int, Segment]"
When: TypeAlias = "tuple[int, int, int]"
"""Start of an event's minute, broker time of its record, watermark of its scope; all in milliseconds."""
OVERFLOW_SCOPE: Scope = (OTHER, OTHER)
"""Scope of events for which no window of their own tenant is available."""
_QUOTAS = (4, 8, 16, 32)
"""Maximum windows of a tenant as a multiple of the free windows, one per level of `_fallbacks`. Some windows therefore
stay free under any flood."""
_NEWCOMERS = ""
"""Group of all tenants without a share of their own; no tenant has this name."""


@dataclass(slots=True)
class _ScopeWindows:
    """Open windows of one scope.

    Attributes
    ----------
    closed_before
        Start of the first minute that is still open.
    last_broker_ms, watermark
        Broker time and watermark at the last event of the scope; 0 if unknown.
    """

    closed_before: int = 0
    last_broker_ms: int = 0
    watermark: int = 0
    windows: dict[Key, Window] = field(default_factory=dict)


class Aggregator:
    """Windows of one partition, separately for each scope.

    A window closes when the watermark of its scope (`agents.base.Timing`) is ``lateness_ms`` past its end. Later events
    count as `late` and change no window: the value of a closed window never changes. A scope never closes the windows
    of another scope, with two exceptions that bound the memory: scopes that are idle for `IDLE_MS` of broker time, and
    scopes evicted from the tenants with the most scopes (`TenantLru`).

    An event whose segment gets no window is still counted once: in the window of its app with model and prompt version
    `OTHER`, else in the window of its tenant with app `OTHER` too, else in the window with all four keys `OTHER`. Sums
    over all windows therefore stay exact.

    Parameters
    ----------
    lateness_ms
        Event time for which a window stays open after its end.
    partition
        Part of the identity of each window; windows of several partitions merge by addition.
    windows_max
        Maximum number of open windows. One tenant, or all newcomers together, may hold four times the free windows.
    scope_windows_max
        Maximum number of open windows per scope.
    scopes_max
        Maximum number of scopes with open windows, and of closed scopes whose last closed minute is remembered.
    new_scopes_max
        Maximum number of new scopes per minute; events of further new scopes are counted as `OTHER`.

    Attributes
    ----------
    late
        Number of events whose window was already closed, plus the few for which no window was available.
    overflow
        Number of events counted as `OTHER`.
    """

    def __init__(  # noqa: PLR0913 - bounds
        self,
        lateness_ms: int,
        partition: int,
        *,
        windows_max: int = 100_000,
        scope_windows_max: int = 16_384,
        scopes_max: int = SCOPES_MAX,
        new_scopes_max: int = SCOPES_MAX,
    ) -> None:
        self.lateness_ms = lateness_ms
        self.partition = partition
        self.windows_max = windows_max
        self.scope_windows_max = scope_windows_max
        self.new_scopes_max = new_scopes_max
        self.late = 0
        self.overflow = 0
        # In the order of the last event, longest idle first.
        self._scopes: OrderedDict[Scope, _ScopeWindows] = OrderedDict()
        # The same scopes by tenant.
        self._open_scopes = TenantLru[Scope, bool](scopes_max)
        self._closed_until = TenantLru[Scope, int](scopes_max)
        self._open_windows = 0
        # Open windows by the tenant that they count for; windows opened by a newcomer count for `_NEWCOMERS`.
        self._windows_per_group: Counter[str] = Counter()
        self._newcomers: set[Key] = set()
        self._minute = self._new_scopes = 0
        self._next_idle_check_ms = 0
        self._updated: dict[Key, Window] = {}
        self._interned: dict[Segment, Segment] = {}

    def add(self, chunk: Chunk, signals: Mapping[str, Sequence[Any]]) -> list[WindowRow]:
        """Count the events of a chunk; return the windows that this closes."""
        no_signals: Sequence[Any] = [None] * len(chunk)
        injection = signals.get("injection", no_signals)
        grounding = signals.get("hallucination", no_signals)
        out: list[WindowRow] = []
        times = [column.tolist() for column in chunk.timing]
        close_delay_ms = self.lateness_ms + WINDOW_MS
        for event, time_ms, watermark, broker_ms, segment, scope_key, offset, refusal, *event_signals in zip(
            chunk.events, *times, chunk.segments, chunk.scopes, chunk.offsets.tolist(), chunk.refusals, injection,
            grounding, strict=True,
        ):  # fmt: skip
            if broker_ms >= self._next_idle_check_ms:
                out += self._close_idle(broker_ms)
            start = time_ms - time_ms % WINDOW_MS
            when = (start, broker_ms, watermark)
            scope = self._touch_scope(scope_key, when, out)
            if scope is not None and start < scope.closed_before:
                self.late += 1
                continue
            key = (start, segment)
            window = None if scope is None else scope.windows.get(key)
            if window is None:
                if (found := self._assign_window(scope_key, segment, scope, when, out)) is None:
                    self.late += 1
                    continue
                counted_in, key, window = found
                if counted_in is not scope and watermark - close_delay_ms >= counted_in.closed_before:
                    out += self._close_before(counted_in, watermark)
            self._updated[key] = window
            window.version = offset
            count_event(window, event, refusal is True)
            count_signals(window, *event_signals)
            if scope is not None and watermark - close_delay_ms >= scope.closed_before:
                out += self._close_before(scope, watermark)
        return out

    def _close_before(self, scope: _ScopeWindows, watermark: int) -> list[WindowRow]:
        scope.closed_before = (watermark - self.lateness_ms) // WINDOW_MS * WINDOW_MS
        return self._close(scope, [k for k in scope.windows if k[0] < scope.closed_before])

    def _assign_window(
        self, scope_key: Scope, segment: Segment, scope: _ScopeWindows | None, when: When, out: list[WindowRow]
    ) -> tuple[_ScopeWindows, Key, Window] | None:
        """Return the window in which an event is counted, or None if none is available; open a new one if needed."""
        for level, (candidate, candidate_segment) in enumerate(_fallbacks(scope_key, segment)):
            counted_in = scope
            if candidate != scope_key:
                may_open = scope is not None or candidate == OVERFLOW_SCOPE
                counted_in = self._touch_scope(candidate, when, out) if may_open else None
            if counted_in is None or when[0] < counted_in.closed_before:
                continue
            key = (when[0], candidate_segment)
            window = counted_in.windows.get(key)
            if window is None and self._may_open_window(candidate[0], counted_in, level):
                key = (when[0], self._intern(candidate_segment))
                window = self._open_window(candidate, counted_in, key)
            if window is not None:
                self.overflow += level > 0
                return counted_in, key, window
        return None

    def _may_open_window(self, tenant: str, scope: _ScopeWindows, level: int) -> bool:
        opened = self._windows_per_group[tenant if self._open_scopes.is_established(tenant) else _NEWCOMERS]
        return opened < _QUOTAS[level] * (self.windows_max - self._open_windows) and (
            level > 0 or len(scope.windows) < self.scope_windows_max
        )

    def _open_window(self, scope_key: Scope, scope: _ScopeWindows, key: Key) -> Window:
        group = scope_key[0]
        if not self._open_scopes.is_established(group):
            group = _NEWCOMERS
            self._newcomers.add(key)
        self._windows_per_group[group] += 1
        self._open_windows += 1
        window = scope.windows[key] = Window()
        return window

    def updated_windows(self, *, force: bool = False) -> Iterator[dict[str, Any]]:
        """Yield the rows of the open windows that changed since the last call, or of all open windows if forced.

        The rows are built one at a time: all rows of thousands of segments would take most of the memory.
        """
        changed = dict(self._all_windows()) if force else self._updated
        self._updated = {}
        for key in sorted(changed):
            yield WindowRow(*key, self.partition, changed[key]).row()

    def _all_windows(self) -> Iterator[tuple[Key, Window]]:
        for scope in self._scopes.values():
            yield from scope.windows.items()

    def _touch_scope(self, scope_key: Scope, when: When, out: list[WindowRow]) -> _ScopeWindows | None:
        """Return the windows of a scope and mark the scope as most recently used; None if too many scopes are new."""
        scope = self._scopes.get(scope_key)
        if scope is None:
            scope = self._open_scope(scope_key, when, out)
        else:
            self._scopes.move_to_end(scope_key)
            self._open_scopes.get(scope_key[0], scope_key)
        if scope is not None:
            _, scope.last_broker_ms, scope.watermark = when
        return scope

    def _open_scope(self, scope_key: Scope, when: When, out: list[WindowRow]) -> _ScopeWindows | None:
        start, broker_ms, _ = when
        minute = (broker_ms or start) // WINDOW_MS
        if minute != self._minute:
            self._minute, self._new_scopes = minute, 0
        if self._new_scopes >= self.new_scopes_max and scope_key != OVERFLOW_SCOPE:
            return None
        self._new_scopes += 1
        tenant = intern(scope_key[0])
        interned = (tenant, intern(scope_key[1]))
        scope = self._scopes[interned] = _ScopeWindows(self._closed_until.pop(tenant, interned) or 0)
        for _, evicted, _ in self._open_scopes.put(tenant, interned, True):
            out += self._close_scope(evicted)
        return scope

    def _intern(self, segment: Segment) -> Segment:
        """Return the segment object that all windows of a segment share as their key."""
        found = self._interned.get(segment)
        if found is None:
            if len(self._interned) > 2 * self._open_windows + 1000:
                self._interned = {used: used for (_, used), _ in self._all_windows()}
            found = Segment(*map(intern, segment))
            self._interned[found] = found
        return found

    def _close_idle(self, broker_ms: int) -> list[WindowRow]:
        """Close the scopes that have been idle for `IDLE_MS` of broker time."""
        out: list[WindowRow] = []
        while self._scopes:
            scope_key, scope = next(iter(self._scopes.items()))
            # A time far in the future is no valid broker time. It must not keep the scopes behind it open forever.
            if -IDLE_MS < broker_ms - scope.last_broker_ms < IDLE_MS:
                self._next_idle_check_ms = min(scope.last_broker_ms, broker_ms) + IDLE_MS
                break
            self._open_scopes.pop(scope_key[0], scope_key)
            out += self._close_scope(scope_key)
        else:
            self._next_idle_check_ms = broker_ms + IDLE_MS
        return out

    def _close_scope(self, scope_key: Scope) -> list[WindowRow]:
        """Close all windows of a scope and remember its last closed minute, so that late events cannot reopen windows.

        Windows of skewed events do not count as closed: such events are counted at the broker's time, which is far
        ahead of the scope's watermark when history is replayed.
        """
        scope = self._scopes.pop(scope_key)
        ends = [start + WINDOW_MS for start, _ in scope.windows if start <= scope.watermark + IDLE_MS]
        last_end = max(ends, default=0)
        if before := max(scope.closed_before, last_end):
            self._closed_until.put(scope_key[0], scope_key, before)
        return self._close(scope, list(scope.windows))

    def _close(self, scope: _ScopeWindows, keys: list[Key]) -> list[WindowRow]:
        for key in keys:
            self._updated.pop(key, None)
            group = key[1].tenant
            if key in self._newcomers:
                self._newcomers.remove(key)
                group = _NEWCOMERS
            self._windows_per_group[group] -= 1
            if not self._windows_per_group[group]:
                del self._windows_per_group[group]
        self._open_windows -= len(keys)
        return [WindowRow(*key, self.partition, scope.windows.pop(key)) for key in sorted(keys)]

    def state(self) -> State:
        """Return the complete state, longest idle scope first."""
        scopes = [
            # Copies, because the snapshot is encoded in a thread while the windows continue to count.
            [
                *scope_key, scope.closed_before, scope.last_broker_ms, scope.watermark,
                [self._row(key, window) for key, window in scope.windows.items()],
            ]
            for scope_key, scope in self._scopes.items()
        ]  # fmt: skip
        positions = {scope_key: k for k, scope_key in enumerate(self._scopes)}
        return {
            "scopes": scopes,
            "room": [positions[scope_key] for scope_key in self._open_scopes],
            "room_tenants": self._open_scopes.tenants(),
            "closed": [[*scope_key, before] for _, scope_key, before in self._closed_until.items()],
            "closed_tenants": self._closed_until.tenants(),
            "marks": [self.late, self.overflow, self._next_idle_check_ms, self._minute, self._new_scopes],
        }

    def _row(self, key: Key, window: Window) -> list[Any]:
        return [key[0], list(key[1]), key in self._newcomers, window.state()]

    @strict_restore
    def restore(self, state: State) -> None:
        """Load a state; raise `StateError` if it does not fit."""
        values: Any = state
        scopes: OrderedDict[Scope, _ScopeWindows] = OrderedDict()
        newcomers: set[Key] = set()
        try:
            expect_at_most(values["scopes"], self._open_scopes.capacity, "scopes")
            for *scope_key, closed_before, last_broker_ms, watermark, windows in values["scopes"]:
                tenant, app = expect_texts(scope_key, 2)
                found = {
                    (start, Segment(*expect_texts(segment))): window_from_state(w) for start, segment, _, w in windows
                }
                newcomers |= {(start, Segment(*segment)) for start, segment, newcomer, _ in windows if newcomer}
                expect_times_ms(closed_before, last_broker_ms, watermark, *(start for start, _ in found))
                scopes[tenant, app] = _ScopeWindows(closed_before, last_broker_ms, watermark, found)
            expect_at_most([w for scope in scopes.values() for w in scope.windows], self.windows_max, "windows")
            late, overflow, idle_check_ms, minute, new_scopes = values["marks"]
            expect_counts(late, overflow, minute, new_scopes)
            closed = [(expect_texts(scope_key, 2), before) for *scope_key, before in values["closed"]]
            expect_times_ms(idle_check_ms, *(before for _, before in closed))
            self._closed_until.restore(
                values["closed_tenants"], ((t, a) for (t, a), _ in closed), (b for _, b in closed)
            )
            scope_keys = list(scopes)
            self._open_scopes.restore(
                values["room_tenants"], [scope_keys[k] for k in values["room"]], [True] * len(scopes)
            )
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"aggregates: {error}; the windows start cold", part="aggregates") from error
        self._scopes, self._newcomers = scopes, newcomers
        # The state does not record which windows were published, because that depends on the clock: publish all again.
        self._updated = dict(self._all_windows())
        self._open_windows = len(self._updated)
        self._windows_per_group = Counter(_NEWCOMERS if key in newcomers else key[1].tenant for key in self._updated)
        self.late, self.overflow, self._next_idle_check_ms, self._minute, self._new_scopes = values["marks"]


def _fallbacks(scope_key: Scope, segment: Segment) -> Iterator[tuple[Scope, Segment]]:
    """Yield the scopes and segments in which an event may be counted, from its own to ever more general ones."""
    tenant, app = scope_key
    yield scope_key, segment
    yield scope_key, Segment(tenant, app, OTHER, OTHER)
    yield (tenant, OTHER), Segment(tenant, OTHER, OTHER, OTHER)
    yield OVERFLOW_SCOPE, Segment(OTHER, OTHER, OTHER, OTHER)
