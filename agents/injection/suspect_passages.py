"""Suspect passages: documents and tool answers that read like an order, watched for an echo by the model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.base import Chunk, Role
from agents.injection.conversation_finding import ConversationFinding
from agents.injection.conversation_state import MAX_SUSPECTS, Conversation, SuspectPassage
from agents.injection.indicator_echo import ECHO_SURPRISAL, find_echo, indicators_of, model_output
from agents.injection.score_baseline import SURPRISAL_AT_THRESHOLD, SURPRISAL_PER_LOGIT
from schemas.event import LLMEvent

_MARGIN_BYTES = 160
"""Bytes on either side of the worst window. The address in an order often stands just outside of the window."""


class Passage(NamedTuple):
    """Worst window of a document or tool answer: text index in the event, role, text with margin, surprisal."""

    text_index: int
    role: int
    text: str
    surprisal: float


def extract_passage(chunk: Chunk, index: int, span: NDArray[np.int64], surprisal: float) -> Passage:
    """Return the worst window of text ``index`` of a chunk, with a margin on either side."""
    texts = chunk.texts
    first = int(texts.event.searchsorted(texts.event[index]))
    start = max(texts.start[index], span[0] - _MARGIN_BYTES)
    end = min(texts.start[index + 1], span[1] + _MARGIN_BYTES)
    window = texts.buffer[start:end].tobytes().decode("utf-8", "ignore")
    return Passage(index - first, int(texts.role[index]), window, surprisal)


def watch_passages(
    conversation: Conversation, event: LLMEvent, passages: Iterable[Passage], watched_calls: int
) -> list[ConversationFinding]:
    """Add the passages of an event to the suspects of its conversation; return the echoes of all suspects."""
    context = "\n".join(m.content for m in event.messages if m.role != "tool").casefold()
    text_indices: dict[tuple[str, ...], int] = {}
    for passage in passages:
        if indicators := indicators_of(passage.text, context):
            text_indices[indicators] = passage.text_index
            reported = any(s.indicators == indicators and s.reported for s in conversation.suspects)
            kept = [s for s in conversation.suspects if s.indicators != indicators]
            suspect = SuspectPassage(passage.surprisal, passage.role, indicators, watched_calls, reported)
            conversation.suspects = [*kept, suspect][-MAX_SUSPECTS:]
    if not conversation.suspects:
        return []
    written, arguments = model_output(event)
    findings: list[ConversationFinding] = []
    for k, suspect in enumerate(conversation.suspects):
        echo = None if suspect.reported else find_echo(suspect.indicators, written, arguments)
        if echo is not None:
            logit = (suspect.surprisal + ECHO_SURPRISAL[echo] - SURPRISAL_AT_THRESHOLD) / SURPRISAL_PER_LOGIT
            index = text_indices.get(suspect.indicators)
            findings.append(ConversationFinding(logit, Role(suspect.role), echo=echo, text_index=index))
            conversation.suspects[k] = suspect._replace(reported=logit >= 0)
    conversation.suspects = [s._replace(calls_left=s.calls_left - 1) for s in conversation.suspects if s.calls_left > 0]
    return findings
