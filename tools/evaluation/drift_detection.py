"""Drift: when the agent alarms in each stream, and how that compares with when the stream did change."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.base import ChangePoint
from tools.evaluation.labelled_rows import Streamed
from tools.evaluation.scoring import CHUNK, Factory, Progress, score_rows, warm_up


@dataclass(frozen=True, slots=True)
class Stream:
    """What was found in one stream.

    Attributes
    ----------
    n
        Its rows.
    kind
        As the file says; empty where it does not.
    change_at
        Place of the first row after the change; None where there is none or the file does not say.
    alarms, signals
        Place of each alarm, and what moved.
    delay
        Rows from ``change_at`` to the first alarm at or after it, 0 if it is that very row; None if there is none.
    false_alarms
        Alarms before ``change_at``; all of them in a stream without a change; None where the file does not say.
    later_alarms
        Alarms after the first one that counts as found: neither right nor wrong.
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
    """Sums over streams.

    Attributes
    ----------
    n, streams
        Rows and streams.
    with_change, found
        Streams that change at a known place, and those with an alarm at or after it.
    mean_delay, median_delay
        Over those found.
    false_alarms
        Over all streams of which the file says whether they change.
    quiet_events
        Rows of those streams before a change, or of a stream without one.
    events_per_false_alarm
        The quotient of the two; None without a false alarm.
    us_per_event
        Microseconds within ``Agent.score``.
    """

    n: int
    streams: int
    with_change: int
    found: int
    mean_delay: float | None
    median_delay: float | None
    false_alarms: int
    quiet_events: int
    events_per_false_alarm: float | None
    us_per_event: float


@dataclass(frozen=True, slots=True)
class Drift:
    """The report; `tools.evaluation` says what each key means."""

    signal: str
    file: str
    chunk: int
    asked_events_per_false_alarm: int
    reference_events: int
    overall: DriftFigures
    by_kind: Mapping[str, DriftFigures]
    streams: Mapping[str, Stream]


def evaluate_drift(  # noqa: PLR0913, PLR0917 - what the command and the settings say
    file: str, rows: Sequence[Streamed], make: Factory, asked: int, reference: int, progress: Progress
) -> Drift:
    """Give all rows to one agent in the file's order, each stream as an application of its own."""
    warm_up(make, rows)
    found = score_rows(make(), rows, progress=progress)
    members: dict[str, list[int]] = {}
    for k, row in enumerate(rows):
        members.setdefault(row.stream, []).append(k)
    alarms: dict[str, list[tuple[int, ChangePoint]]] = {name: [] for name in members}
    for k, change in found.changes:
        alarms[rows[k].stream].append((rows[k].i, change))
    streams = {name: _stream(rows[at[0]], alarms[name], found.micros[at]) for name, at in members.items()}
    quiet = {name: _quiet(rows[at[0]], np.array([rows[k].i for k in at])) for name, at in members.items()}
    kinds = sorted({stream.kind for stream in streams.values() if stream.kind})
    by_kind = {kind: _sum(streams, quiet, [n for n, s in streams.items() if s.kind == kind]) for kind in kinds}
    return Drift("drift", file, CHUNK, asked, reference, _sum(streams, quiet, list(streams)), by_kind, streams)


def _stream(first: Streamed, alarms: Sequence[tuple[int, ChangePoint]], micros: NDArray[np.float64]) -> Stream:
    places = [i for i, _ in alarms]
    change = first.change_at
    after = [i for i in places if change is not None and i >= change]
    return Stream(
        n=len(micros),
        kind=first.kind,
        change_at=change,
        alarms=places,
        signals=[found.signal for _, found in alarms],
        delay=after[0] - change if after and change is not None else None,
        false_alarms=len(places) - len(after) if first.truth else None,
        later_alarms=len(after[1:]),
        us_per_event=float(micros.mean()),
    )


def _quiet(first: Streamed, places: NDArray[np.int64]) -> int:
    """Rows at which any alarm is a false one."""
    if not first.truth:
        return 0
    return len(places) if first.change_at is None else int((places < first.change_at).sum())


def _sum(streams: Mapping[str, Stream], quiet: Mapping[str, int], names: Sequence[str]) -> DriftFigures:
    chosen = [streams[name] for name in names]
    delays = [stream.delay for stream in chosen if stream.delay is not None]
    n, false = sum(stream.n for stream in chosen), sum(stream.false_alarms or 0 for stream in chosen)
    calm = sum(quiet[name] for name in names)
    return DriftFigures(
        n=n,
        streams=len(chosen),
        with_change=sum(stream.change_at is not None for stream in chosen),
        found=len(delays),
        mean_delay=float(statistics.mean(delays)) if delays else None,
        median_delay=float(statistics.median(delays)) if delays else None,
        false_alarms=false,
        quiet_events=calm,
        events_per_false_alarm=calm / false if false else None,
        us_per_event=sum(stream.us_per_event * stream.n for stream in chosen) / n,
    )
