"""Evaluation of drift: alarms of the agent in each stream, compared with the stream's real change."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.base import ChangePoint
from tools.evaluation.labelled_rows import DriftRow
from tools.evaluation.scoring import CHUNK, AgentFactory, Progress, score_rows, warm_up


@dataclass(frozen=True, slots=True)
class Stream:
    """Alarms in one stream.

    Attributes
    ----------
    n
        Number of rows.
    kind
        Kind of the change according to the file; empty if unknown.
    change_at
        Position of the first row after the change; None if there is no change or it is unknown.
    alarms, signals
        Position and signal of each alarm.
    delay
        Rows from ``change_at`` to the first alarm at or after it (0 if the alarm is at that row); None without such an
        alarm.
    false_alarms
        Number of alarms before ``change_at``, or of all alarms in a stream without a change; None if unknown.
    later_alarms
        Number of alarms after the detection, counted neither as correct nor as false.
    us_per_event
        Microseconds within ``Agent.score``.
    """

    n: int
    kind: str
    change_at: int | None
    alarms: Sequence[int]
    signals: Sequence[str]
    delay: int | None
    false_alarms: int | None
    later_alarms: int
    us_per_event: float


@dataclass(frozen=True, slots=True)
class DriftFigures:
    """Totals over streams.

    Attributes
    ----------
    n, streams
        Numbers of rows and streams.
    with_change, detected
        Streams with a known change, and streams in which the change was detected.
    mean_delay, median_delay
        Delay over the detected changes, in rows.
    false_alarms
        Number of false alarms over all streams with known truth.
    quiet_events
        Rows of streams with known truth before their change, or all rows if there is no change.
    events_per_false_alarm
        ``quiet_events`` divided by ``false_alarms``; None without a false alarm.
    us_per_event
        Microseconds within ``Agent.score``.
    """

    n: int
    streams: int
    with_change: int
    detected: int
    mean_delay: float | None
    median_delay: float | None
    false_alarms: int
    quiet_events: int
    events_per_false_alarm: float | None
    us_per_event: float


@dataclass(frozen=True, slots=True)
class DriftReport:
    """Report of the drift signal; `tools.evaluation` describes each key."""

    signal: str
    file: str
    chunk: int
    target_events_per_false_alarm: int
    reference_events: int
    overall: DriftFigures
    by_kind: Mapping[str, DriftFigures]
    streams: Mapping[str, Stream]


def evaluate_drift(  # noqa: PLR0913, PLR0917 - options of the command and settings
    file: str, rows: Sequence[DriftRow], make: AgentFactory, target: int, reference: int, progress: Progress
) -> DriftReport:
    """Score all rows with one agent in the file's order, each stream as its own application."""
    warm_up(make, rows)
    results = score_rows(make(), rows, progress=progress)
    members: dict[str, list[int]] = {}
    for k, row in enumerate(rows):
        members.setdefault(row.stream, []).append(k)
    alarms: dict[str, list[tuple[int, ChangePoint]]] = {name: [] for name in members}
    for k, change in results.changes:
        alarms[rows[k].stream].append((rows[k].i, change))
    streams = {name: _stream(rows[at[0]], alarms[name], results.micros[at]) for name, at in members.items()}
    quiet = {name: _quiet(rows[at[0]], np.array([rows[k].i for k in at])) for name, at in members.items()}
    kinds = sorted({stream.kind for stream in streams.values() if stream.kind})
    by_kind = {kind: _sum(streams, quiet, [n for n, s in streams.items() if s.kind == kind]) for kind in kinds}
    return DriftReport("drift", file, CHUNK, target, reference, _sum(streams, quiet, list(streams)), by_kind, streams)


def _stream(first: DriftRow, alarms: Sequence[tuple[int, ChangePoint]], micros: NDArray[np.float64]) -> Stream:
    positions = [i for i, _ in alarms]
    change = first.change_at
    after = [i for i in positions if change is not None and i >= change]
    return Stream(
        n=len(micros),
        kind=first.kind,
        change_at=change,
        alarms=positions,
        signals=[alarm.signal for _, alarm in alarms],
        delay=after[0] - change if after and change is not None else None,
        false_alarms=len(positions) - len(after) if first.change_known else None,
        later_alarms=len(after[1:]),
        us_per_event=float(micros.mean()),
    )


def _quiet(first: DriftRow, positions: NDArray[np.int64]) -> int:
    """Return the number of rows at which an alarm is a false alarm."""
    if not first.change_known:
        return 0
    return len(positions) if first.change_at is None else int((positions < first.change_at).sum())


def _sum(streams: Mapping[str, Stream], quiet: Mapping[str, int], names: Sequence[str]) -> DriftFigures:
    chosen = [streams[name] for name in names]
    delays = [stream.delay for stream in chosen if stream.delay is not None]
    n, false = sum(stream.n for stream in chosen), sum(stream.false_alarms or 0 for stream in chosen)
    quiet_events = sum(quiet[name] for name in names)
    return DriftFigures(
        n=n,
        streams=len(chosen),
        with_change=sum(stream.change_at is not None for stream in chosen),
        detected=len(delays),
        mean_delay=float(statistics.mean(delays)) if delays else None,
        median_delay=float(statistics.median(delays)) if delays else None,
        false_alarms=false,
        quiet_events=quiet_events,
        events_per_false_alarm=quiet_events / false if false else None,
        us_per_event=sum(stream.us_per_event * stream.n for stream in chosen) / n,
    )
