"""Hallucination agent: score the grounding of each response and monitor the rate of unsupported responses."""

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
from agents.hallucination.grounding_spans import GroundingSpans, split
from agents.hallucination.logistic_model import load_weights, log_odds_of_rows
from agents.hallucination.overlap import measure
from agents.hallucination.signal import ABSTENTION, NO_CONTEXT, NO_RESPONSE, GroundingSignal
from agents.hallucination.thresholds import AdaptiveThresholds, ThresholdConfig
from agents.hallucination.uncertainty import (
    MAX_SURPRISAL,
    SKETCH,
    AnswerHistory,
    Uncertainty,
    mean_disagreement,
    question_key,
    token_surprisal,
)
from agents.learning import FeatureSpec, Learner, LearningConfig, ScoredEvents
from schemas.errors import StateError
from schemas.event import LLMEvent
from schemas.feedback import Feedback

_UNSCORED = (NO_RESPONSE, NO_CONTEXT, NO_RESPONSE)
"""Signal of an unscored event by `GroundingSpans.status`; a compared response without a word keeps the last one."""


@dataclass(frozen=True, slots=True)
class HallucinationConfig:
    """Settings of `HallucinationAgent`.

    Attributes
    ----------
    threshold
        Minimum probability of a flagged event; None for the threshold that ships with the weights.
    context_bytes, response_bytes
        Bytes read per event; longer texts are sampled at even spacing.
    adapt
        Adaptation of an app's threshold to the app's scores.
    questions
        Questions whose last answer is remembered; 0 disables the comparison.
    cusum
        Change detection on the flag rate.
    """

    threshold: float | None = None
    context_bytes: int = 65_536
    response_bytes: int = 16_384
    adapt: ThresholdConfig = field(default_factory=ThresholdConfig)
    questions: int = 10_000
    cusum: RateConfig = field(default_factory=RateConfig)


@dataclass(frozen=True, slots=True)
class GroundingFeatures:
    """Features of the events that have a context and a response, one row per event.

    Attributes
    ----------
    spans
        Bytes of context, question and response.
    scored
        Whether the response has a word to score.
    rows
        Values in the order of `FEATURES`.
    evidence
        Byte spans of unsupported strings, -1 where there are fewer.
    worst_sentence
        Byte span of the response sentence with the lowest support, -1 without one.
    sketches
        Bottom-k sketch of the response.
    """

    spans: GroundingSpans
    scored: NDArray[np.bool_]
    rows: NDArray[np.float64]
    evidence: NDArray[np.int64]
    worst_sentence: NDArray[np.int64]
    sketches: NDArray[np.uint64]


_UNKNOWN_UNCERTAINTY = Uncertainty()


class HallucinationAgent:
    """Lexical grounding of a response in its documents and tool answers.

    The agent detects words, numbers (by value), names, quotations and sources that the context lacks, and opposites and
    negations of the context. It misses most false statements that use the context's own words;
    ``docs/models/hallucination.md`` gives the rates.

    Parameters
    ----------
    config, learning
        See `HallucinationConfig`, `LearningConfig`.

    Attributes
    ----------
    threshold
        Minimum probability of a flagged event, before an app's own scores raise the threshold.
    learner
        Weight updates learned from labels. The sign of each weight is fixed: support can only lower the probability
        and missing support can only raise it. A run of bad labels can blunt the agent but cannot reverse it.

    Examples
    --------
    >>> from schemas.event import Choice, Document, LLMEvent
    >>> event = LLMEvent(
    ...     event_id="e1", call_id="c1", time="2026-01-01T00:00:00Z", tenant="acme", app="chat",
    ...     documents=(Document(text="The bridge opened in 1932."),),
    ...     choices=(Choice(content="Gustave Eiffel built it for Sydney in 1947, for 7 million francs."),),
    ... )
    >>> signal = HallucinationAgent().score(Chunk([event])).signals[0]
    >>> signal.flag, signal.unsupported
    (True, ('Eiffel', 'Sydney', '1947', '7'))

    References
    ----------
    Lin, C.-Y. (2004). ROUGE: a package for automatic evaluation of summaries. ACL workshop.
    Laban, P. et al. (2022). SummaC: re-visiting NLI-based models for inconsistency detection in summarization. TACL 10.
    (Source of the sentence alignment; word overlap replaces their NLI model.)
    """

    name: ClassVar[str] = "hallucination"
    version: ClassVar[int] = 8

    def __init__(self, config: HallucinationConfig | None = None, learning: LearningConfig | None = None) -> None:
        self.config = config or HallucinationConfig()
        weights = load_weights()
        self.threshold = weights.threshold if self.config.threshold is None else self.config.threshold
        self._weights = np.array(weights.weights)
        self.learner = Learner("hallucination", feature_spec(self._weights, learning), _digest(self._weights), learning)
        self._thresholds = AdaptiveThresholds(self.threshold, self.config.adapt)
        self._answers = AnswerHistory(self.config.questions)
        self._rate = FlagRateMonitor(self.config.cusum)

    @property
    def evicted(self) -> int:
        """Number of apps whose flag rate or threshold was evicted to admit another app."""
        return self._rate.evicted + self._thresholds.evicted

    def score(self, chunk: Chunk) -> AgentOutput:
        """Score each event and buffer its features until a label arrives."""
        features = extract_features(chunk.texts, len(chunk), self.config)
        signals = [_UNSCORED[status] for status in features.spans.status.tolist()]
        indexes = features.spans.events.tolist()
        for k, i in enumerate(indexes):
            if features.scored[k] and abstains(chunk.events[i].choices[0].content):
                features.scored[k], signals[i] = False, ABSTENTION
        uncertainties = self._uncertainties(chunk, features)
        changes: list[ChangePoint] = []
        initial_odds = np.empty(len(indexes))
        log_odds_of_rows(self._weights, features.rows, initial_odds)
        odds = initial_odds.copy()
        unverified = self.learner.apply(features.rows, [chunk.events[i].tenant for i in indexes], odds)
        offsets, times = chunk.offsets.tolist(), chunk.times.tolist()
        scored: list[int] = []
        # An app's threshold ignores the effect of unverified labels on a score, so that such labels cannot raise it.
        verified_odds = (odds - unverified).tolist()
        for k, (i, log_odds, uncertainty) in enumerate(zip(indexes, odds.tolist(), uncertainties, strict=True)):
            if uncertainty is None:
                continue
            threshold = self._thresholds.update(chunk.scopes[i], verified_odds[k])
            signal = signals[i] = self._signal(chunk.texts, features, k, log_odds, threshold, uncertainty)
            scored.append(k)
            changes += self._detect_changes(chunk, i, offsets[i], times[i], flag=signal.flag)
        index = [indexes[k] for k in scored]
        flags = [signals[i].flag for i in index]
        self.learner.observe(
            chunk, ScoredEvents(index, features.rows[scored], initial_odds[scored], odds[scored], flags)
        )
        return AgentOutput(signals, changes)

    def _uncertainties(self, chunk: Chunk, features: GroundingFeatures) -> list[Uncertainty | None]:
        """Return the uncertainty of each answer, None for an unscored answer."""
        spans, buffer = features.spans, chunk.texts.buffer.data
        windows = list(zip(spans.start.tolist(), spans.end.tolist(), strict=True))
        uncertainties: list[Uncertainty | None] = []
        for k, (i, bounds, scored) in enumerate(
            zip(spans.events.tolist(), spans.boundaries.tolist(), features.scored.tolist(), strict=True)
        ):
            has_question = bounds[2] > bounds[1]
            question = [buffer[start:end] for start, end in windows[bounds[0] : bounds[2]]] if has_question else []
            uncertainties.append(self._uncertainty(chunk.events[i], features, k, question) if scored else None)
        return uncertainties

    def _uncertainty(
        self, event: LLMEvent, features: GroundingFeatures, k: int, question: Sequence[memoryview]
    ) -> Uncertainty:
        """Return the uncertainty of an answer, and write its disagreement and its surprisal to the features.

        ``question`` is the context and the question; without a question the previous answer is not compared.
        """
        answer = features.sketches[k]
        choices = [choice.content for choice in event.choices[1:]]
        among_choices = mean_disagreement(answer, choices) if choices else None
        with_previous = None
        if question and self.config.questions:
            key = question_key(event.tenant, event.app, question)
            with_previous = self._answers.disagreement(event.tenant, key, answer.copy())
        values = [value for value in (among_choices, with_previous) if value is not None]
        disagreement = round(max(values), 6) if values else None
        if disagreement:
            features.rows[k, DISAGREEMENT] = disagreement
        logprobs = event.choices[0].logprobs
        if not logprobs:
            return Uncertainty(disagreement) if values else _UNKNOWN_UNCERTAINTY
        mean, worst = token_surprisal(logprobs)
        features.rows[k, SURPRISE] = min(-worst, MAX_SURPRISAL) / MAX_SURPRISAL
        return Uncertainty(disagreement, mean, worst)

    @staticmethod
    def _signal(  # noqa: PLR0913, PLR0917 -- the fields of the signal
        texts: Texts, features: GroundingFeatures, k: int, log_odds: float, threshold: float, uncertainty: Uncertainty
    ) -> GroundingSignal:
        score = round(sigmoid(log_odds), 6)
        fields = (uncertainty.disagreement, uncertainty.mean_logprob, uncertainty.worst_logprob)
        if log_odds < threshold:
            return GroundingSignal(score, False, round(1.0 - score, 6), None, (), None, *fields)
        strings = [_text(texts, start, end) for start, end in features.evidence[k].tolist() if start >= 0]
        start, end = features.worst_sentence[k].tolist()
        worst = None
        if start >= 0:
            first = len(_text(texts, int(texts.start[int(features.spans.responses[k])]), start))
            worst = (first, first + len(_text(texts, start, end)))
        unsupported = tuple(dict.fromkeys(strings))
        return GroundingSignal(score, True, round(1.0 - score, 6), None, unsupported, worst, *fields)

    def _detect_changes(self, chunk: Chunk, i: int, offset: int, time_ms: int, *, flag: bool) -> Sequence[ChangePoint]:
        key, event = chunk.scopes[i], chunk.events[i]
        rise = self._rate.update(key, flag, offset, time_ms, event.event_id)
        learning_changes = self.learner.quality_changes(i, event, offset, time_ms)
        if rise is None:
            return learning_changes
        return (rise.as_change_point(i, "hallucination.rate", key), *learning_changes)

    def learn(self, feedback: Feedback) -> bool:
        """Learn the label of a buffered event, see `Learner.learn`."""
        return feedback.signal == self.name and self.learner.learn(feedback)

    def state(self) -> State:
        """Return the learner, the thresholds, the answer history and the flag rate of every app."""
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
        """Continue from `state`; the agent is unchanged if the state does not fit."""
        restored = HallucinationAgent(self.config, self.learner.config)
        try:
            restored._load(state)
        except (StateError, KeyError, TypeError, ValueError) as error:
            code = error.code if isinstance(error, StateError) else "damaged"
            message = f"hallucination: the state does not fit ({error!r}); start cold"
            raise StateError(message, part="hallucination", code=code) from error
        self.learner, self._rate = restored.learner, restored._rate
        self._thresholds, self._answers = restored._thresholds, restored._answers

    def _load(self, state: State) -> None:
        expected = (self.version, asdict(self.config), list(FEATURES))
        if (state["version"], state["config"], list(state["features"])) != expected:  # type: ignore[arg-type]
            raise StateError("the state was written by another version or with other settings", code="settings")
        self.learner.restore(state["learner"])
        self._thresholds.restore(state["thresholds"])  # type: ignore[arg-type]
        self._answers.restore(state["answers"])  # type: ignore[arg-type]
        self._rate.restore(state["rate"])  # type: ignore[arg-type]


def extract_features(texts: Texts, n: int, config: HallucinationConfig) -> GroundingFeatures:
    """Extract the features of each event of a chunk that has a context and a response."""
    spans = split(texts, n, config.context_bytes, config.response_bytes)
    m = len(spans.events)
    rows = np.zeros((m, len(FEATURES)))
    evidence, worst = np.full((m, EVIDENCE, 2), -1, np.int64), np.full((m, 2), -1, np.int64)
    sketches = np.zeros((m, SKETCH), np.uint64)
    scored = measure(
        texts.buffer, spans.start, spans.end, spans.boundaries, spans.max_bytes, rows, evidence, worst, sketches
    )
    return GroundingFeatures(spans, scored, rows, evidence, worst, sketches)


def _text(texts: Texts, start: int, end: int) -> str:
    return texts.buffer[start:end].tobytes().decode("utf-8", "replace")


def _digest(weights: NDArray[np.float64]) -> str:
    """Return an id of the initial weights: learned weight updates are relative to them."""
    return hashlib.blake2b(weights.tobytes(), digest_size=8).hexdigest()


def feature_spec(weights: NDArray[np.float64], learning: LearningConfig | None = None) -> FeatureSpec:
    """Return the features with the bounds of their weight updates: no weight may change its sign."""
    limit = (learning or LearningConfig()).limit
    low, high = np.full(len(weights), -limit), np.full(len(weights), limit)
    high[:SUPPORT] = np.minimum(limit, -weights[:SUPPORT])
    low[SUPPORT:-1] = np.maximum(-limit, -weights[SUPPORT:-1])
    return FeatureSpec(len(FEATURES), len(FEATURES), low, high, hashed=False, bias=1.0)
