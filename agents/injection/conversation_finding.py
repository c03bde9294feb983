"""Finding of a conversation, and its effect on the signal of an event."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from agents.base import Role
from agents.injection.signal import InjectionSignal

MAX_LOGIT = 30.0


@dataclass(frozen=True, slots=True)
class ConversationFinding:
    """Attack that only the conversation of an event shows.

    Attributes
    ----------
    logit
        Logit of the score; 0 is the threshold.
    role
        Role of the text with the attack.
    turns
        Number of combined prompts; None for an echo.
    echo
        Echo by the model: ``argument`` (in a tool call), ``address`` or ``quotation``; None for combined turns.
    text_index
        Index of the text with the attack among the texts of the event; None if an earlier event brought it.
    """

    logit: float
    role: Role
    turns: int | None = None
    echo: str | None = None
    text_index: int | None = None


def keep_strongest(findings: dict[int, ConversationFinding], i: int, finding: ConversationFinding) -> None:
    """Keep the finding of event ``i`` if it reaches the threshold and exceeds the finding kept so far."""
    if finding.logit >= 0 and (i not in findings or finding.logit > findings[i].logit):
        findings[i] = finding


def apply_finding(signal: InjectionSignal, finding: ConversationFinding) -> InjectionSignal:
    """Return the signal of an event, raised by the finding of its conversation."""
    score = round(1.0 / (1.0 + math.exp(-min(MAX_LOGIT, finding.logit))), 6)
    if signal.flag:
        return replace(signal, score=max(score, signal.score), echo=finding.echo)
    role = finding.role.name.lower()
    return InjectionSignal(score, True, role, text_index=finding.text_index, turns=finding.turns, echo=finding.echo)
