"""One-minute windows by event time: absolute, versioned, integers only, so that merging and repeating are exact."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from sys import intern
from typing import Any, NamedTuple, TypeAlias

from agents.base import Chunk, Segment, State
from agents.histogram import Tally, bucket
from agents.watermark import SCOPES_MAX, Scope
from schemas.errors import StateError
from schemas.event import LLMEvent

WINDOW_MS = 60_000
IDLE_MS = 3_600_000
"""Time of the broker after which the windows of a scope that fell silent are closed, to free their memory."""
_NANO = 1e9
Key: TypeAlias = "tuple[int, Segment]"


@dataclass(slots=True)
class Window:
    """What is counted; names are those of `schemas.outputs.Aggregate`.

    The buckets of its three histograms are in one tally: bucket k of histogram h is the number h << 16 | k.
    """

    version: int = -1
    events: int = 0
    errors: int = 0
    refusals: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nanousd: int = 0
    injection_flags: int = 0
    hallucination_flags: int = 0
    grounded: int = 0
    buckets: Tally = field(default_factory=Tally)


_NAMES = tuple(f.name for f in fields(Window))
_COUNTS = _NAMES[:-1]
_counts_of = attrgetter(*_COUNTS)
HISTOGRAMS = ("latency_ms", "ttft_ms", "grounding")
_KIND_BITS = 16
_LATENCY, _TTFT, _GROUNDING = (h << _KIND_BITS for h in range(len(HISTOGRAMS)))


class SegmentWindow(NamedTuple):
    """A segment's window, from which its row is made when it is written: thousands may close at once."""

    start: int
    segment: Segment
    partition: int
    window: Window

    def row(self) -> dict[str, Any]:
        """Write it as `schemas.outputs.Aggregate` has it."""
        row = {"window_start": _written(self.start), **self.segment._asdict(), "source_partition": self.partition}
        row.update(zip(_COUNTS, _counts_of(self.window), strict=True))
        return row | _histograms(self.window.buckets.counts())


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
    those beyond the bounds below.

    Parameters
    ----------
    lateness_ms
        Event time a window stays open after its end.
    partition
        Part of each window's identity: parts of several partitions merge by addition.
    windows_max
        Most open windows; beyond it the oldest of the scope that was silent longest are closed early (counted in
        `evicted`).
    scope_windows_max
        Most open windows of one scope; beyond it its own oldest are closed early (counted likewise).
    scopes_max
        Scopes with open windows; and as many whose windows are closed, of which is known until when.
    """

    def __init__(
        self,
        lateness_ms: int,
        partition: int,
        windows_max: int = 100_000,
        scope_windows_max: int = 16_384,
        scopes_max: int = SCOPES_MAX,
    ) -> None:
        self.lateness_ms = lateness_ms
        self.partition = partition
        self.windows_max = windows_max
        self.scope_windows_max = scope_windows_max
        self.scopes_max = scopes_max
        self.late = 0
        self.evicted = 0
        self._scopes: OrderedDict[Scope, _Open] = OrderedDict()
        self._closed: OrderedDict[Scope, int] = OrderedDict()
        self._count = 0
        self._idle_at = 0
        self._dirty: dict[Key, Window] = {}
        self._names: dict[Segment, Segment] = {}

    def add(self, chunk: Chunk, signals: Mapping[str, Sequence[Any]]) -> list[SegmentWindow]:
        """Count a chunk; return the windows it closed."""
        nothing: Sequence[Any] = [None] * len(chunk)
        injection = signals.get("injection", nothing)
        grounding = signals.get("hallucination", nothing)
        out: list[SegmentWindow] = []
        times = [column.tolist() for column in chunk.timing]
        edge = self.lateness_ms + WINDOW_MS
        for event, at, mark, broker, segment, place, offset, refusal, *said in zip(
            chunk.events, *times, chunk.segments, chunk.places, chunk.offsets.tolist(), chunk.refusals, injection,
            grounding, strict=True,
        ):  # fmt: skip
            if broker >= self._idle_at:
                out += self._close_idle(broker)
            scope = self._scopes.get(place)
            if scope is None:
                scope = self._begin(place)
            else:
                self._scopes.move_to_end(place)
            scope.seen, scope.mark = broker, mark
            start = at - at % WINDOW_MS
            if start < scope.closed_before:
                self.late += 1
                continue
            key = (start, segment)
            window = scope.windows.get(key)
            if window is None:
                key = (start, self._shared(segment))
                window = scope.windows[key] = Window()
                self._count += 1
            self._dirty[key] = window
            window.version = offset
            _count(window, event, refusal is True)
            _count_signals(window, *said)
            if mark - edge >= scope.closed_before:
                scope.closed_before = (mark - self.lateness_ms) // WINDOW_MS * WINDOW_MS
                out += self._close(scope, [k for k in scope.windows if k[0] < scope.closed_before])
            if self._count > self.windows_max or len(scope.windows) > self.scope_windows_max:
                out += self._beyond_bounds(scope)
            if len(self._scopes) > self.scopes_max:
                out += self._rest(next(iter(self._scopes)))
        return out

    def dirty(self, *, force: bool = False) -> Iterator[dict[str, Any]]:
        """Yield absolute values of the open windows that changed since they were last yielded (all, if forced).

        One at a time: of thousands of segments, all rows at once would be most of the memory they need.
        """
        changed = dict(self._all()) if force else self._dirty
        self._dirty = {}
        for key in sorted(changed):
            yield SegmentWindow(*key, self.partition, changed[key]).row()

    def _all(self) -> Iterator[tuple[Key, Window]]:
        for scope in self._scopes.values():
            yield from scope.windows.items()

    def _begin(self, place: Scope) -> _Open:
        scope = self._scopes[intern(place[0]), intern(place[1])] = _Open(self._closed.pop(place, 0))
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

    def _close_idle(self, broker: int) -> list[SegmentWindow]:
        """Close the scopes that were silent for `IDLE_MS` when the broker took a record."""
        out: list[SegmentWindow] = []
        while self._scopes:
            place, scope = next(iter(self._scopes.items()))
            # Beyond the other end it has a time that is no broker's: it must not keep those behind it open for ever.
            if -IDLE_MS < broker - scope.seen < IDLE_MS:
                self._idle_at = min(scope.seen, broker) + IDLE_MS
                break
            out += self._rest(place)
        else:
            self._idle_at = broker + IDLE_MS
        return out

    def _rest(self, place: Scope) -> list[SegmentWindow]:
        """Close all windows of a scope; keep until when they are closed, or what comes late would open them anew.

        Not those of skewed events, which are counted at the broker's time: far ahead where history is replayed.
        """
        scope = self._scopes.pop(place)
        ends = [start + WINDOW_MS for start, _ in scope.windows if start <= scope.mark + IDLE_MS]
        newest = max(ends, default=0)
        self._closed[place] = max(scope.closed_before, newest)
        if len(self._closed) > self.scopes_max:
            self._closed.popitem(last=False)
        return self._close(scope, list(scope.windows))

    def _beyond_bounds(self, scope: _Open) -> list[SegmentWindow]:
        if len(scope.windows) <= self.scope_windows_max:
            # Those without a window are never in the way of the bound.
            scope = next(found for found in self._scopes.values() if found.windows)
        oldest = min(start for start, _ in scope.windows)
        scope.closed_before = max(scope.closed_before, oldest + WINDOW_MS)
        gone = [k for k in scope.windows if k[0] == oldest]
        self.evicted += len(gone)
        return self._close(scope, gone)

    def _close(self, scope: _Open, keys: list[Key]) -> list[SegmentWindow]:
        for key in keys:
            self._dirty.pop(key, None)
        self._count -= len(keys)
        return [SegmentWindow(*key, self.partition, scope.windows.pop(key)) for key in sorted(keys)]

    def state(self) -> State:
        """Everything needed to continue, the scope that was silent longest first."""
        scopes = [
            # A copy: the snapshot is packed in a thread, while these windows go on counting.
            [*place, open_.closed_before, open_.seen, open_.mark, [_row(key, w) for key, w in open_.windows.items()]]
            for place, open_ in self._scopes.items()
        ]
        return {
            "scopes": scopes,
            "closed": [[*place, before] for place, before in self._closed.items()],
            "marks": [self.late, self.evicted, self._idle_at],
        }

    def restore(self, state: State) -> None:
        """Continue from a state."""
        values: Any = state
        scopes: OrderedDict[Scope, _Open] = OrderedDict()
        try:
            for tenant, app, closed_before, seen, mark, windows in values["scopes"]:
                found = {(start, Segment(*segment)): _window(w) for start, segment, w in windows}
                scopes[tenant, app] = _Open(int(closed_before), int(seen), int(mark), found)
            closed = OrderedDict(((tenant, app), int(before)) for tenant, app, before in values["closed"])
            late, evicted, idle_at = map(int, values["marks"])
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"aggregates: {error}; they start cold") from error
        self._scopes, self._closed = scopes, closed
        # When a window was last published is no part of the state (it depends on the clock): publish all again.
        self._dirty = dict(self._all())
        self._count = len(self._dirty)
        self.late, self.evicted, self._idle_at = late, evicted, idle_at


def _row(key: Key, window: Window) -> list[Any]:
    return [key[0], list(key[1]), [*_counts_of(window), window.buckets.counts()]]


@lru_cache(maxsize=64)
def _written(start: int) -> str:
    return datetime.fromtimestamp(start / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _window(values: list[Any]) -> Window:
    counts = dict(zip(_COUNTS, values[:-1], strict=True))
    return Window(**counts, buckets=Tally(values[-1]))


def _histograms(buckets: Mapping[int, int]) -> dict[str, dict[int, int]]:
    """Return bucket to count of each histogram."""
    found: dict[str, dict[int, int]] = {name: {} for name in HISTOGRAMS}
    for key, count in buckets.items():
        found[HISTOGRAMS[key >> _KIND_BITS]][key & (1 << _KIND_BITS) - 1] = count
    return found


def _count(window: Window, event: LLMEvent, refusal: bool) -> None:
    window.events += 1
    window.errors += event.error is not None
    window.refusals += refusal
    if (usage := event.usage) is not None:
        window.input_tokens += usage.input_tokens
        window.output_tokens += usage.output_tokens
        window.cached_tokens += usage.cached_tokens
        window.reasoning_tokens += usage.reasoning_tokens
    if event.cost_usd is not None:
        window.cost_nanousd += round(event.cost_usd * _NANO)
    if event.latency_ms is not None:
        window.buckets.add(_LATENCY | bucket(event.latency_ms))
    if event.ttft_ms is not None:
        window.buckets.add(_TTFT | bucket(event.ttft_ms))


def _count_signals(window: Window, injection: Any, hallucination: Any) -> None:
    if injection is not None:
        window.injection_flags += injection.flag
    if hallucination is not None and hallucination.grounding is not None:
        window.hallucination_flags += hallucination.flag
        window.grounded += 1
        window.buckets.add(_GROUNDING | min(19, math.floor(hallucination.grounding * 20)))
