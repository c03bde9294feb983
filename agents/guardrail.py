"""Verdicts of the service's own guardrails as a signal, and the rate of their objections.

The verdicts come with the event (``LLMEvent.guardrails``); this agent computes no verdict of its own. An event without
verdicts has no signal and does not count, so an app without guardrails has no rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar, Final, Literal

from agents.base import AgentOutput, ChangePoint, Chunk, State
from agents.common.flag_rate import FlagRateMonitor, RateConfig
from agents.common.state_validation import strict_restore
from schemas.errors import StateError
from schemas.event import GuardVerdict
from schemas.feedback import Feedback

MAX_NAMES: Final = 8
_SEVERITY: Final = {"pass": 0, "error": 1, "flag": 2, "block": 3}


@dataclass(frozen=True, slots=True)
class GuardrailSignal:
    """The most severe verdict on an event.

    Attributes
    ----------
    flag
        True if a guardrail flagged or blocked the event. A guardrail that failed is no objection.
    verdict
        The most severe verdict, in the order block, flag, error, pass.
    names
        Guardrails with that verdict, at most `MAX_NAMES`.
    categories
        Categories these guardrails reported, in their own words, at most `MAX_NAMES`.
    """

    flag: bool
    verdict: Literal["pass", "flag", "block", "error"]
    names: tuple[str, ...]
    categories: tuple[str, ...] = ()


class GuardrailAgent:
    """Agent for guardrail verdicts: the most severe verdict per event, and the objection rate per (tenant, app).

    Parameters
    ----------
    cusum
        Settings of the rate monitor, see `RateConfig`.

    Examples
    --------
    >>> verdicts = [GuardVerdict(name="pii", verdict="pass"), GuardVerdict(name="jailbreak", verdict="block")]
    >>> most_severe(verdicts)
    GuardrailSignal(flag=True, verdict='block', names=('jailbreak',), categories=())
    """

    name: ClassVar[str] = "guardrail"
    version: ClassVar[int] = 4

    def __init__(self, cusum: RateConfig | None = None) -> None:
        self.cusum = cusum or RateConfig()
        self._rate = FlagRateMonitor(self.cusum)

    @property
    def evicted(self) -> int:
        """Number of (tenant, app) scopes whose rate was evicted."""
        return self._rate.evicted

    def score(self, chunk: Chunk) -> AgentOutput:
        """Report the most severe verdict on each event that has any, and update the objection rate."""
        # Most events have no verdict and cost only this line.
        indices = [i for i, event in enumerate(chunk.events) if event.guardrails]
        signals: list[GuardrailSignal | None] = [None] * len(chunk)
        changes: list[ChangePoint] = []
        for i in indices:
            signal = signals[i] = most_severe(chunk.events[i].guardrails)
            if signal.verdict != "error":
                changes += self._update_rate(chunk, i, flag=signal.flag)
        return AgentOutput(signals, changes)

    def _update_rate(self, chunk: Chunk, i: int, *, flag: bool) -> Sequence[ChangePoint]:
        event = chunk.events[i]
        scope = (event.tenant, event.app)
        change_point = self._rate.update(scope, flag, int(chunk.offsets[i]), int(chunk.times[i]), event.event_id)
        return () if change_point is None else (change_point.as_change_point(i, "guardrail.rate", scope),)

    def learn(self, feedback: Feedback) -> bool:  # noqa: ARG002 - part of the agent protocol
        """Return False: this agent does not learn from labels."""
        return False

    def state(self) -> State:
        """Return the state of the rate monitor."""
        return {"version": self.version, "cusum": asdict(self.cusum), "rate": dict(self._rate.state())}

    @strict_restore
    def restore(self, state: State) -> None:
        """Continue from `state`; leave the agent unchanged if the state does not fit."""
        rate = FlagRateMonitor(self.cusum)
        try:
            if (state["version"], state["cusum"]) != (self.version, asdict(self.cusum)):
                raise StateError("the state was written by another version or with other settings", code="settings")
            rate.restore(state["rate"])  # type: ignore[arg-type] # validated by the callee
        except (StateError, KeyError, TypeError, ValueError) as error:
            code = error.code if isinstance(error, StateError) else "damaged"
            message = f"guardrail: cannot restore the state: {error!r}; start cold"
            raise StateError(message, part="guardrail", code=code) from error
        self._rate = rate


def most_severe(verdicts: Sequence[GuardVerdict]) -> GuardrailSignal:
    """Return the most severe verdict with the names and categories of the guardrails that reached it."""
    worst = max((v.verdict for v in verdicts), key=_SEVERITY.__getitem__)
    worst_verdicts = [v for v in verdicts if v.verdict == worst]
    names = tuple(dict.fromkeys(v.name for v in worst_verdicts))[:MAX_NAMES]
    categories = tuple(dict.fromkeys(c for v in worst_verdicts for c in v.categories))[:MAX_NAMES]
    return GuardrailSignal(_SEVERITY[worst] >= _SEVERITY["flag"], worst, names, categories)
