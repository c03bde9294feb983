"""Online learning from labels: join labels with scored events, weigh them and move the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.base import ChangePoint, Chunk
from agents.common.state_validation import expect_array, expect_counts, expect_text, expect_texts, expect_times_ms
from agents.common.tenant_map import TenantLru
from agents.common.watermark import Scope, Watermarks
from agents.learning.active_sampling import HOUR_MS, ActiveSampler, uncertainty
from agents.learning.annotators import Annotator, annotator_of
from agents.learning.config import LearningConfig
from agents.learning.deltas import NO_DELTAS, FeatureSpec, WeightDeltas
from agents.learning.label_budget import DailyBudget
from agents.learning.label_buffer import BufferedEvent, CallKey, LabelBuffer
from agents.learning.prequential import ALL_SCOPES, PrequentialMetrics, Quality
from agents.learning.shared_fraction import SharedFraction
from agents.learning.track import LabelTrack, LabelTracks, is_verified
from agents.learning.weight_versions import SHIPPED, VersionHistory, WeightVersion, from_file, version_name
from schemas.errors import StateError
from schemas.event import LLMEvent
from schemas.feedback import Feedback
from schemas.learning import ModelCommand, Signal

_QUALITY_METRICS = ("precision", "recall", "auc", "calibration")


@dataclass(slots=True)
class LabelCounts:
    """Labels and commands by outcome: the metric ``streamgauge_labels_total``.

    Attributes
    ----------
    learned
        Labels that changed the learned label of their event.
    confirmed
        Labels that agreed with the learned label of their event.
    repeated, unknown
        Duplicate labels, and labels of events that are unknown or evicted.
    no_consensus
        Labels that left their event without a learned label, because the votes balance each other; and unverified
        labels that are overruled by a verified label of the same event.
    untrusted
        Labels of annotators who are not trusted.
    over_budget
        Unverified labels beyond the daily budget.
    command_applied, command_rejected
        Commands to the model; a rejected command changes nothing.
    """

    learned: int = 0
    confirmed: int = 0
    repeated: int = 0
    unknown: int = 0
    no_consensus: int = 0
    untrusted: int = 0
    over_budget: int = 0
    command_applied: int = 0
    command_rejected: int = 0


class ScoredEvents(NamedTuple):
    """Scored events of a chunk, as columns of equal length.

    Attributes
    ----------
    indices
        Index of each event in its chunk, ascending.
    rows
        Features, as in `agents.learning.deltas.FeatureSpec`. The learner keeps the rows; the caller must not modify
        them afterwards.
    base
        Log odds under the base weights, without subtracting a threshold.
    odds
        Log odds of the published score.
    flags
        True for flagged events.
    """

    indices: Sequence[int]
    rows: NDArray[Any]
    base: NDArray[np.float64]
    odds: NDArray[np.float64]
    flags: Sequence[bool]


@dataclass(frozen=True, slots=True)
class SelectedEvent:
    """Event of a chunk whose label is requested."""

    index: int
    odds: float
    flag: bool
    probability: float
    reason: str


class Learner:
    """Learning component of an agent: joins labels with events, weighs the labels and moves the weights.

    An agent calls the learner three times per event: `apply` adds the learned deltas to the margins, `observe` buffers
    the event, and `quality_changes` reports changes of the live quality in the event's scope.

    Parameters
    ----------
    signal
        Name of the agent.
    spec
        Features of an event.
    base
        Digest of the base weights; the learned deltas are relative to them.
    config
        See `LearningConfig`.

    Attributes
    ----------
    tracks
        Deltas learned from verified and from unverified labels.
    budget
        Daily budget of unverified labels per scope.
    version_name
        Version that the current weights are equal to, or continue from.
    """

    def __init__(self, signal: Signal, spec: FeatureSpec, base: str, config: LearningConfig | None = None) -> None:
        self.signal, self.base = signal, base
        self.config = config = config or LearningConfig()
        self.counts = LabelCounts()
        # The tracks get no reference to the learner: a cycle would keep 100 MB of tables until a full collection.
        self._shared_fraction = SharedFraction(config.full_weight_labels, config.scopes)
        self.tracks = LabelTracks(spec, config, self._shared_fraction.next_label)
        self.budget = DailyBudget(config.unverified_labels_a_day)
        width, dtype = (spec.kept, np.int32) if spec.hashed else (spec.size, np.float64)
        self.label_buffer = LabelBuffer(config.label_window_events, width, dtype)
        self.quality = PrequentialMetrics(config.scopes, config.decay)
        self.sampler = ActiveSampler(signal, config.requests_per_hour, config.scopes)
        self.versions = VersionHistory(config.versions)
        self.selected: list[SelectedEvent] = []
        self.version_name = SHIPPED
        self._watermarks, self._shares_watermarks = Watermarks(), False
        # Event time of the scope of the latest event or label.
        self._now = 0
        self._labels_since_version = 0
        self._reported = TenantLru[Scope, tuple[float, ...]](config.scopes)
        self._unreported = TenantLru[Scope, tuple[float, ...]](config.scopes)

    # Per event

    @property
    def deltas(self) -> WeightDeltas:
        """Deltas from verified labels: the weights that are versioned, exported and shared with other tenants."""
        return self.tracks.verified.deltas

    def apply(self, rows: NDArray[Any], tenants: Sequence[str], margins: NDArray[np.float64]) -> NDArray[np.float64]:
        """Add the learned deltas to the margins of texts; one row, tenant and margin per text.

        Returns
        -------
        NDArray[np.float64]
            The part from unverified labels, at most `LearningConfig.unverified_limit` up or down.
        """
        _apply_deltas(self.deltas, rows, tenants, margins)
        unverified = np.zeros(len(margins))
        if not self.tracks.unverified.deltas.is_empty:
            limit = self.config.unverified_limit
            _apply_deltas(self.tracks.unverified.deltas, rows, tenants, unverified)
            np.clip(unverified, -limit, limit, unverified)
            margins += unverified
        return unverified

    def use_watermarks(self, watermarks: Watermarks) -> None:
        """Use shared watermarks, which the owner advances before each chunk, instead of own ones."""
        self._watermarks, self._shares_watermarks = watermarks, True

    def observe(self, chunk: Chunk, scored: ScoredEvents) -> None:
        """Buffer scored events for labels to come, and select the events whose labels are requested."""
        events, scopes = [chunk.events[i] for i in scored.indices], [chunk.scopes[i] for i in scored.indices]
        times = chunk.timing.watermarks[scored.indices]
        if not self._shares_watermarks:
            for scope, watermark in zip(scopes, times.tolist(), strict=True):
                self._watermarks.advance(scope, watermark)
        if events:
            self._now = int(chunk.now[scored.indices[-1]])
        probabilities = [0.0] * len(events)
        if events and self.config.requests_per_hour > 0.0:
            event_ids = [e.event_id for e in events]
            probabilities, novelties = self.sampler.select(scopes, event_ids, times, scored.odds, scored.rows)
            self._request_labels(scored, probabilities, novelties)
        put = self.label_buffer.put
        for event, row, base, margin, flag, probability in zip(
            events, scored.rows, scored.base.tolist(), scored.odds.tolist(), scored.flags, probabilities, strict=True
        ):
            # Rows of the latest events are evicted together. A row that is kept longer is copied, because a view would
            # keep the rows of its whole chunk in memory.
            kept_row = row.copy() if flag or probability > 0.0 else row
            put((event.tenant, event.app, event.call_id), BufferedEvent(kept_row, base, margin, flag, probability))

    def _request_labels(self, scored: ScoredEvents, probabilities: Sequence[float], novelties: Sequence[float]) -> None:
        for k, probability in enumerate(probabilities):
            if probability > 0.0:
                odds = float(scored.odds[k])
                reason = "new" if novelties[k] > 2.0 * uncertainty(odds) else "uncertain"
                self.selected.append(SelectedEvent(scored.indices[k], odds, scored.flags[k], probability, reason))

    def quality_changes(self, index: int, event: LLMEvent, offset: int, time_ms: int) -> Sequence[ChangePoint]:
        """Return changes of the live quality in the scope of an event since the last report; usually none."""
        if not self._unreported:
            return ()
        scope = (event.tenant, event.app)
        if (current := self._unreported.pop(event.tenant, scope)) is None:
            return ()
        before = self._reported.peek(event.tenant, scope) or current
        self._reported.put(event.tenant, scope, current)
        segment = {"tenant": event.tenant, "app": event.app}
        return [
            ChangePoint(index, f"{self.signal}.{metric}", segment, offset, time_ms, old, new, 1.0)
            for metric, old, new in zip(_QUALITY_METRICS, before, current, strict=True)
            if new >= 0.0
        ]

    def take_requests(self) -> list[SelectedEvent]:
        """Return and clear the events selected since the last call, in event order."""
        selected, self.selected = self.selected, []
        return selected

    # Per label

    def learn(self, feedback: Feedback) -> bool:
        """Learn a label; return False if its event is unknown or evicted, or if the label does not count."""
        key = (feedback.tenant, feedback.app, feedback.call_id)
        event = self.label_buffer.get(key)
        if event is None:
            self.counts.unknown += 1
            return False
        verified = is_verified(feedback.source)
        track = self.tracks.track(verified=verified)
        if track.consensus.is_duplicate(feedback.tenant, feedback.feedback_id):
            self.counts.repeated += 1
            return False
        watermark = self._watermarks.get(key[:2])
        if not verified and not self.budget.spend(key[:2], watermark):
            self.counts.over_budget += 1
            return False
        self._now = watermark or self._now
        annotator, consensus = annotator_of(feedback), track.consensus.get_or_create(key)
        trust_before = track.annotators.trust(annotator)
        weight = track.annotators.label_weight(annotator, feedback.source, self._now)
        is_first = not self.tracks.has_votes(key)
        self.tracks.compare(track, annotator, key, event, label=feedback.label)
        if is_first and track.annotators.trust(annotator) > 0.0:
            self._measure_quality(feedback, event)
        if track.accepts_vote(annotator, consensus):
            consensus.votes[annotator] = (feedback.label, weight)
        if trust_before > 0.0 and track.annotators.trust(annotator) == 0.0:
            # The annotator has just lost all trust: retract the earlier labels as well.
            for labelled, _ in track.consensus.labelled_by(annotator):
                self.tracks.learn_consensus(track, labelled, self.label_buffer.get(labelled))
        self._learn_vote(key, event, annotator, track)
        return True

    def _measure_quality(self, feedback: Feedback, event: BufferedEvent) -> None:
        """Add the first label of an event to the live quality, with the score from before the label."""
        scope = (feedback.tenant, feedback.app)
        self.quality.add(scope, event.margin, event.sampling_probability, flag=event.flag, label=feedback.label)
        current = self.quality.metrics(scope)[0]
        if current.labels >= self.config.quality_labels:
            error = current.calibration_error
            values = (current.precision, current.recall, current.auc, None if error is None else 1.0 - error)
            self._unreported.put(feedback.tenant, scope, tuple(-1.0 if v is None else v for v in values))

    def _learn_vote(self, key: CallKey, event: BufferedEvent, annotator: Annotator, track: LabelTrack) -> None:
        """Learn the consensus after a new vote and count the outcome."""
        if track.annotators.trust(annotator) == 0.0:
            self.counts.untrusted += 1
        outcome = self.tracks.learn_consensus(track, key, event)
        votes = track.consensus.get_or_create(key).votes
        if outcome == "overruled" or (outcome == "no_consensus" and len(votes) > 1):
            self.counts.no_consensus += 1
        elif outcome == "learned":
            self.counts.learned += 1
            self._labels_since_version += track is self.tracks.verified
            if self._labels_since_version >= self.config.labels_per_version:
                self.keep_version("labels")
        elif outcome == "unchanged":
            self.counts.confirmed += 1

    # Versions

    def current_version(self, reason: str = "labels") -> WeightVersion:
        """Return the current weights as a version."""
        weights = self.deltas.weights()
        quality = [q.as_dict() for q in self.quality.metrics()]
        return WeightVersion(version_name(weights), self._now, self.counts.learned, reason, quality, weights)

    def keep_version(self, reason: str) -> None:
        """Add the current weights to the versions."""
        self._labels_since_version = 0
        version = self.current_version(reason)
        self.versions.add(version)
        self.version_name = version.name

    def apply_command(self, command: ModelCommand, *, repeated: bool = False) -> bool:
        """Apply a rollback or an import.

        Returns
        -------
        bool
            False, with everything unchanged, for a repeated command, an unknown version, or weights that are damaged or
            made for other base weights.
        """
        try:
            if repeated:
                raise StateError(f"command {command.command_id}: already applied")
            weights = self._commanded_weights(command)
            self.keep_version(f"before {command.action}")
            self.tracks.load(weights)
        except (StateError, ValueError, KeyError):
            self.counts.command_rejected += 1
            return False
        self.version_name = command.version
        if command.action == "import":
            self.keep_version("imported")
        self.counts.command_applied += 1
        return True

    def _commanded_weights(self, command: ModelCommand) -> Mapping[str, Any]:
        if command.weights is not None:
            if (command.weights.signal, command.weights.base) != (self.signal, self.base):
                raise StateError(f"weights {command.version}: made for other base weights; train and export them again")
            weights: Mapping[str, Any] = from_file(command.weights)
            WeightDeltas(self.deltas.spec, 0.0, 0.0, 1, self.config.tenants, 0.0).load(weights)
            return weights
        if command.version == SHIPPED:
            return NO_DELTAS
        version = self.versions.get(command.version)
        if version is None:
            raise StateError(f"version {command.version}: unknown on this partition; list the versions and choose one")
        return version.weights

    # Live quality

    def quality_of(self, feedback: Feedback) -> list[tuple[Scope, Quality]]:
        """Return the live quality over all scopes and in the scope of a label."""
        label_scope = (feedback.tenant, feedback.app)
        return [(scope, q) for scope in (ALL_SCOPES, label_scope) for q in self.quality.metrics(scope)]

    @property
    def hour(self) -> datetime:
        """Hour of event time in the scope of the latest label."""
        return datetime.fromtimestamp(self._now // HOUR_MS * 3600, UTC)

    def state(self) -> dict[str, Any]:
        """Return the complete state as arrays and JSON-serialisable values."""
        return {
            "base": self.base,
            "version_name": self.version_name,
            "counts": asdict(self.counts),
            "tracks": self.tracks.state(),
            "budget": self.budget.state(),
            "events": self.label_buffer.state(),
            "quality": self.quality.state(),
            "sampler": self.sampler.state(),
            "versions": self.versions.state(),
            "numbers": np.array([self._labels_since_version, self._now], np.int64),
            "times": (Watermarks() if self._shares_watermarks else self._watermarks).state(),
            "lent": self._shared_fraction.state(),
            "told": _quality_state(self._reported),
            "news": _quality_state(self._unreported),
        }

    def restore(self, state: Any) -> None:
        """Load a state.

        Raises
        ------
        ValueError, KeyError, TypeError
            If the state does not fit. The learner may then be partially restored.
        """
        if expect_text(state["base"]) != self.base:
            raise ValueError("the state was learned on top of other base weights")
        current_name = expect_text(state["version_name"])
        counts = {f.name: int(state["counts"][f.name]) for f in fields(LabelCounts)}
        self.tracks.restore(state["tracks"])
        self.budget.restore(state["budget"])
        self.label_buffer.restore(state["events"])
        self.quality.restore(state["quality"])
        self.sampler.restore(state["sampler"])
        self.versions.restore(state["versions"])
        self._labels_since_version, self._now = expect_array(state["numbers"], np.int64, 2).tolist()
        if not self._shares_watermarks:
            self._watermarks.restore(state["times"])
        expect_times_ms(self._now)
        expect_counts(self._labels_since_version, *counts.values())
        self._shared_fraction.restore(state["lent"])
        _restore_quality(self._reported, state["told"])
        _restore_quality(self._unreported, state["news"])
        self.counts, self.version_name = LabelCounts(**counts), current_name
        self.selected = []


def _apply_deltas(
    deltas: WeightDeltas, rows: NDArray[Any], tenants: Sequence[str], margins: NDArray[np.float64]
) -> None:
    if not deltas.is_empty:
        slots = np.fromiter((deltas.slot(tenant) for tenant in tenants), np.int64, len(tenants))
        deltas.apply(rows, slots, margins)


def _quality_state(by_scope: TenantLru[Scope, tuple[float, ...]]) -> dict[str, Any]:
    values = np.array(list(by_scope.values()), np.float64).reshape(len(by_scope), len(_QUALITY_METRICS))
    return {"places": [list(scope) for scope in by_scope], "tenants": by_scope.tenants(), "values": values}


def _restore_quality(by_scope: TenantLru[Scope, tuple[float, ...]], state: Mapping[str, Any]) -> None:
    scopes = [expect_texts(scope, 2) for scope in state["places"]]
    values = expect_array(state["values"], np.float64, len(scopes), len(_QUALITY_METRICS)).tolist()
    by_scope.restore(state["tenants"], ((tenant, app) for tenant, app in scopes), map(tuple, values))
