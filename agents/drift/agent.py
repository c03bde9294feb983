"""Drift agent: detect changes of the traffic of each app."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from agents.base import AgentOutput, ChangePoint, Chunk, State
from agents.common.state_validation import strict_restore
from agents.drift.alarm_report import describe
from agents.drift.calibration import calibrate
from agents.drift.chunk_kernel import advance
from agents.drift.columns import Columns, extract_columns
from agents.drift.config import DriftConfig
from agents.drift.control_limits import control_limits
from agents.drift.layout import BINARY, OUTPUT, SCALARS, SIGNALS, TEXT, bootstrap_rows
from agents.drift.segment_store import EXAMPLES, SegmentStore
from agents.drift.signal import LEARNING, NO_TEXT, DriftSignal
from agents.drift.word_embedding import DIMENSIONS
from schemas.errors import StateError
from schemas.feedback import Feedback

_FLAGGED = [SCALARS.index(name) for name in BINARY[:-1]]
"""Columns of the binary features of an event; the last binary feature, unfamiliar texts, is computed by the kernel."""


class DriftAgent:
    """Change detection on the scalars and the text of each scope (tenant, app).

    The reference of an app is learned from its first events. Scalars are monitored by CUSUMs, text by multivariate
    moving averages of a cheap embedding. Limits follow from the configured number of events per false alarm. The
    reference is learned again after a change, so each change is reported once. ``docs/models/drift.md`` lists what the
    agent detects, with which delay, and what it misses.

    Parameters
    ----------
    config
        See `DriftConfig`.

    Attributes
    ----------
    segments
        Records of all apps; ``segments.evicted`` counts evicted apps.

    Examples
    --------
    >>> from schemas.event import LLMEvent
    >>> def event(i: int) -> LLMEvent:
    ...     latency = (900.0 if i < 600 else 1800.0) + i % 7
    ...     return LLMEvent(event_id=f"e{i}", call_id=f"c{i}", time="2026-01-01T00:00:00Z", tenant="acme", app="chat",
    ...                     latency_ms=latency)
    >>> change = DriftAgent().score(Chunk([event(i) for i in range(700)])).changes[0]
    >>> change.signal, change.since_offset, round(change.before, -2), round(change.after, -2)
    ('drift.latency_ms', 600, 900.0, 1800.0)
    """

    name: ClassVar[str] = "drift"
    version: ClassVar[int] = 6

    def __init__(self, config: DriftConfig | None = None) -> None:
        self.config = config or DriftConfig()
        self.segments = self._new_store()
        self._limits = control_limits(self.config)
        self._work = (np.zeros(DIMENSIONS), np.zeros(TEXT), np.zeros(len(OUTPUT)))

    @property
    def evicted(self) -> int:
        """Number of apps evicted to admit another app."""
        return self.segments.evicted

    def _new_store(self) -> SegmentStore:
        return SegmentStore(self.config.max_segments, bootstrap_rows(self.config.reference_events))

    def score(self, chunk: Chunk) -> AgentOutput:
        """Compare each event with the reference of its app, then update the state."""
        distances = np.full(len(chunk), np.nan)
        changes: list[ChangePoint] = []
        if len(chunk):
            data = extract_columns(chunk, self.config.text_bytes)
            for start, rows in self._batches(chunk):
                changes += self._score_batch(chunk, data, start, rows, distances)
        return AgentOutput([_signal(d) for d in distances.tolist()], changes)

    def _batches(self, chunk: Chunk) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Yield the start of each run of events without an eviction, and the row of each of its events."""
        start, rows = 0, list[int]()
        for i, scope in enumerate(chunk.scopes):
            row = self.segments.get_or_create(scope)
            if self.segments.evicted_rows:
                yield start, np.array(rows, np.int64)
                self.segments.clear_evicted()
                start, rows = i, []
            rows.append(row)
        yield start, np.array(rows, np.int64)

    def _score_batch(
        self, chunk: Chunk, data: Columns, start: int, rows: NDArray[np.int64], distances: NDArray[np.float64]
    ) -> Iterator[ChangePoint]:
        row_of = np.concatenate((np.zeros(start, np.int64), rows))
        alarm, i, stop = np.zeros(3), start, start + len(rows)
        first, unfamiliar, store = start, np.zeros(len(chunk), np.bool_), self.segments
        while True:
            i = advance(
                i, stop, store.rows, store.pool, row_of, data, self._limits, self._work, distances, unfamiliar, alarm
            )
            flags = (*(data.scalars[:, _FLAGGED].T > 0.0), unfamiliar)
            self._add_examples(chunk, row_of, first, min(i + 1, stop), flags)
            if i == stop:
                return
            row = int(row_of[i])
            i += 1
            first = i
            if alarm[0] == 0.0:
                calibrate(store.rows[row], store.pool, self._limits)
                continue
            event = chunk.events[i - 1]
            scope = (event.tenant, event.app)
            yield describe(store.rows[row], i - 1, alarm.tolist(), scope, store.examples(row), self.config)
            store.clear(row)

    def _add_examples(
        self, chunk: Chunk, row_of: NDArray[np.int64], start: int, stop: int, flags: Sequence[NDArray[np.bool_]]
    ) -> None:
        """Store the latest events of each row, and the latest events with each binary feature."""
        ids: dict[int, list[str]] = {}
        rows = row_of[start:stop].tolist()
        for row, event in zip(reversed(rows), reversed(chunk.events[start:stop]), strict=True):
            latest = ids.setdefault(row, [])
            if len(latest) < EXAMPLES:
                latest.append(event.event_id)
        for row, latest in ids.items():
            self.segments.add_examples(row, latest[::-1])
        for kind, flagged in enumerate(flags):
            for k in np.flatnonzero(flagged[start:stop]).tolist():
                i = start + k
                self.segments.add_flagged(rows[k], kind, (chunk.events[i].event_id, int(chunk.offsets[i])))

    def learn(self, feedback: Feedback) -> bool:  # noqa: ARG002 - part of the protocol
        """Return False: the agent learns its reference from the stream, not from labels."""
        return False

    def state(self) -> State:
        """Return the records of all apps, one column per field."""
        return {
            "version": self.version,
            "config": asdict(self.config),
            "signals": list(SIGNALS),
            "segments": self.segments.state(),
        }

    @strict_restore
    def restore(self, state: State) -> None:
        """Continue from `state`; the agent is unchanged if the state does not fit."""
        segments = self._new_store()
        try:
            expected = (self.version, asdict(self.config), list(SIGNALS))
            if (state["version"], state["config"], list(state["signals"])) != expected:  # type: ignore[arg-type]
                message = "drift: the state was written by another version or with other settings; start cold"
                raise StateError(message, part="drift", code="settings")
            segments.restore(state["segments"])  # type: ignore[arg-type]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StateError(f"drift: the state does not fit ({error!r}); start cold", part="drift") from error
        self.segments = segments


def _signal(distance: float) -> DriftSignal:
    if math.isnan(distance):
        return NO_TEXT
    return LEARNING if distance < 0.0 else DriftSignal(round(distance, 6), learning=False)
