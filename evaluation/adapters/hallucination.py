"""Adapter for hallucination: score rows of context, question and response by the agent's own path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.base import Chunk
from agents.hallucination.agent import HallucinationAgent, HallucinationConfig, extract_features
from agents.hallucination.features import FEATURES
from agents.hallucination.signal import GroundingSignal
from schemas.event import Choice, Document, LLMEvent, Message

CHUNK = 256


def as_event(row: Mapping[str, Any], index: int = 0) -> LLMEvent:
    """Return the event of ``{"context", "question", "response"}``; ``context`` is a string or a list of strings."""
    context = row.get("context") or ()
    passages = (context,) if isinstance(context, str) else tuple(context)
    question = row.get("question")
    return LLMEvent(
        event_id=f"row-{index}",
        call_id=f"row-{index}",
        time="2026-01-01T00:00:00Z",
        tenant="eval",
        app="eval",
        messages=(Message(role="user", content=question),) if question else (),
        documents=tuple(Document(text=p) for p in passages),
        choices=(Choice(content=row.get("response") or ""),),
    )


def score_rows(rows: Iterable[Mapping[str, Any]], agent: HallucinationAgent | None = None) -> list[GroundingSignal]:
    """Return the signal of each row, scored without feedback.

    Examples
    --------
    >>> good, bad = score_rows([
    ...     {"context": "The bridge opened in 1932.", "response": "The bridge opened in 1932."},
    ...     {"context": "The bridge opened in 1932.", "response": "Construction cost Sydney 47 million pounds."},
    ... ])
    >>> good.score < bad.score, bad.unsupported
    (True, ('Sydney', '47'))
    """
    scorer = agent or HallucinationAgent()
    events = [as_event(row, i) for i, row in enumerate(rows)]
    signals: list[GroundingSignal] = []
    for k in range(0, len(events), CHUNK):
        signals += scorer.score(Chunk(events[k : k + CHUNK])).signals
    return signals


def feature_rows(rows: Iterable[Mapping[str, Any]]) -> NDArray[np.float64]:
    """Return the features of each row for training; NaN for rows that the agent does not score."""
    events = [as_event(row, i) for i, row in enumerate(rows)]
    out = np.full((len(events), len(FEATURES)), np.nan)
    for k in range(0, len(events), CHUNK):
        chunk = Chunk(events[k : k + CHUNK])
        features = extract_features(chunk.texts, len(chunk), HallucinationConfig())
        for index, row, scored in zip(features.spans.events.tolist(), features.rows, features.scored, strict=True):
            if scored:
                out[k + index] = row
    return out
