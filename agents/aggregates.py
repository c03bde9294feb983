"""One-minute windows by event time: absolute, versioned, integers only, so that merging and repeating are exact."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from sys import intern
from typing import Any, NamedTuple, TypeAlias

from agents.base import Chunk, Segment, State
from agents.clock import ALONE, BELIEVED, StreamClock
from agents.fit import counts, strict_restore, texts, time_ms, within
from agents.histogram import Tally, bucket
from schemas.errors import StateError
from schemas.event import LLMEvent

WINDOW_MS = 60_000
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


class Aggregator:
    """The windows of one partition.

    A window closes when the partition's event time (`agents.clock.StreamClock`) is ``lateness_ms`` past its end. What
    comes later is counted in `late` and in no window: a closed window's value never changes. A single event moves the
    time by no more than ``lateness_ms``, a minute at least; and the first `BELIEVED` events close no window.

    Parameters
    ----------
    lateness_ms
        Event time a window stays open after its end.
    partition
        Part of each window's identity: parts of several partitions merge by addition.
    windows_max
        Most open windows; beyond it the oldest are closed early (counted in `evicted`).
    """

    def __init__(self, lateness_ms: int, partition: int, windows_max: int = 100_000) -> None:
        self.lateness_ms = lateness_ms
        self.partition = partition
        self.windows_max = windows_max
        self.late = 0
        self.evicted = 0
        self._clock = StreamClock(max(lateness_ms, WINDOW_MS), alone=ALONE, doubted=BELIEVED)
        self._closed_before = 0
        self._open: dict[Key, Window] = {}
        self._dirty: set[Key] = set()
        self._names: dict[Segment, Segment] = {}

    def add(self, chunk: Chunk, signals: Mapping[str, Sequence[Any]]) -> list[SegmentWindow]:
        """Count a chunk; return the windows it closed."""
        nothing: Sequence[Any] = [None] * len(chunk)
        injection = signals.get("injection", nothing)
        grounding = signals.get("hallucination", nothing)
        clock = self._clock
        out: list[SegmentWindow] = []
        times = chunk.times.tolist()
        offsets = chunk.offsets.tolist()
        for event, at, segment, offset, refusal, *said in zip(
            chunk.events, times, chunk.segments, offsets, chunk.refusals, injection, grounding, strict=True
        ):
            start = at - at % WINDOW_MS
            if start < self._closed_before:
                self.late += 1
                clock.ahead = max(0, clock.ahead - 1)  # it is not among those who say that time went on
                continue
            key = (start, segment)
            window = self._open.get(key)
            if window is None:
                key = (start, self._shared(segment))
                window = self._open[key] = Window()
            self._dirty.add(key)
            window.version = offset
            _count(window, event, refusal is True)
            _count_signals(window, *said)
            if at > clock.now or clock.ahead or len(self._open) > self.windows_max:
                out += self._advance(at, segment)
        return out

    def dirty(self, *, force: bool = False) -> Iterator[dict[str, Any]]:
        """Yield absolute values of the open windows that changed since they were last yielded (all, if forced).

        One at a time: of thousands of segments, all rows at once would be most of the memory they need.
        """
        keys = sorted(self._open.keys() if force else self._dirty)
        self._dirty.clear()
        for key in keys:
            yield SegmentWindow(*key, self.partition, self._open[key]).row()

    def _shared(self, segment: Segment) -> Segment:
        """Return the one object that all windows of a segment have as their key."""
        found = self._names.get(segment)
        if found is None:
            if len(self._names) > 2 * len(self._open) + 1000:
                self._names = {known: known for _, known in self._open}
            found = Segment(*map(intern, segment))
            self._names[found] = found
        return found

    def _advance(self, at: int, segment: Segment) -> list[SegmentWindow]:
        edge = (self._clock.advance(at, f"{segment.tenant}/{segment.app}") - self.lateness_ms) // WINDOW_MS * WINDOW_MS
        out: list[SegmentWindow] = []
        if edge > self._closed_before:
            self._closed_before = edge
            out = self._close([k for k in self._open if k[0] + WINDOW_MS <= edge])
        if len(self._open) > self.windows_max:
            oldest = min(start for start, _ in self._open)
            self._closed_before = max(self._closed_before, oldest + WINDOW_MS)
            gone = [k for k in self._open if k[0] == oldest]
            self.evicted += len(gone)
            out += self._close(gone)
        return out

    def _close(self, keys: list[Key]) -> list[SegmentWindow]:
        self._dirty.difference_update(keys)
        return [SegmentWindow(*key, self.partition, self._open.pop(key)) for key in sorted(keys)]

    def state(self) -> State:
        """Everything needed to continue."""
        windows = [
            # A copy: the snapshot is packed in a thread, while this window goes on counting.
            [start, list(segment), [*_counts_of(w), w.buckets.counts()]]
            for (start, segment), w in self._open.items()
        ]
        return {
            "windows": windows,
            "marks": [self.late, self.evicted, self._closed_before],
            "clock": self._clock.state(),
        }

    @strict_restore
    def restore(self, state: State) -> None:
        """Continue from a state."""
        values: Any = state
        try:
            windows = {(s, Segment(*texts(g))): _window(w) for s, g, w in values["windows"]}
            within(values["windows"], self.windows_max, "windows")
            late, evicted, closed_before = map(int, values["marks"])
            counts(late, evicted)
            time_ms(closed_before, *(start for start, _ in windows))
            self._clock.restore(values["clock"])
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"aggregates: {error}; they start cold") from error
        # When a window was last published is no part of the state (it depends on the clock): publish all again.
        self._open, self._dirty = windows, set(windows)
        self.late, self.evicted, self._closed_before = late, evicted, closed_before


@lru_cache(maxsize=64)
def _written(start: int) -> str:
    return datetime.fromtimestamp(start / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _window(values: list[Any]) -> Window:
    *given, buckets = values
    counts(*given, *buckets.values())
    if any(type(key) is not int or not 0 <= key < len(HISTOGRAMS) << _KIND_BITS for key in buckets):
        raise ValueError("a bucket of no histogram")
    return Window(**dict(zip(_COUNTS, given, strict=True)), buckets=Tally(buckets))


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
