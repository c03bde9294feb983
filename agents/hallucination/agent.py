"""Judge how far each response is supported by its context, and watch the rate of unsupported ones."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from agents.base import Change, Chunk, Scores, State, Texts
from agents.hallucination.features import EVIDENCE, FEATURES, SUPPORT
from agents.hallucination.model import margins, probability, shipped
from agents.hallucination.overlap import measure
from agents.hallucination.sides import Sides, split
from agents.hallucination.signal import NO_CONTEXT, NO_RESPONSE, GroundingSignal
from agents.learning import Learner, LearningConfig, Scored, Space
from agents.rate import RateConfig, RateCusum
from schemas.errors import StateError
from schemas.feedback import Feedback

_UNSCORED = {"no_context": NO_CONTEXT, "no_response": NO_RESPONSE}


@dataclass(frozen=True, slots=True)
class HallucinationConfig:
    """Settings of `HallucinationAgent`.

    Attributes
    ----------
    threshold
        Probability from which an event is flagged; None for the one that ships with the weights.
    context_bytes, response_bytes
        What is read of an event; longer texts are sampled at even spacing.
    cusum
        How the rate of flags is watched.
    """

    threshold: float | None = None
    context_bytes: int = 65_536
    response_bytes: int = 16_384
    cusum: RateConfig = field(default_factory=RateConfig)


@dataclass(frozen=True, slots=True)
class Measured:
    """Features and spans (bytes of the chunk's buffer) of the events that have a context and a response."""

    sides: Sides
    judged: NDArray[np.bool_]
    rows: NDArray[np.float64]
    evidence: NDArray[np.int64]
    worst: NDArray[np.int64]


class HallucinationAgent:
    """Lexical grounding of a response in its documents and tool answers.

    It sees words, numbers, names and addresses that the context lacks; it does not see a false statement made of the
    context's own words (``docs/models/hallucination.md`` tells how often).

    Parameters
    ----------
    config, learning
        See `HallucinationConfig`, `LearningConfig`.

    Attributes
    ----------
    threshold
        Probability from which an event is flagged.
    learner
        What labels taught. Support can only lower and its lack can only raise the probability, whatever they say: a
        run of bad labels can make the agent dull, never perverse.

    References
    ----------
    Lin, C.-Y. (2004). ROUGE: a package for automatic evaluation of summaries. ACL workshop.
    Laban, P. et al. (2022). SummaC: re-visiting NLI-based models for inconsistency detection in summarization. TACL 10.
    (The alignment of sentences is theirs, with word overlap in the place of an NLI model.)
    """

    name: ClassVar[str] = "hallucination"
    version: ClassVar[int] = 2

    def __init__(self, config: HallucinationConfig | None = None, learning: LearningConfig | None = None) -> None:
        self.config = config or HallucinationConfig()
        base = shipped()
        self.threshold = base.threshold if self.config.threshold is None else self.config.threshold
        self._weights = np.array(base.weights)
        self.learner = Learner("hallucination", _space(self._weights, learning), _digest(self._weights), learning)
        self._rate = RateCusum(self.config.cusum)

    def score(self, chunk: Chunk) -> Scores:
        """Judge each event; remember its features for a label to come."""
        texts = chunk.texts
        found = features(texts, len(chunk), self.config)
        signals = [_UNSCORED[found.sides.unscored.get(i, "no_response")] for i in range(len(chunk))]
        changes: list[Change] = []
        fixed = np.empty(len(found.rows))
        margins(self._weights, found.rows, fixed)
        odds = fixed.copy()
        self.learner.apply(found.rows, [chunk.events[i].tenant for i in found.sides.events], odds)
        for k, log_odds in enumerate(odds.tolist()):
            if not found.judged[k]:
                continue
            i = found.sides.events[k]
            signals[i] = self._signal(texts, found, k, log_odds)
            said = Scored(found.rows[k].copy(), float(fixed[k]), log_odds, signals[i].flag)
            self.learner.scored(i, chunk.events[i], int(chunk.times[i]), said)
            changes += self._watch(chunk, i, flag=signals[i].flag)
        return Scores(signals, changes)

    def _signal(self, texts: Texts, found: Measured, k: int, log_odds: float) -> GroundingSignal:
        score = round(probability(log_odds), 6)
        if score < self.threshold:
            return GroundingSignal(score, flag=False, grounding=round(1.0 - score, 6))
        start = int(texts.start[found.sides.responses[k]])
        strings = [_text(texts, begin, end) for begin, end in found.evidence[k].tolist() if begin >= 0]
        worst = None
        if found.worst[k, 0] >= 0:
            begin = len(_text(texts, start, int(found.worst[k, 0])))
            worst = (begin, begin + len(_text(texts, int(found.worst[k, 0]), int(found.worst[k, 1]))))
        unsupported = tuple(dict.fromkeys(strings))
        return GroundingSignal(score, True, round(1.0 - score, 6), None, unsupported, worst)

    def _watch(self, chunk: Chunk, i: int, *, flag: bool) -> Sequence[Change]:
        event = chunk.events[i]
        key = (event.tenant, event.app)
        offset, time_ms = int(chunk.offsets[i]), int(chunk.times[i])
        found = self._rate.update(key, flag, offset, time_ms, event.event_id)
        news = self.learner.changes(i, event, offset, time_ms)
        return news if found is None else (found.as_change(i, "hallucination.rate", key), *news)

    def learn(self, feedback: Feedback) -> bool:
        """Take in a label of a remembered event, see `Learner`."""
        return feedback.signal == self.name and self.learner.learn(feedback)

    def state(self) -> State:
        """Return what was learned, with the events that wait for labels, and the rate's sums."""
        return {
            "version": self.version,
            "config": asdict(self.config),
            "features": list(FEATURES),
            "learner": self.learner.state(),
            "rate": dict(self._rate.state()),
        }

    def restore(self, state: State) -> None:
        """Continue from `state`; the agent is unchanged if it does not fit."""
        fresh = HallucinationAgent(self.config, self.learner.config)
        try:
            ours = (self.version, asdict(self.config), list(FEATURES))
            if (state["version"], state["config"], list(state["features"])) != ours:  # type: ignore[arg-type]
                raise ValueError("made by another version or with other settings")
            fresh.learner.restore(state["learner"])
            fresh._rate.restore(state["rate"])  # type: ignore[arg-type]
        except (StateError, KeyError, TypeError, ValueError) as error:
            raise StateError(f"hallucination: {error!r}; start cold") from error
        self.learner, self._rate = fresh.learner, fresh._rate


def features(texts: Texts, n: int, config: HallucinationConfig) -> Measured:
    """Measure every event of a chunk that has a context and a response."""
    sides = split(texts, n, config.context_bytes, config.response_bytes)
    m = len(sides.events)
    rows = np.zeros((m, len(FEATURES)))
    evidence, worst = np.full((m, EVIDENCE, 2), -1, np.int64), np.full((m, 2), -1, np.int64)
    judged = measure(texts.buffer, sides.begin, sides.end, sides.cuts, sides.room, rows, evidence, worst)
    return Measured(sides, judged, rows, evidence, worst)


def _text(texts: Texts, begin: int, end: int) -> str:
    return texts.buffer[begin:end].tobytes().decode("utf-8", "replace")


def _digest(weights: NDArray[np.float64]) -> str:
    """Tell one set of shipped weights from another: what was learned is relative to it."""
    return hashlib.blake2b(weights.tobytes(), digest_size=8).hexdigest()


def _space(weights: NDArray[np.float64], learning: LearningConfig | None) -> Space:
    """Each feature's weight may move, but not across zero."""
    limit = (learning or LearningConfig()).limit
    low, high = np.full(len(weights), -limit), np.full(len(weights), limit)
    high[:SUPPORT] = np.minimum(limit, -weights[:SUPPORT])
    low[SUPPORT:-1] = np.maximum(-limit, -weights[SUPPORT:-1])
    return Space(len(FEATURES), len(FEATURES), low, high, hashed=False, bias=1.0)
