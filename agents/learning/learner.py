"""Everything between a label and the score of the next event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.base import Change, Chunk
from agents.common.state_validation import array, text, texts, time_ms
from agents.common.state_validation import counts as whole
from agents.common.tenant_map import TenantLru
from agents.common.watermark import Watermarks
from agents.learning.active_sampling import HOUR_MS, Sampler, uncertainty
from agents.learning.annotators import Labeller, labeller
from agents.learning.config import LearningConfig
from agents.learning.deltas import NOTHING, Moves, Space
from agents.learning.label_budget import DailyBudget
from agents.learning.label_buffer import CallKey, Events, Remembered
from agents.learning.prequential import EVERYWHERE, Prequential, Quality
from agents.learning.shared_fraction import Lending
from agents.learning.track import Track, Tracks, is_verified
from agents.learning.weight_versions import SHIPPED, Version, Versions, from_file, name_of
from schemas.errors import StateError
from schemas.event import LLMEvent
from schemas.feedback import Feedback
from schemas.learning import ModelCommand, Signal

_TOLD = ("precision", "recall", "auc", "calibration")


@dataclass(slots=True)
class LabelCounts:
    """Labels and commands by outcome: the metric ``streamgauge_labels_total``.

    Attributes
    ----------
    learned
        Labels that changed what is kept of their event.
    confirmed
        Labels that said what was known already.
    repeated, unknown
        Labels seen before, and those whose event is not (or no longer) known here.
    no_consensus
        Labels that left their event without a verdict: as much speaks for as against. And unverified labels that a
        verified one of the same event contradicts.
    untrusted
        Labels of somebody who is set aside.
    over_budget
        Unverified labels beyond those that count in a day.
    command_applied, command_rejected
        Commands to the model; a rejected one changes nothing.
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


class Scored(NamedTuple):
    """What the learner is told of scored events; columns of equal length.

    Attributes
    ----------
    which
        Indexes of the events in their chunk, ascending.
    rows
        Features, as `agents.learning.deltas.Space` takes them; they are kept, and must not be written to again.
    base
        Log odds by the weights that do not change, as they were trained: without a threshold taken off.
    odds
        Log odds of the score that is published.
    flags
        Whether it is flagged.
    """

    which: Sequence[int]
    rows: NDArray[Any]
    base: NDArray[np.float64]
    odds: NDArray[np.float64]
    flags: Sequence[bool]


@dataclass(frozen=True, slots=True)
class Request:
    """A label to ask for: of the event at an index of the chunk."""

    index: int
    odds: float
    flag: bool
    probability: float
    reason: str


class Learner:
    """Joins labels with their events, weighs them, and moves the weights; the same for every agent that learns.

    An agent asks it three things for each event: by how much labels moved its margin (`apply`), to remember it
    (`scored`), and whether its app's live quality has news (`changes`).

    Parameters
    ----------
    signal
        The agent's name.
    space
        Features of an event.
    base
        Digest of the weights that do not change; what was learned is relative to them.
    config
        See `LearningConfig`.

    Attributes
    ----------
    tracks
        What verified and unverified labels taught.
    budget
        Unverified labels that count per scope and day.
    version_name
        The version that the present weights are, or have moved on from.
    """

    def __init__(self, signal: Signal, space: Space, base: str, config: LearningConfig | None = None) -> None:
        self.signal, self.base = signal, base
        self.config = config = config or LearningConfig()
        self.counts = LabelCounts()
        # Without a reference to the learner: a cycle would keep 100 MB of tables until a full collection.
        self._lending = Lending(config.labels_at_once, config.segments)
        self.tracks = Tracks(space, config, self._lending.share)
        self.budget = DailyBudget(config.unverified_labels_a_day)
        self.events = Events(
            config.events, space.kept if space.hashed else space.size, np.int32 if space.hashed else np.float64
        )
        self.quality = Prequential(config.segments, config.fading)
        self.sampler = Sampler(signal, config.requests_per_hour, config.segments)
        self.versions = Versions(config.versions)
        self.requests: list[Request] = []
        self.version_name = SHIPPED
        self._times, self._follows = Watermarks(), False
        # Event time of the scope whose event or label came last.
        self._now = 0
        self._since_version = 0
        self._told = TenantLru[tuple[str, str], tuple[float, ...]](config.segments)
        self._news = TenantLru[tuple[str, str], tuple[float, ...]](config.segments)

    # Of each event

    @property
    def moves(self) -> Moves:
        """What verified labels moved: the weights that are versioned, exported and shared with other tenants."""
        return self.tracks.verified.moves

    def apply(self, rows: NDArray[Any], tenants: Sequence[str], margins: NDArray[np.float64]) -> NDArray[np.float64]:
        """Add to each margin what labels moved it by; one row, tenant and margin for each text.

        Returns
        -------
        NDArray[np.float64]
            The part of it that unverified labels moved, at most `LearningConfig.unverified_limit` up or down.
        """
        _move(self.moves, rows, tenants, margins)
        unverified = np.zeros(len(margins))
        if not self.tracks.unverified.moves.idle:
            limit = self.config.unverified_limit
            _move(self.tracks.unverified.moves, rows, tenants, unverified)
            np.clip(unverified, -limit, limit, unverified)
            margins += unverified
        return unverified

    def follow(self, watermarks: Watermarks) -> None:
        """Take the time of each scope from watermarks that somebody else advances before each chunk."""
        self._times, self._follows = watermarks, True

    def scored(self, chunk: Chunk, said: Scored) -> None:
        """Remember events of a chunk for labels to come, and decide for which to ask."""
        events, places = [chunk.events[i] for i in said.which], [chunk.places[i] for i in said.which]
        times = chunk.timing.watermarks[said.which]
        if not self._follows:
            for place, mark in zip(places, times.tolist(), strict=True):
                self._times.advance(place, mark)
        if events:
            self._now = int(chunk.now[said.which[-1]])
        chances = [0.0] * len(events)
        if events and self.config.requests_per_hour > 0.0:
            names = [e.event_id for e in events]
            chances, novelties = self.sampler.chances(places, names, times, said.odds, said.rows)
            self._ask(said, chances, novelties)
        keep = self.events.keep
        for event, row, base, margin, flag, chance in zip(
            events, said.rows, said.base.tolist(), said.odds.tolist(), said.flags, chances, strict=True
        ):
            # The latest leave together. A row that is kept for longer must not keep those of its whole chunk.
            own = row.copy() if flag or chance > 0.0 else row
            keep((event.tenant, event.app, event.call_id), Remembered(own, base, margin, flag, chance))

    def _ask(self, said: Scored, chances: Sequence[float], novelties: Sequence[float]) -> None:
        for k, chance in enumerate(chances):
            if chance > 0.0:
                odds = float(said.odds[k])
                reason = "new" if novelties[k] > 2.0 * uncertainty(odds) else "uncertain"
                self.requests.append(Request(said.which[k], odds, said.flags[k], chance, reason))

    def changes(self, index: int, event: LLMEvent, offset: int, time_ms: int) -> Sequence[Change]:
        """Return what labels have since told of the quality at an event's tenant and app; most often nothing."""
        if not self._news:
            return ()
        place = (event.tenant, event.app)
        if (news := self._news.pop(event.tenant, place)) is None:
            return ()
        before = self._told.peek(event.tenant, place) or news
        self._told.put(event.tenant, place, news)
        segment = {"tenant": event.tenant, "app": event.app}
        return [
            Change(index, f"{self.signal}.{what}", segment, offset, time_ms, old, new, 1.0)
            for what, old, new in zip(_TOLD, before, news, strict=True)
            if new >= 0.0
        ]

    def take_requests(self) -> list[Request]:
        """Return the labels to ask for since the last call, in event order."""
        found, self.requests = self.requests, []
        return found

    # Of each label

    def learn(self, feedback: Feedback) -> bool:
        """Take a label in; False if its event is not known here or the label was seen before."""
        key = (feedback.tenant, feedback.app, feedback.call_id)
        event = self.events.find(key)
        if event is None:
            self.counts.unknown += 1
            return False
        verified = is_verified(feedback.source)
        track = self.tracks.of(verified=verified)
        if track.ballots.again(feedback.tenant, feedback.feedback_id):
            self.counts.repeated += 1
            return False
        mark = self._times.of(key[:2])
        if not verified and not self.budget.spend(key[:2], mark):
            self.counts.over_budget += 1
            return False
        self._now = mark or self._now
        who, ballot = labeller(feedback), track.ballots.of(key)
        before = track.labellers.believed(who)
        weight = track.labellers.count(who, feedback.source, self._now)
        is_first = not self.tracks.has_votes(key)
        self.tracks.compare(track, who, key, event, label=feedback.label)
        if is_first and track.labellers.believed(who) > 0.0:
            self._judge(feedback, event)
        if track.has_room(who, ballot):
            ballot.votes[who] = (feedback.label, weight)
        if before > 0.0 and track.labellers.believed(who) == 0.0:
            for labelled, _ in track.ballots.by(who):  # whoever contradicts everything: their labels are taken back
                self.tracks.hold(track, labelled, self.events.find(labelled))
        self._settle(key, event, who, track)
        return True

    def _judge(self, feedback: Feedback, event: Remembered) -> None:
        """Count the first label of an event for the live quality, by the score it had before."""
        place = (feedback.tenant, feedback.app)
        self.quality.add(place, event.margin, event.chance, flag=event.flag, label=feedback.label)
        now = self.quality.of(place)[0]
        if now.labels >= self.config.quality_labels:
            error = now.calibration_error
            values = (now.precision, now.recall, now.auc, None if error is None else 1.0 - error)
            self._news.put(feedback.tenant, place, tuple(-1.0 if v is None else v for v in values))

    def _settle(self, key: CallKey, event: Remembered, who: Labeller, track: Track) -> None:
        """Count what a vote led to."""
        if track.labellers.believed(who) == 0.0:
            self.counts.untrusted += 1
        outcome = self.tracks.hold(track, key, event)
        if outcome == "overruled" or (outcome == "no_consensus" and len(track.ballots.of(key).votes) > 1):
            self.counts.no_consensus += 1
        elif outcome == "learned":
            self.counts.learned += 1
            self._since_version += track is self.tracks.verified
            if self._since_version >= self.config.labels_per_version:
                self.keep_version("labels")
        elif outcome == "same":
            self.counts.confirmed += 1

    # Versions

    def current(self, reason: str = "labels") -> Version:
        """Return the weights as they are now."""
        weights = self.moves.weights()
        quality = [q.as_dict() for q in self.quality.of()]
        return Version(name_of(weights), self._now, self.counts.learned, reason, quality, weights)

    def keep_version(self, reason: str) -> None:
        """Remember the weights as they are now."""
        self._since_version = 0
        version = self.current(reason)
        self.versions.keep(version)
        self.version_name = version.name

    def command(self, command: ModelCommand, *, repeated: bool = False) -> bool:
        """Obey; False, and nothing changes, for a repeated one, a version that is not kept here, weights of others."""
        try:
            if repeated:
                raise StateError(f"command {command.command_id}: it came before")
            weights = self._commanded(command)
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

    def _commanded(self, command: ModelCommand) -> Mapping[str, Any]:
        if command.weights is not None:
            if (command.weights.signal, command.weights.base) != (self.signal, self.base):
                raise StateError(f"weights {command.version}: for other base weights; retrain or export anew")
            weights: Mapping[str, Any] = from_file(command.weights)
            Moves(self.moves.space, 0.0, 0.0, 1, self.config.tenants, 0.0).load(weights)
            return weights
        if command.version == SHIPPED:
            return NOTHING
        found = self.versions.find(command.version)
        if found is None:
            raise StateError(f"version {command.version}: not kept here")
        return found.weights

    # Quality, told after each label

    def quality_of(self, feedback: Feedback) -> list[tuple[tuple[str, str], Quality]]:
        """Return the live quality at a label's tenant and app, and everywhere."""
        place = (feedback.tenant, feedback.app)
        return [(where, q) for where in (EVERYWHERE, place) for q in self.quality.of(where)]

    @property
    def hour(self) -> datetime:
        """The hour of event time it was where the last label belongs."""
        return datetime.fromtimestamp(self._now // HOUR_MS * 3600, UTC)

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as arrays and JSON-able values."""
        return {
            "base": self.base,
            "version_name": self.version_name,
            "counts": asdict(self.counts),
            "tracks": self.tracks.state(),
            "budget": self.budget.state(),
            "events": self.events.state(),
            "quality": self.quality.state(),
            "sampler": self.sampler.state(),
            "versions": self.versions.state(),
            "numbers": np.array([self._since_version, self._now], np.int64),
            "times": (Watermarks() if self._follows else self._times).state(),
            "lent": self._lending.state(),
            "told": _places(self._told),
            "news": _places(self._news),
        }

    def restore(self, state: Any) -> None:
        """Continue from `state`; raises ValueError, KeyError or TypeError, and may be left half restored."""
        if text(state["base"]) != self.base:
            raise ValueError("learned beside other weights")
        version_name = text(state["version_name"])
        counts = {f.name: int(state["counts"][f.name]) for f in fields(LabelCounts)}
        for part in ("tracks", "budget", "events", "quality", "sampler", "versions"):
            getattr(self, part).restore(state[part])
        self._since_version, self._now = array(state["numbers"], np.int64, 2).tolist()
        if not self._follows:
            self._times.restore(state["times"])
        time_ms(self._now)
        whole(self._since_version, *counts.values())
        self._lending.restore(state["lent"])
        for kept, given in ((self._told, state["told"]), (self._news, state["news"])):
            _fill(kept, given)
        self.counts, self.version_name = LabelCounts(**counts), version_name
        self.requests = []


def _move(moves: Moves, rows: NDArray[Any], tenants: Sequence[str], margins: NDArray[np.float64]) -> None:
    if not moves.idle:
        slots = np.fromiter((moves.slot(t) for t in tenants), np.int64, len(tenants))
        moves.apply(rows, slots, margins)


def _places(told: TenantLru[tuple[str, str], tuple[float, ...]]) -> dict[str, Any]:
    values = np.array(list(told.values()), np.float64).reshape(len(told), len(_TOLD))
    return {"places": [list(place) for place in told], "tenants": told.tenants(), "values": values}


def _fill(told: TenantLru[tuple[str, str], tuple[float, ...]], state: Mapping[str, Any]) -> None:
    places = [texts(place, 2) for place in state["places"]]
    values = array(state["values"], np.float64, len(places), len(_TOLD)).tolist()
    told.restore(state["tenants"], ((tenant, app) for tenant, app in places), map(tuple, values))
