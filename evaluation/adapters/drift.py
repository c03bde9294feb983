"""Adapter for drift: alarms on a stream of user texts, scored by the agent's own path."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agents.base import ChangePoint, Chunk
from agents.drift.agent import DriftAgent
from agents.drift.config import DriftConfig
from schemas.event import LLMEvent, Message

CHUNK = 256


def as_event(text: str, index: int) -> LLMEvent:
    """Return the event of a text, each with a different user."""
    return LLMEvent(
        event_id=f"row-{index}",
        call_id=f"row-{index}",
        time="2026-01-01T00:00:00Z",
        tenant="eval",
        app="eval",
        user_id=f"row-{index}",
        messages=(Message(role="user", content=text),) if text else (),
    )


def changes_of(texts: Sequence[str], config: DriftConfig | None = None) -> list[tuple[int, ChangePoint]]:
    """Return each change with the index of the text at which the agent reported it."""
    agent = DriftAgent(config)
    changes: list[tuple[int, ChangePoint]] = []
    for k in range(0, len(texts), CHUNK):
        events = [as_event(text, k + i) for i, text in enumerate(texts[k : k + CHUNK])]
        chunk = Chunk(events, np.arange(k, k + len(events), dtype=np.int64))
        changes += [(k + c.index, c) for c in agent.score(chunk).changes]
    return changes


def alarms_of(texts: Sequence[str], config: DriftConfig | None = None) -> list[int]:
    """Return the indices of the alarms on a stream of user texts.

    Examples
    --------
    >>> calm = [f"what is the balance of account {i}" for i in range(400)]
    >>> alarms = alarms_of(calm + [f"recipe {i} for bread with olives" for i in range(100)])
    >>> len(alarms), 400 <= alarms[0] < 420
    (1, True)
    """
    return [index for index, _ in changes_of(texts, config)]
