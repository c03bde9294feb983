"""Score rows with an agent as the worker does: in chunks, with labels after the scores."""

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
"""Rows per chunk with feedback; labels are learned after each chunk, soon after their scores and never before."""
UNSCORED = -1.0
"""Score of an unscored row; it is below every real score because production never flags such a row."""

Progress = Callable[[int], object]
AgentFactory = Callable[[], Agent]


class Row(Protocol):
    """Object with an event."""

    @property
    def event(self) -> LLMEvent:
        """Event that the agent scores."""
        ...


@dataclass(frozen=True, slots=True)
class Results:
    """Scores of each row and their cost.

    Attributes
    ----------
    score
        float64[n], `UNSCORED` for rows without a score.
    flag
        bool[n].
    micros
        float64[n], microseconds within ``Agent.score``; a chunk's time is divided among its rows by text length.
    changes
        Changes of the stream with their row numbers.
    given, learned
        Labels offered to the agent, and labels it learned.
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
        mask: NDArray[np.bool_] = self.score == UNSCORED
        return mask


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels of a signal to feed back: ``value`` of the rows in ``drawn``."""

    signal: str
    value: NDArray[np.bool_]
    drawn: NDArray[np.bool_]


def draw(n: int, share: float, seed: int) -> NDArray[np.bool_]:
    """Draw rows with equal probability; the draw depends on seed and position only, not on chunks."""
    drawn: NDArray[np.bool_] = np.random.default_rng(seed).random(n) < share
    return drawn


def warm_up(make: AgentFactory, rows: Sequence[Row]) -> None:
    """Compile the kernels with a temporary agent."""
    make().score(_chunk(rows[:CHUNK], 0))


def score_rows(
    agent: Agent, rows: Sequence[Row], labels: Labels | None = None, progress: Progress = lambda _: None
) -> Results:
    """Score all rows in order; with ``labels``, learn the labels of a chunk after the whole chunk is scored."""
    n, step = len(rows), CHUNK if labels is None else FEEDBACK_CHUNK
    score, flag, micros = np.full(n, UNSCORED), np.zeros(n, np.bool_), np.zeros(n)
    changes: list[tuple[int, ChangePoint]] = []
    given = learned = 0
    for k in range(0, n, step):
        chunk = _chunk(rows[k : k + step], k)
        start = time.perf_counter_ns()
        outputs = agent.score(chunk)
        elapsed_us = (time.perf_counter_ns() - start) / 1000
        micros[k : k + step] = elapsed_us * _shares(chunk)
        for i, signal in enumerate(outputs.signals, start=k):
            if signal is not None and getattr(signal, "score", None) is not None:
                score[i], flag[i] = signal.score, signal.flag
        changes += [(k + change.index, change) for change in outputs.changes]
        if labels is not None:
            accepted = [agent.learn(_feedback(rows[k + i].event, labels, k + i)) for i in _drawn(labels, k, step)]
            given, learned = given + len(accepted), learned + sum(accepted)
        progress(min(k + step, n))
    return Results(score, flag, micros, changes, given, learned)


def _chunk(rows: Sequence[Row], first: int) -> Chunk:
    return Chunk([row.event for row in rows], np.arange(first, first + len(rows), dtype=np.int64))


def _shares(chunk: Chunk) -> NDArray[np.float64]:
    """Return each event's share of the chunk's text; one byte is added so that events without text have a cost."""
    size = 1.0 + np.bincount(chunk.texts.event, np.diff(chunk.texts.start), len(chunk))
    return np.asarray(size / size.sum(), np.float64)


def _drawn(labels: Labels, first: int, step: int) -> list[int]:
    indices: list[int] = np.flatnonzero(labels.drawn[first : first + step]).tolist()
    return indices


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
