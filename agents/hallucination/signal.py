"""Signal of the hallucination agent."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GroundingSignal:
    """Grounding of a response in its context.

    Attributes
    ----------
    score
        Probability that the response is unsupported; None for an unscored event.
    flag
        True if ``score`` reached the threshold.
    grounding
        ``1 - score``.
    reason
        Reason for a missing score: ``no_context``, ``no_response``, or ``abstention`` for an answer that makes no
        claim.
    unsupported
        Up to five addresses, citation marks, numbers or names of the response that the context lacks. Empty unless
        flagged.
    worst_sentence
        Characters [start, end) of the response sentence with the lowest support. None unless flagged.
    disagreement
        Disagreement, 0 to 1, with the other choices of the call or with the previous answer to the same question and
        context, whichever is larger. None without either.
    mean_logprob, worst_logprob
        Mean log-probability (natural) of the tokens, and of the ten consecutive tokens with the lowest mean. None
        without log-probabilities.
    """

    score: float | None
    flag: bool
    grounding: float | None = None
    reason: str | None = None
    unsupported: tuple[str, ...] = ()
    worst_sentence: tuple[int, int] | None = None
    disagreement: float | None = None
    mean_logprob: float | None = None
    worst_logprob: float | None = None


NO_CONTEXT = GroundingSignal(None, flag=False, reason="no_context")
NO_RESPONSE = GroundingSignal(None, flag=False, reason="no_response")
ABSTENTION = GroundingSignal(None, flag=False, reason="abstention")
