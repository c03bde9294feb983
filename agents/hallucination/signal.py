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
        Why there is no score: ``no_context``, ``no_response``, or ``abstention`` where the answer only says that it has
        none.
    unsupported
        Up to five addresses, citation marks, numbers or names of the response that the context lacks; flagged only.
    worst_sentence
        Characters [begin, end) of the response's sentence with the least support; flagged events only.
    disagreement
        0 to 1, how far the answer is from the other choices of its call or, if that is more, from the answer to the
        same question and context before; None where there is neither.
    mean_logprob, worst_logprob
        Natural-log probability of its tokens, and of the ten in a row where it is least; None where not given.
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
