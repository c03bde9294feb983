"""What the service's own guardrails said, beside our signals, and how often they object.

The verdicts come with the event (``LLMEvent.guardrails``); nothing is judged here. An event without verdicts is no
event of this agent: an app that has no guardrail has no rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar, Final, Literal

from agents.base import Change, Chunk, Scores, State
from agents.common.flag_rate import RateConfig, RateCusum
from agents.common.state_validation import strict_restore
from schemas.errors import StateError
from schemas.event import GuardVerdict
from schemas.feedback import Feedback

NAMES_MAX: Final = 8
_RANK: Final = {"pass": 0, "error": 1, "flag": 2, "block": 3}


@dataclass(frozen=True, slots=True)
class GuardrailSignal:
    """The gravest verdict on an event.

    Attributes
    ----------
    flag
        A guardrail flagged or blocked it. One that failed says nothing of the event.
    verdict
        The gravest: block, flag, error, pass.
    names
        Whose verdict that was; at most `NAMES_MAX`.
    categories
        What they found, in their own words; at most `NAMES_MAX`.
    """

    flag: bool
    verdict: Literal["pass", "flag", "block", "error"]
    names: tuple[str, ...]
    categories: tuple[str, ...] = ()


class GuardrailAgent:
    """The verdicts of the service's guardrails as a signal, and the rate at which they object, by app.

    Parameters
    ----------
    cusum
        How the rate is watched, see `RateConfig`.

    Examples
    --------
    >>> verdicts = [GuardVerdict(name="pii", verdict="pass"), GuardVerdict(name="jailbreak", verdict="block")]
    >>> gravest(verdicts)
    GuardrailSignal(flag=True, verdict='block', names=('jailbreak',), categories=())
    """

    name: ClassVar[str] = "guardrail"
    version: ClassVar[int] = 3

    def __init__(self, cusum: RateConfig | None = None) -> None:
        self.cusum = cusum or RateConfig()
        self._rate = RateCusum(self.cusum)

    @property
    def evicted(self) -> int:
        """Apps whose rate was forgotten for others."""
        return self._rate.evicted

    def score(self, chunk: Chunk) -> Scores:
        """Tell the gravest verdict on each event that has any; advance the rate by it."""
        # Most events have none: this line is what they cost.
        judged = [i for i, event in enumerate(chunk.events) if event.guardrails]
        signals: list[GuardrailSignal | None] = [None] * len(chunk)
        changes: list[Change] = []
        for i in judged:
            signal = signals[i] = gravest(chunk.events[i].guardrails)
            if signal.verdict != "error":
                changes += self._watch(chunk, i, flag=signal.flag)
        return Scores(signals, changes)

    def _watch(self, chunk: Chunk, i: int, *, flag: bool) -> Sequence[Change]:
        event = chunk.events[i]
        key = (event.tenant, event.app)
        found = self._rate.update(key, flag, int(chunk.offsets[i]), int(chunk.times[i]), event.event_id)
        return () if found is None else (found.as_change(i, "guardrail.rate", key),)

    def learn(self, feedback: Feedback) -> bool:  # noqa: ARG002 - every agent has it
        """Return False: nothing here is learned from labels."""
        return False

    def state(self) -> State:
        """Return the sums of the rate."""
        return {"version": self.version, "cusum": asdict(self.cusum), "rate": dict(self._rate.state())}

    @strict_restore
    def restore(self, state: State) -> None:
        """Continue from `state`; the agent is unchanged if it does not fit."""
        fresh = RateCusum(self.cusum)
        try:
            if (state["version"], state["cusum"]) != (self.version, asdict(self.cusum)):
                raise StateError("made by another version or with other settings", code="settings")
            fresh.restore(state["rate"])  # type: ignore[arg-type] # checked by it
        except (StateError, KeyError, TypeError, ValueError) as error:
            code = error.code if isinstance(error, StateError) else "damaged"
            raise StateError(f"guardrail: {error!r}; start cold", part="guardrail", code=code) from error
        self._rate = fresh


def gravest(verdicts: Sequence[GuardVerdict]) -> GuardrailSignal:
    """Return the gravest of some verdicts, and whose it was."""
    worst = max((v.verdict for v in verdicts), key=_RANK.__getitem__)
    own = [v for v in verdicts if v.verdict == worst]
    names = tuple(dict.fromkeys(v.name for v in own))[:NAMES_MAX]
    found = tuple(dict.fromkeys(c for v in own for c in v.categories))[:NAMES_MAX]
    return GuardrailSignal(_RANK[worst] >= _RANK["flag"], worst, names, found)
