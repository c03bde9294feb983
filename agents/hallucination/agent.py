"""Judge how far each response is supported by its context, and watch the rate of unsupported ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from agents.base import Change, Chunk, Scores, State, Texts
from agents.hallucination.features import EVIDENCE, FEATURES
from agents.hallucination.model import SignedLogistic, probability, shipped
from agents.hallucination.overlap import measure
from agents.hallucination.sides import Sides, split
from agents.hallucination.signal import NO_CONTEXT, NO_RESPONSE, GroundingSignal
from agents.memory import Memory
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
    rate, confidence
        Step of one label and how firmly the shipped weights are held, see `SignedLogistic`.
    memory
        Scored events that can still be labelled.
    context_bytes, response_bytes
        What is read of an event; longer texts are sampled at even spacing.
    cusum
        How the rate of flags is watched.
    """

    threshold: float | None = None
    rate: float = 0.1
    confidence: float = 1.0
    memory: int = 10_000
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
    config
        See `HallucinationConfig`.

    Attributes
    ----------
    threshold
        Probability from which an event is flagged.

    References
    ----------
    Lin, C.-Y. (2004). ROUGE: a package for automatic evaluation of summaries. ACL workshop.
    Laban, P. et al. (2022). SummaC: re-visiting NLI-based models for inconsistency detection in summarization. TACL 10.
    (The alignment of sentences is theirs, with word overlap in the place of an NLI model.)
    """

    name: ClassVar[str] = "hallucination"
    version: ClassVar[int] = 1

    def __init__(self, config: HallucinationConfig | None = None) -> None:
        self.config = config or HallucinationConfig()
        base = shipped()
        self.threshold = base.threshold if self.config.threshold is None else self.config.threshold
        self._model = SignedLogistic(base.weights, rate=self.config.rate, confidence=self.config.confidence)
        self._memory = Memory(self.config.memory, len(FEATURES))
        self._rate = RateCusum(self.config.cusum)

    def score(self, chunk: Chunk) -> Scores:
        """Judge each event; remember its features for a label to come."""
        texts = chunk.texts
        found = features(texts, len(chunk), self.config)
        signals = [_UNSCORED[found.sides.unscored.get(i, "no_response")] for i in range(len(chunk))]
        changes: list[Change] = []
        for k, log_odds in enumerate(self._model.scores(found.rows)):
            if not found.judged[k]:
                continue
            i = found.sides.events[k]
            signals[i] = self._signal(texts, found, k, log_odds)
            event = chunk.events[i]
            self._memory.keep((event.tenant, event.app, event.call_id), found.rows[k].copy())
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
        found = self._rate.update(key, flag, int(chunk.offsets[i]), int(chunk.times[i]), event.event_id)
        return () if found is None else (found.as_change(i, "hallucination.rate", key),)

    def learn(self, feedback: Feedback) -> bool:
        """Take one bounded step towards a label of a remembered event."""
        if feedback.signal != self.name:
            return False
        row = self._memory.take(feedback.feedback_id, (feedback.tenant, feedback.app, feedback.call_id))
        if row is None:
            return False
        self._model.learn(row, label=feedback.label)
        return True

    def state(self) -> State:
        """Weights, remembered events, the rate's sums."""
        return {
            "version": self.version,
            "config": asdict(self.config),
            "features": list(FEATURES),
            "weights": self._model.weights.copy(),
            "squares": self._model.squares.copy(),
            "memory": self._memory.state(),
            "rate": dict(self._rate.state()),
        }

    def restore(self, state: State) -> None:
        """Continue from `state`; the agent is unchanged if it does not fit."""
        fresh = HallucinationAgent(self.config)
        try:
            fresh._load(state)
        except (StateError, KeyError, TypeError, ValueError) as error:
            raise StateError(f"hallucination: {error!r}; start cold") from error
        self._model, self._memory, self._rate = fresh._model, fresh._memory, fresh._rate

    def _load(self, state: State) -> None:
        ours = (self.version, asdict(self.config), list(FEATURES))
        if (state["version"], state["config"], list(state["features"])) != ours:  # type: ignore[arg-type]
            raise ValueError("made by another version or with other settings")
        for name in ("weights", "squares"):
            values = np.array(state[name], np.float64)
            if values.shape != (len(FEATURES) + 1,):
                raise ValueError(f"{name} of shape {values.shape}")
            setattr(self._model, name, values)
        self._memory.restore(state["memory"])  # type: ignore[arg-type]
        self._rate.restore(state["rate"])  # type: ignore[arg-type]


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
