"""One-minute windows by event time: absolute, versioned, integers only, so that merging and repeating are exact."""

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
from agents.common.window_counts import Window, WindowRow, count, count_signals, window_from_state
from schemas.errors import StateError

WINDOW_MS = 60_000
IDLE_MS = 3_600_000
"""Time of the broker after which the windows of a scope that fell silent are closed, to free their memory."""
Key: TypeAlias = "tuple[int, Segment]"
When: TypeAlias = "tuple[int, int, int]"
"""Start of the minute of an event, the broker's time of its record, the watermark of its scope."""
EVERYONE: Scope = (OTHER, OTHER)
"""Scope of what found no room under its own tenant."""
_SHARES = (4, 8, 16, 32)
"""Windows that a tenant may hold, as a multiple of the free ones: of segments, then of each `_ways` to `OTHER`. So
whoever floods the rest, some windows always stay free."""
_NEWCOMERS = ""
"""All tenants together that have no share of their own; no tenant has this name."""


@dataclass(slots=True)
class _Open:
    """The open windows of one scope.

    Attributes
    ----------
    closed_before
        Start of the first minute that is still counted.
    seen, mark
        The broker's time, and the watermark, at the scope's last event; 0 where they are not known.
    """

    closed_before: int = 0
    seen: int = 0
    mark: int = 0
    windows: dict[Key, Window] = field(default_factory=dict)


class Aggregator:
    """The windows of one partition, scope by scope.

    A window closes when the watermark of its scope (`agents.base.Timing`) is ``lateness_ms`` past its end. What comes
    later is counted in `late` and in no window: a closed window's value never changes. No scope closes the windows of
    another, but for what bounds the memory: those of a scope that was silent for `IDLE_MS` of the broker's time, and
    those of scopes that make room for others, of the tenants that have most (`TenantLru`).

    An event that finds no room for a window of its segment is counted once all the same: in the window of its app whose
    model and prompt version are `OTHER`, else in that of its tenant whose app is `OTHER` too, else in one of which all
    four are. So sums over all windows stay exact.

    Parameters
    ----------
    lateness_ms
        Event time a window stays open after its end.
    partition
        Part of each window's identity: parts of several partitions merge by addition.
    windows_max
        Most open windows. No tenant, and not all newcomers together, may hold more than four times the free ones.
    scope_windows_max
        Most open windows of one scope.
    scopes_max
        Scopes with open windows; and as many whose windows are closed, of which is known until when.
    new_scopes_max
        Most scopes that begin in a minute; what further ones send in it is counted as `OTHER`.

    Attributes
    ----------
    late
        Events that came when their window was closed, and the few that no window had room for.
    overflow
        Events counted as `OTHER`.
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
        # The scope that was silent longest first.
        self._scopes: OrderedDict[Scope, _Open] = OrderedDict()
        # The same by tenant.
        self._room = TenantLru[Scope, bool](scopes_max)
        self._closed = TenantLru[Scope, int](scopes_max)
        self._count = 0
        # Windows by the tenant for whose share they count, `_NEWCOMERS` for a tenant that was one when it opened them.
        self._held: Counter[str] = Counter()
        self._newcomers: set[Key] = set()
        self._minute = self._new_scopes = 0
        self._idle_at = 0
        self._dirty: dict[Key, Window] = {}
        self._names: dict[Segment, Segment] = {}

    def add(self, chunk: Chunk, signals: Mapping[str, Sequence[Any]]) -> list[WindowRow]:
        """Count a chunk; return the windows it closed."""
        nothing: Sequence[Any] = [None] * len(chunk)
        injection = signals.get("injection", nothing)
        grounding = signals.get("hallucination", nothing)
        out: list[WindowRow] = []
        times = [column.tolist() for column in chunk.timing]
        edge = self.lateness_ms + WINDOW_MS
        for event, at, mark, broker, segment, place, offset, refusal, *said in zip(
            chunk.events, *times, chunk.segments, chunk.scopes, chunk.offsets.tolist(), chunk.refusals, injection,
            grounding, strict=True,
        ):  # fmt: skip
            if broker >= self._idle_at:
                out += self._close_idle(broker)
            start = at - at % WINDOW_MS
            when = (start, broker, mark)
            scope = self._scope(place, when, out)
            if scope is not None and start < scope.closed_before:
                self.late += 1
                continue
            key = (start, segment)
            window = None if scope is None else scope.windows.get(key)
            if window is None:
                if (found := self._window(place, segment, scope, when, out)) is None:
                    self.late += 1
                    continue
                home, key, window = found
                if home is not scope and mark - edge >= home.closed_before:
                    out += self._close_before(home, mark)
            self._dirty[key] = window
            window.version = offset
            count(window, event, refusal is True)
            count_signals(window, *said)
            if scope is not None and mark - edge >= scope.closed_before:
                out += self._close_before(scope, mark)
        return out

    def _close_before(self, scope: _Open, mark: int) -> list[WindowRow]:
        scope.closed_before = (mark - self.lateness_ms) // WINDOW_MS * WINDOW_MS
        return self._close(scope, [k for k in scope.windows if k[0] < scope.closed_before])

    def _window(
        self, place: Scope, segment: Segment, scope: _Open | None, when: When, out: list[WindowRow]
    ) -> tuple[_Open, Key, Window] | None:
        """Return the window, a new one or one of `OTHER`, in which an event is counted; None where none has room."""
        for way, (where, named) in enumerate(_ways(place, segment)):
            home = scope if where == place else self._scope(where, when, out) if scope or where == EVERYONE else None
            if home is None or when[0] < home.closed_before:
                continue
            key = (when[0], named)
            window = home.windows.get(key)
            if window is None and self._has_room(where[0], home, way):
                key = (when[0], self._shared(named))
                window = self._opened(where, home, key)
            if window is not None:
                self.overflow += way > 0
                return home, key, window
        return None

    def _has_room(self, tenant: str, scope: _Open, way: int) -> bool:
        held = self._held[tenant if self._room.is_established(tenant) else _NEWCOMERS]
        return held < _SHARES[way] * (self.windows_max - self._count) and (
            way > 0 or len(scope.windows) < self.scope_windows_max
        )

    def _opened(self, place: Scope, scope: _Open, key: Key) -> Window:
        group = place[0]
        if not self._room.is_established(group):
            group = _NEWCOMERS
            self._newcomers.add(key)
        self._held[group] += 1
        self._count += 1
        window = scope.windows[key] = Window()
        return window

    def updated_windows(self, *, force: bool = False) -> Iterator[dict[str, Any]]:
        """Yield absolute values of the open windows that changed since they were last yielded (all, if forced).

        One at a time: of thousands of segments, all rows at once would be most of the memory they need.
        """
        changed = dict(self._all()) if force else self._dirty
        self._dirty = {}
        for key in sorted(changed):
            yield WindowRow(*key, self.partition, changed[key]).row()

    def _all(self) -> Iterator[tuple[Key, Window]]:
        for scope in self._scopes.values():
            yield from scope.windows.items()

    def _scope(self, place: Scope, when: When, out: list[WindowRow]) -> _Open | None:
        """Return the windows of a scope, which is now the last to have been seen; None if too many are new."""
        scope = self._scopes.get(place)
        if scope is None:
            scope = self._begin(place, when, out)
        else:
            self._scopes.move_to_end(place)
            self._room.get(place[0], place)
        if scope is not None:
            _, scope.seen, scope.mark = when
        return scope

    def _begin(self, place: Scope, when: When, out: list[WindowRow]) -> _Open | None:
        start, broker, _ = when
        minute = (broker or start) // WINDOW_MS
        if minute != self._minute:
            self._minute, self._new_scopes = minute, 0
        if self._new_scopes >= self.new_scopes_max and place != EVERYONE:
            return None
        self._new_scopes += 1
        tenant = intern(place[0])
        own = (tenant, intern(place[1]))
        scope = self._scopes[own] = _Open(self._closed.pop(tenant, own) or 0)
        for _, gone, _ in self._room.put(tenant, own, True):
            out += self._rest(gone)
        return scope

    def _shared(self, segment: Segment) -> Segment:
        """Return the one object that all windows of a segment have as their key."""
        found = self._names.get(segment)
        if found is None:
            if len(self._names) > 2 * self._count + 1000:
                self._names = {known: known for (_, known), _ in self._all()}
            found = Segment(*map(intern, segment))
            self._names[found] = found
        return found

    def _close_idle(self, broker: int) -> list[WindowRow]:
        """Close the scopes that were silent for `IDLE_MS` when the broker took a record."""
        out: list[WindowRow] = []
        while self._scopes:
            place, scope = next(iter(self._scopes.items()))
            # Beyond the other end it has a time that is no broker's: it must not keep those behind it open for ever.
            if -IDLE_MS < broker - scope.seen < IDLE_MS:
                self._idle_at = min(scope.seen, broker) + IDLE_MS
                break
            self._room.pop(place[0], place)
            out += self._rest(place)
        else:
            self._idle_at = broker + IDLE_MS
        return out

    def _rest(self, place: Scope) -> list[WindowRow]:
        """Close all windows of a scope; keep until when they are closed, or what comes late would open them anew.

        Not those of skewed events, which are counted at the broker's time: far ahead where history is replayed.
        """
        scope = self._scopes.pop(place)
        ends = [start + WINDOW_MS for start, _ in scope.windows if start <= scope.mark + IDLE_MS]
        newest = max(ends, default=0)
        if before := max(scope.closed_before, newest):
            self._closed.put(place[0], place, before)
        return self._close(scope, list(scope.windows))

    def _close(self, scope: _Open, keys: list[Key]) -> list[WindowRow]:
        for key in keys:
            self._dirty.pop(key, None)
            group = key[1].tenant
            if key in self._newcomers:
                self._newcomers.remove(key)
                group = _NEWCOMERS
            self._held[group] -= 1
            if not self._held[group]:
                del self._held[group]
        self._count -= len(keys)
        return [WindowRow(*key, self.partition, scope.windows.pop(key)) for key in sorted(keys)]

    def state(self) -> State:
        """Everything needed to continue, the scope that was silent longest first."""
        scopes = [
            # A copy: the snapshot is packed in a thread, while these windows go on counting.
            [*place, found.closed_before, found.seen, found.mark, [self._row(k, w) for k, w in found.windows.items()]]
            for place, found in self._scopes.items()
        ]
        places = {place: k for k, place in enumerate(self._scopes)}
        return {
            "scopes": scopes,
            "room": [places[place] for place in self._room],
            "room_tenants": self._room.tenants(),
            "closed": [[*place, before] for _, place, before in self._closed.items()],
            "closed_tenants": self._closed.tenants(),
            "marks": [self.late, self.overflow, self._idle_at, self._minute, self._new_scopes],
        }

    def _row(self, key: Key, window: Window) -> list[Any]:
        return [key[0], list(key[1]), key in self._newcomers, window.state()]

    @strict_restore
    def restore(self, state: State) -> None:
        """Continue from a state."""
        values: Any = state
        scopes: OrderedDict[Scope, _Open] = OrderedDict()
        newcomers: set[Key] = set()
        try:
            expect_at_most(values["scopes"], self._room.capacity, "scopes")
            for *place, closed_before, seen, mark, windows in values["scopes"]:
                tenant, app = expect_texts(place, 2)
                found = {
                    (start, Segment(*expect_texts(segment))): window_from_state(w) for start, segment, _, w in windows
                }
                newcomers |= {(start, Segment(*segment)) for start, segment, newcomer, _ in windows if newcomer}
                expect_times_ms(closed_before, seen, mark, *(start for start, _ in found))
                scopes[tenant, app] = _Open(closed_before, seen, mark, found)
            expect_at_most([w for scope in scopes.values() for w in scope.windows], self.windows_max, "windows")
            late, overflow, idle_at, minute, new_scopes = values["marks"]
            expect_counts(late, overflow, minute, new_scopes)
            ended = [(expect_texts(place, 2), before) for *place, before in values["closed"]]
            expect_times_ms(idle_at, *(before for _, before in ended))
            self._closed.restore(values["closed_tenants"], ((t, a) for (t, a), _ in ended), (b for _, b in ended))
            places = list(scopes)
            self._room.restore(values["room_tenants"], [places[k] for k in values["room"]], [True] * len(places))
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"aggregates: {error}; they start cold", part="aggregates") from error
        self._scopes, self._newcomers = scopes, newcomers
        # When a window was last published is no part of the state (it depends on the clock): publish all again.
        self._dirty = dict(self._all())
        self._count = len(self._dirty)
        self._held = Counter(_NEWCOMERS if key in newcomers else key[1].tenant for key in self._dirty)
        self.late, self.overflow, self._idle_at, self._minute, self._new_scopes = values["marks"]


def _ways(place: Scope, segment: Segment) -> Iterator[tuple[Scope, Segment]]:
    """Yield the scopes and segments in which an event may be counted: its own, then what stands for ever more."""
    tenant, app = place
    yield place, segment
    yield place, Segment(tenant, app, OTHER, OTHER)
    yield (tenant, OTHER), Segment(tenant, OTHER, OTHER, OTHER)
    yield EVERYONE, Segment(OTHER, OTHER, OTHER, OTHER)
