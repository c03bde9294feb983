"""What the agent says of one event."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GroundingSignal:
    """How far the response is supported by its context.

    Attributes
    ----------
    score
        Probability that the response is unsupported; None where there was nothing to compare.
    flag
        Whether ``score`` reached the threshold.
    grounding
        ``1 - score``.
    reason
        Why there is no score: ``no_context`` or ``no_response``.
    unsupported
        Up to five numbers, names or addresses of the response that the context lacks; flagged events only.
    worst_sentence
        Characters [begin, end) of the response's sentence with the least support; flagged events only.
    """

    score: float | None
    flag: bool
    grounding: float | None = None
    reason: str | None = None
    unsupported: tuple[str, ...] = ()
    worst_sentence: tuple[int, int] | None = None


NO_CONTEXT = GroundingSignal(None, flag=False, reason="no_context")
NO_RESPONSE = GroundingSignal(None, flag=False, reason="no_response")
