"""Guardrail agent: the verdicts of the service's own guardrails as a signal, and the rate of objections.

The verdicts arrive with the event (``LLMEvent.guardrails``); this agent computes no score of its own. It ignores events
without verdicts, so an app without guardrails has no rate.
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

NAMES_MAX: Final = 8
_SEVERITY: Final = {"pass": 0, "error": 1, "flag": 2, "block": 3}


@dataclass(frozen=True, slots=True)
class GuardrailSignal:
    """Most severe verdict on an event.

    Attributes
    ----------
    flag
        True if a guardrail flagged or blocked the event. A guardrail that failed does not count as an objection.
    verdict
        Most severe verdict, in the order block, flag, error, pass.
    names
        Guardrails that gave this verdict; at most `NAMES_MAX`.
    categories
        Categories that these guardrails reported; at most `NAMES_MAX`.
    """

    flag: bool
    verdict: Literal["pass", "flag", "block", "error"]
    names: tuple[str, ...]
    categories: tuple[str, ...] = ()


class GuardrailAgent:
    """Agent that reports the most severe guardrail verdict and monitors the rate of objections per scope.

    Parameters
    ----------
    cusum
        Settings of the flag rate monitor, see `RateConfig`.

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
        """Number of scopes whose rate was evicted to make room."""
        return self._rate.evicted

    def score(self, chunk: Chunk) -> AgentOutput:
        """Report the most severe verdict on each event that has verdicts; advance the rate."""
        # Most events have no verdicts: for those, this line is the whole cost.
        with_verdicts = [i for i, event in enumerate(chunk.events) if event.guardrails]
        signals: list[GuardrailSignal | None] = [None] * len(chunk)
        changes: list[ChangePoint] = []
        for i in with_verdicts:
            signal = signals[i] = most_severe(chunk.events[i].guardrails)
            if signal.verdict != "error":
                changes += self._update_rate(chunk, i, flag=signal.flag)
        return AgentOutput(signals, changes)

    def _update_rate(self, chunk: Chunk, i: int, *, flag: bool) -> Sequence[ChangePoint]:
        event = chunk.events[i]
        scope = (event.tenant, event.app)
        rise = self._rate.update(scope, flag, int(chunk.offsets[i]), int(chunk.times[i]), event.event_id)
        return () if rise is None else (rise.as_change_point(i, "guardrail.rate", scope),)

    def learn(self, feedback: Feedback) -> bool:  # noqa: ARG002 - part of the agent protocol
        """Return False: this agent does not learn from labels."""
        return False

    def state(self) -> State:
        """Return the state of the flag rate monitor."""
        return {"version": self.version, "cusum": asdict(self.cusum), "rate": dict(self._rate.state())}

    @strict_restore
    def restore(self, state: State) -> None:
        """Load a state; the agent is unchanged if the state does not fit."""
        restored = FlagRateMonitor(self.cusum)
        try:
            if (state["version"], state["cusum"]) != (self.version, asdict(self.cusum)):
                raise StateError("the state was written by another version or with other settings", code="settings")
            restored.restore(state["rate"])  # type: ignore[arg-type] # restore checks it
        except (StateError, KeyError, TypeError, ValueError) as error:
            code = error.code if isinstance(error, StateError) else "damaged"
            raise StateError(f"guardrail agent: {error!r}; it starts cold", part="guardrail", code=code) from error
        self._rate = restored


def most_severe(verdicts: Sequence[GuardVerdict]) -> GuardrailSignal:
    """Return the most severe verdict with the guardrails that gave it."""
    verdict = max((v.verdict for v in verdicts), key=_SEVERITY.__getitem__)
    matching = [v for v in verdicts if v.verdict == verdict]
    names = tuple(dict.fromkeys(v.name for v in matching))[:NAMES_MAX]
    categories = tuple(dict.fromkeys(category for v in matching for category in v.categories))[:NAMES_MAX]
    return GuardrailSignal(_SEVERITY[verdict] >= _SEVERITY["flag"], verdict, names, categories)
