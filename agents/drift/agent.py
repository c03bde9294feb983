"""Watch whether the traffic of each application is still what it was."""

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
from agents.drift.columns import Columns, columns
from agents.drift.config import DriftConfig
from agents.drift.control_limits import limits
from agents.drift.layout import FLAGS, OUTPUT, SCALARS, SIGNALS, TEXT, rows_kept
from agents.drift.segment_store import EXAMPLES, Segments
from agents.drift.signal import LEARNING, NO_TEXT, DriftSignal
from agents.drift.word_embedding import DIMENSIONS
from schemas.errors import StateError
from schemas.feedback import Feedback

_FLAGGED = [SCALARS.index(name) for name in FLAGS[:-1]]
"""Columns of the flags that an event comes with; the last flag, of unfamiliar texts, is the kernel's to find."""


class DriftAgent:
    """Scalars and text of each (tenant, app) against a reference learned from its own first events.

    Scalars go through CUSUMs, text through a multivariate moving average of a cheap embedding; limits follow from the
    stated number of events per false alarm. After a change the reference is learned anew, so each change is told once.
    ``docs/models/drift.md`` says what it sees, how soon, and what it does not see.

    Parameters
    ----------
    config
        See `DriftConfig`.

    Attributes
    ----------
    segments
        The records of all segments; ``segments.evicted`` counts those given up.
    """

    name: ClassVar[str] = "drift"
    version: ClassVar[int] = 6

    def __init__(self, config: DriftConfig | None = None) -> None:
        self.config = config or DriftConfig()
        self.segments = self._none()
        self._limits = limits(self.config)
        self._work = (np.zeros(DIMENSIONS), np.zeros(TEXT), np.zeros(len(OUTPUT)))

    @property
    def evicted(self) -> int:
        """Segments forgotten for others."""
        return self.segments.evicted

    def _none(self) -> Segments:
        return Segments(self.config.max_segments, rows_kept(self.config.reference_events))

    def score(self, chunk: Chunk) -> AgentOutput:
        """Compare each event with its segment's reference and advance the state by it."""
        distances = np.full(len(chunk), np.nan)
        changes: list[ChangePoint] = []
        if len(chunk):
            data = columns(chunk, self.config.text_bytes)
            for start, owner in self._runs(chunk):
                changes += self._run(chunk, data, start, owner, distances)
        return AgentOutput([_signal(d) for d in distances.tolist()], changes)

    def _runs(self, chunk: Chunk) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Stretches of events in which no row changes hands, each with the row of every event."""
        start, owner = 0, list[int]()
        for i, place in enumerate(chunk.scopes):
            row = self.segments.touch(place)
            if self.segments.gone:
                yield start, np.array(owner, np.int64)
                self.segments.clear_gone()
                start, owner = i, []
            owner.append(row)
        yield start, np.array(owner, np.int64)

    def _run(
        self, chunk: Chunk, data: Columns, start: int, owner: NDArray[np.int64], distances: NDArray[np.float64]
    ) -> Iterator[ChangePoint]:
        padded = np.concatenate((np.zeros(start, np.int64), owner))
        alarm, at, stop = np.zeros(3), start, start + len(owner)
        told, strange, kept = start, np.zeros(len(chunk), np.bool_), self.segments
        while True:
            at = advance(
                at, stop, kept.rows, kept.pool, padded, data, self._limits, self._work, distances, strange, alarm
            )
            self._remember(chunk, padded, told, min(at + 1, stop), (*(data.scalars[:, _FLAGGED].T > 0.0), strange))
            if at == stop:
                return
            row = int(padded[at])
            at += 1
            told = at
            if alarm[0] == 0.0:
                calibrate(kept.rows[row], kept.pool, self._limits)
                continue
            event = chunk.events[at - 1]
            key = (event.tenant, event.app)
            yield describe(kept.rows[row], at - 1, alarm.tolist(), key, kept.examples(row), self.config)
            kept.clear(row)

    def _remember(
        self, chunk: Chunk, owner: NDArray[np.int64], start: int, stop: int, flags: Sequence[NDArray[np.bool_]]
    ) -> None:
        """Keep the last events of each row, and the last with each flag."""
        ids: dict[int, list[str]] = {}
        rows = owner[start:stop].tolist()
        for row, event in zip(reversed(rows), reversed(chunk.events[start:stop]), strict=True):
            kept = ids.setdefault(row, [])
            if len(kept) < EXAMPLES:
                kept.append(event.event_id)
        for row, kept in ids.items():
            self.segments.remember(row, kept[::-1])
        for kind, flagged in enumerate(flags):
            for i in np.flatnonzero(flagged[start:stop]).tolist():
                at = start + i
                self.segments.flag(rows[i], kind, (chunk.events[at].event_id, int(chunk.offsets[at])))

    def learn(self, feedback: Feedback) -> bool:  # noqa: ARG002 - the protocol's; the stream itself is the teacher
        """Return False: labels say nothing about what is usual."""
        return False

    def state(self) -> State:
        """Return the records of all segments by columns."""
        return {
            "version": self.version,
            "config": asdict(self.config),
            "signals": list(SIGNALS),
            "segments": self.segments.state(),
        }

    @strict_restore
    def restore(self, state: State) -> None:
        """Continue from `state`; the agent is unchanged if it does not fit."""
        fresh = self._none()
        try:
            ours = (self.version, asdict(self.config), list(SIGNALS))
            if (state["version"], state["config"], list(state["signals"])) != ours:  # type: ignore[arg-type]
                raise StateError(
                    "drift: made by another version or with other settings; start cold", part="drift", code="settings"
                )
            fresh.restore(state["segments"])  # type: ignore[arg-type]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StateError(f"drift: {error!r}; start cold", part="drift") from error
        self.segments = fresh


def _signal(distance: float) -> DriftSignal:
    if math.isnan(distance):
        return NO_TEXT
    return LEARNING if distance < 0.0 else DriftSignal(round(distance, 6), learning=False)
