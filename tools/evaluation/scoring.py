"""Rows through an agent as events go through the worker: in chunks, labels after their scores."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agents.base import Agent, ChangePoint, Chunk
from schemas.event import LLMEvent
from schemas.feedback import Feedback

CHUNK = 256
FEEDBACK_CHUNK = 32
"""With feedback, labels are learned after each chunk of this many rows: soon, and never before their score."""
UNSCORED = -1.0
"""Score of a row that the agent does not score: below every score, as such a row is never flagged in production."""

Progress = Callable[[int], object]
Factory = Callable[[], Agent]


class Row(Protocol):
    """Anything with an event."""

    @property
    def event(self) -> LLMEvent:
        """What the agent is given."""
        ...


@dataclass(frozen=True, slots=True)
class Results:
    """What an agent said of each row, and what that took.

    Attributes
    ----------
    score
        float64[n], `UNSCORED` where it gave none.
    flag
        bool[n].
    micros
        float64[n], microseconds within ``Agent.score``; a chunk's time is shared out by the length of its rows' texts.
    changes
        What it found about the stream; ``index`` is the row's.
    given, learned
        Labels offered to the agent, and those it took.
    """

    score: NDArray[np.float64]
    flag: NDArray[np.bool_]
    micros: NDArray[np.float64]
    changes: list[tuple[int, ChangePoint]]
    given: int = 0
    learned: int = 0

    @property
    def unscored(self) -> NDArray[np.bool_]:
        """bool[n], rows without a score."""
        none: NDArray[np.bool_] = self.score == UNSCORED
        return none


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels to be given back, as of a signal: ``value`` of the rows in ``drawn``."""

    signal: str
    value: NDArray[np.bool_]
    drawn: NDArray[np.bool_]


def draw(n: int, share: float, seed: int) -> NDArray[np.bool_]:
    """Choose rows, each with the same chance; the choice depends on seed and place only, not on chunks."""
    chosen: NDArray[np.bool_] = np.random.default_rng(seed).random(n) < share
    return chosen


def warm_up(make: Factory, rows: Sequence[Row]) -> None:
    """Let kernels compile on an agent that is thrown away."""
    make().score(_chunk(rows[:CHUNK], 0))


def score_rows(
    agent: Agent, rows: Sequence[Row], labels: Labels | None = None, progress: Progress = lambda _: None
) -> Results:
    """Score all rows in order; with ``labels``, those of a chunk are learned when the whole chunk is scored."""
    n, step = len(rows), CHUNK if labels is None else FEEDBACK_CHUNK
    score, flag, micros = np.full(n, UNSCORED), np.zeros(n, np.bool_), np.zeros(n)
    changes: list[tuple[int, ChangePoint]] = []
    given = learned = 0
    for k in range(0, n, step):
        chunk = _chunk(rows[k : k + step], k)
        begin = time.perf_counter_ns()
        found = agent.score(chunk)
        spent = (time.perf_counter_ns() - begin) / 1000
        micros[k : k + step] = spent * _shares(chunk)
        for i, signal in enumerate(found.signals, start=k):
            if signal is not None and getattr(signal, "score", None) is not None:
                score[i], flag[i] = signal.score, signal.flag
        changes += [(k + change.index, change) for change in found.changes]
        if labels is not None:
            taken = [agent.learn(_feedback(rows[k + i].event, labels, k + i)) for i in _drawn(labels, k, step)]
            given, learned = given + len(taken), learned + sum(taken)
        progress(min(k + step, n))
    return Results(score, flag, micros, changes, given, learned)


def _chunk(rows: Sequence[Row], first: int) -> Chunk:
    return Chunk([row.event for row in rows], np.arange(first, first + len(rows), dtype=np.int64))


def _shares(chunk: Chunk) -> NDArray[np.float64]:
    """Each event's part of the chunk's text; a byte is added so that an event without text costs something too."""
    size = 1.0 + np.bincount(chunk.texts.event, np.diff(chunk.texts.start), len(chunk))
    return np.asarray(size / size.sum(), np.float64)


def _drawn(labels: Labels, first: int, step: int) -> list[int]:
    found: list[int] = np.flatnonzero(labels.drawn[first : first + step]).tolist()
    return found


def _feedback(event: LLMEvent, labels: Labels, i: int) -> Feedback:
    return Feedback.model_validate(
        {
            "feedback_id": f"label-{i}",
            "call_id": event.call_id,
            "time": event.time,
            "tenant": event.tenant,
            "app": event.app,
            "signal": labels.signal,
            "label": bool(labels.value[i]),
        }
    )
