"""Judge how far each response is supported by its context, and watch the rate of unsupported ones."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from agents.base import AgentOutput, ChangePoint, Chunk, State, Texts
from agents.common.flag_rate import FlagRateMonitor, RateConfig
from agents.common.logistic import sigmoid
from agents.common.state_validation import strict_restore
from agents.hallucination.abstention import abstains
from agents.hallucination.features import DISAGREEMENT, EVIDENCE, FEATURES, SUPPORT, SURPRISE
from agents.hallucination.grounding_spans import Sides, split
from agents.hallucination.logistic_model import margins, shipped
from agents.hallucination.overlap import measure
from agents.hallucination.signal import ABSTENTION, NO_CONTEXT, NO_RESPONSE, GroundingSignal
from agents.hallucination.thresholds import ThresholdConfig, Thresholds
from agents.hallucination.uncertainty import MOST_SURPRISE, SKETCH, Answers, among, question_key, surprise
from agents.learning import FeatureSpec, Learner, LearningConfig, ScoredEvents
from schemas.errors import StateError
from schemas.event import LLMEvent
from schemas.feedback import Feedback

_UNSCORED = (NO_RESPONSE, NO_CONTEXT, NO_RESPONSE)
"""By what `Sides.found` says; the last is of a response without a word."""


@dataclass(frozen=True, slots=True)
class HallucinationConfig:
    """Settings of `HallucinationAgent`.

    Attributes
    ----------
    threshold
        Probability from which an event is flagged; None for the one that ships with the weights.
    context_bytes, response_bytes
        What is read of an event; longer texts are sampled at even spacing.
    adapt
        How the threshold of an application follows its own scores.
    questions
        Questions whose last answer is remembered; 0 remembers none.
    cusum
        How the rate of flags is watched.
    """

    threshold: float | None = None
    context_bytes: int = 65_536
    response_bytes: int = 16_384
    adapt: ThresholdConfig = field(default_factory=ThresholdConfig)
    questions: int = 10_000
    cusum: RateConfig = field(default_factory=RateConfig)


@dataclass(frozen=True, slots=True)
class Measured:
    """Features, spans (bytes of the chunk's buffer) and sketches of the events that have a context and a response."""

    sides: Sides
    judged: NDArray[np.bool_]
    rows: NDArray[np.float64]
    evidence: NDArray[np.int64]
    worst: NDArray[np.int64]
    said: NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class _Doubt:
    disagreement: float | None = None
    mean_logprob: float | None = None
    worst_logprob: float | None = None


_NO_DOUBT = _Doubt()


class HallucinationAgent:
    """Lexical grounding of a response in its documents and tool answers.

    It sees words, numbers (by value), names, quotations and sources that the context lacks, opposites and denials; it
    sees little of a false statement made of the context's own words (``docs/models/hallucination.md`` tells how often).

    Parameters
    ----------
    config, learning
        See `HallucinationConfig`, `LearningConfig`.

    Attributes
    ----------
    threshold
        Probability from which an event is flagged, before an application's own scores raise it.
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
    version: ClassVar[int] = 8

    def __init__(self, config: HallucinationConfig | None = None, learning: LearningConfig | None = None) -> None:
        self.config = config or HallucinationConfig()
        base = shipped()
        self.threshold = base.threshold if self.config.threshold is None else self.config.threshold
        self._weights = np.array(base.weights)
        self.learner = Learner("hallucination", space_of(self._weights, learning), _digest(self._weights), learning)
        self._thresholds = Thresholds(self.threshold, self.config.adapt)
        self._answers = Answers(self.config.questions)
        self._rate = FlagRateMonitor(self.config.cusum)

    @property
    def evicted(self) -> int:
        """Apps whose rate or threshold was forgotten for others."""
        return self._rate.evicted + self._thresholds.evicted

    def score(self, chunk: Chunk) -> AgentOutput:
        """Judge each event; remember its features for a label to come."""
        found = features(chunk.texts, len(chunk), self.config)
        signals = [_UNSCORED[why] for why in found.sides.found.tolist()]
        which = found.sides.events.tolist()
        for k, i in enumerate(which):
            if found.judged[k] and abstains(chunk.events[i].choices[0].content):
                found.judged[k], signals[i] = False, ABSTENTION
        doubts = self._doubts(chunk, found)
        changes: list[ChangePoint] = []
        fixed = np.empty(len(which))
        margins(self._weights, found.rows, fixed)
        odds = fixed.copy()
        unverified = self.learner.apply(found.rows, [chunk.events[i].tenant for i in which], odds)
        offsets, times = chunk.offsets.tolist(), chunk.times.tolist()
        judged: list[int] = []
        # An app's threshold follows its scores without what unverified labels move: they could raise it.
        sure = (odds - unverified).tolist()
        for k, (i, log_odds, doubt) in enumerate(zip(which, odds.tolist(), doubts, strict=True)):
            if doubt is None:
                continue
            limit = self._thresholds.pass_on(chunk.scopes[i], sure[k])
            signal = signals[i] = self._signal(chunk.texts, found, k, log_odds, limit, doubt)
            judged.append(k)
            changes += self._watch(chunk, i, offsets[i], times[i], flag=signal.flag)
        index = [which[k] for k in judged]
        flags = [signals[i].flag for i in index]
        self.learner.observe(chunk, ScoredEvents(index, found.rows[judged], fixed[judged], odds[judged], flags))
        return AgentOutput(signals, changes)

    def _doubts(self, chunk: Chunk, found: Measured) -> list[_Doubt | None]:
        """Return the doubt of each answer, None of one that is not judged."""
        sides, read = found.sides, chunk.texts.buffer.data
        spans = list(zip(sides.begin.tolist(), sides.end.tolist(), strict=True))
        doubts: list[_Doubt | None] = []
        for k, (i, cut, judged) in enumerate(
            zip(sides.events.tolist(), sides.cuts.tolist(), found.judged.tolist(), strict=True)
        ):
            asked = [read[begin:end] for begin, end in spans[cut[0] : cut[2]]] if cut[2] > cut[1] else []
            doubts.append(self._doubt(chunk.events[i], found, k, asked) if judged else None)
        return doubts

    def _doubt(self, event: LLMEvent, found: Measured, k: int, asked: Sequence[memoryview]) -> _Doubt:
        """Compare an answer with its like, read its log-probabilities; both also become features."""
        said = found.said[k]
        told = among(said, [choice.content for choice in event.choices[1:]]) if len(event.choices) > 1 else None
        before = None
        if asked and self.config.questions:
            before = self._answers.disagreement(event.tenant, question_key(event.tenant, event.app, asked), said.copy())
        given = [value for value in (told, before) if value is not None]
        disagreement = round(max(given), 6) if given else None
        if disagreement:
            found.rows[k, DISAGREEMENT] = disagreement
        logprobs = event.choices[0].logprobs
        if not logprobs:
            return _Doubt(disagreement) if given else _NO_DOUBT
        mean, worst = surprise(logprobs)
        found.rows[k, SURPRISE] = min(-worst, MOST_SURPRISE) / MOST_SURPRISE
        return _Doubt(disagreement, mean, worst)

    @staticmethod
    def _signal(  # noqa: PLR0913, PLR0917 -- all there is to say of an event
        texts: Texts, found: Measured, k: int, log_odds: float, limit: float, doubt: _Doubt
    ) -> GroundingSignal:
        score = round(sigmoid(log_odds), 6)
        told = (doubt.disagreement, doubt.mean_logprob, doubt.worst_logprob)
        if log_odds < limit:
            return GroundingSignal(score, False, round(1.0 - score, 6), None, (), None, *told)
        start = int(texts.start[int(found.sides.responses[k])])
        strings = [_text(texts, begin, end) for begin, end in found.evidence[k].tolist() if begin >= 0]
        worst = None
        if found.worst[k, 0] >= 0:
            begin = len(_text(texts, start, int(found.worst[k, 0])))
            worst = (begin, begin + len(_text(texts, int(found.worst[k, 0]), int(found.worst[k, 1]))))
        unsupported = tuple(dict.fromkeys(strings))
        return GroundingSignal(score, True, round(1.0 - score, 6), None, unsupported, worst, *told)

    def _watch(self, chunk: Chunk, i: int, offset: int, time_ms: int, *, flag: bool) -> Sequence[ChangePoint]:
        key, event = chunk.scopes[i], chunk.events[i]
        found = self._rate.update(key, flag, offset, time_ms, event.event_id)
        news = self.learner.quality_changes(i, event, offset, time_ms)
        return news if found is None else (found.as_change_point(i, "hallucination.rate", key), *news)

    def learn(self, feedback: Feedback) -> bool:
        """Take in a label of a remembered event, see `Learner`."""
        return feedback.signal == self.name and self.learner.learn(feedback)

    def state(self) -> State:
        """Return what was learned, with the events that wait for labels, answers, thresholds, the rate's sums."""
        return {
            "version": self.version,
            "config": asdict(self.config),
            "features": list(FEATURES),
            "learner": self.learner.state(),
            "thresholds": self._thresholds.state(),
            "answers": self._answers.state(),
            "rate": dict(self._rate.state()),
        }

    @strict_restore
    def restore(self, state: State) -> None:
        """Continue from `state`; the agent is unchanged if it does not fit."""
        fresh = HallucinationAgent(self.config, self.learner.config)
        try:
            fresh._load(state)
        except (StateError, KeyError, TypeError, ValueError) as error:
            code = error.code if isinstance(error, StateError) else "damaged"
            raise StateError(f"hallucination: {error!r}; start cold", part="hallucination", code=code) from error
        self.learner, self._rate = fresh.learner, fresh._rate
        self._thresholds, self._answers = fresh._thresholds, fresh._answers

    def _load(self, state: State) -> None:
        ours = (self.version, asdict(self.config), list(FEATURES))
        if (state["version"], state["config"], list(state["features"])) != ours:  # type: ignore[arg-type]
            raise StateError("made by another version or with other settings", code="settings")
        self.learner.restore(state["learner"])
        self._thresholds.restore(state["thresholds"])  # type: ignore[arg-type]
        self._answers.restore(state["answers"])  # type: ignore[arg-type]
        self._rate.restore(state["rate"])  # type: ignore[arg-type]


def features(texts: Texts, n: int, config: HallucinationConfig) -> Measured:
    """Measure every event of a chunk that has a context and a response."""
    sides = split(texts, n, config.context_bytes, config.response_bytes)
    m = len(sides.events)
    rows = np.zeros((m, len(FEATURES)))
    evidence, worst = np.full((m, EVIDENCE, 2), -1, np.int64), np.full((m, 2), -1, np.int64)
    said = np.zeros((m, SKETCH), np.uint64)
    judged = measure(texts.buffer, sides.begin, sides.end, sides.cuts, sides.room, rows, evidence, worst, said)
    return Measured(sides, judged, rows, evidence, worst, said)


def _text(texts: Texts, begin: int, end: int) -> str:
    return texts.buffer[begin:end].tobytes().decode("utf-8", "replace")


def _digest(weights: NDArray[np.float64]) -> str:
    """Tell one set of shipped weights from another: what was learned is relative to it."""
    return hashlib.blake2b(weights.tobytes(), digest_size=8).hexdigest()


def space_of(weights: NDArray[np.float64], learning: LearningConfig | None = None) -> FeatureSpec:
    """Return the features as labels may move their weights: not across zero."""
    limit = (learning or LearningConfig()).limit
    low, high = np.full(len(weights), -limit), np.full(len(weights), limit)
    high[:SUPPORT] = np.minimum(limit, -weights[:SUPPORT])
    low[SUPPORT:-1] = np.maximum(-limit, -weights[SUPPORT:-1])
    return FeatureSpec(len(FEATURES), len(FEATURES), low, high, hashed=False, bias=1.0)
