"""Separate tracks for verified and unverified labels: each has its own votes, annotators and weight deltas."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from agents.learning.annotators import Annotator, AnnotatorReliability
from agents.learning.config import LearningConfig
from agents.learning.consensus import NOT_LEARNED, VOTES_MAX, ConsensusStore, LabelConsensus
from agents.learning.deltas import NO_DELTAS, FeatureSpec, WeightDeltas, WeightedLabel
from agents.learning.label_buffer import BufferedEvent, CallKey
from schemas.feedback import UNVERIFIED

LearnOutcome: TypeAlias = Literal["unchanged", "learned", "no_consensus", "overruled"]


class LabelTrack:
    """Votes, annotator reliability and weight deltas from the labels of one class of sources.

    Verified labels come from annotators and judges, whom somebody appointed. Unverified labels (thumbs, user) come from
    any user of an app, under any number of names. The two classes share no vote, no annotator record and no weight, so
    unverified labels can outvote, outnumber and evict only unverified labels.

    Parameters
    ----------
    spec, config
        See `agents.learning.learner.Learner`.
    verified
        True for verified labels. Unverified labels move the weights of their own tenant only.
    """

    def __init__(self, spec: FeatureSpec, config: LearningConfig, *, verified: bool) -> None:
        self.strength, self.revisits = config.strength, config.revisits
        self.consensus, self.annotators = ConsensusStore(2 * config.labels_kept), AnnotatorReliability(config)
        shared, tenant = config.shared_weight, config.tenant_weight
        weights = (shared, tenant) if verified else (0.0, shared + tenant)
        self.deltas = WeightDeltas(spec, *weights, config.labels_kept, config.tenants, config.noise)

    def accepts_vote(self, annotator: Annotator, consensus: LabelConsensus) -> bool:
        """Return True if the vote of an annotator on an event can be counted."""
        return annotator in consensus.votes or len(consensus.votes) < VOTES_MAX

    def weighted_sum(self, consensus: LabelConsensus) -> float:
        """Return the weighted sum of the trusted votes, see `LabelConsensus.weighted_sum`."""
        return consensus.weighted_sum({annotator: self.annotators.trust(annotator) for annotator in consensus.votes})

    def has_trusted_vote(self, key: CallKey) -> bool:
        """Return True if a trusted annotator voted on an event."""
        consensus = self.consensus.get(key)
        return consensus is not None and any(self.annotators.trust(annotator) > 0.0 for annotator in consensus.votes)

    def learn_consensus(
        self, key: CallKey, event: BufferedEvent | None, total: float, shared_fraction: Callable[[], float]
    ) -> LearnOutcome:
        """Replace the learned label of an event with the consensus of its votes.

        Parameters
        ----------
        key, event
            The event; None if it is no longer buffered.
        total
            Weighted sum of the votes; 0 retracts the label.
        shared_fraction
            Returns the fraction of the label that affects other tenants; called only if the label is learned.

        Returns
        -------
        LearnOutcome
            ``unchanged``, ``learned``, or ``no_consensus`` if no label is learned.
        """
        consensus = self.consensus.get_or_create(key)
        max_dual = min(1.0, abs(total)) * self.strength
        sign = 1 if total > 0.0 else -1
        if consensus.label_id != NOT_LEARNED:
            if consensus.learned == (sign, max_dual):
                return "unchanged"
            if not self.deltas.retract(consensus.label_id):
                return "unchanged"  # the label is too old: its deltas can no longer be separated
            consensus.label_id = NOT_LEARNED
        if max_dual < 1e-6 or event is None:
            return "no_consensus"
        label = WeightedLabel(key[0], sign, max_dual, shared_fraction())
        consensus.label_id = self.deltas.add(event.row, event.base, label, self.revisits)
        consensus.learned = (sign, max_dual)
        return "learned"

    def load(self, weights: Mapping[str, Any]) -> None:
        """Replace the weight deltas, see `WeightDeltas.load`; no learned label can be retracted any more."""
        self.deltas.load(weights)
        self.consensus.forget_learned()

    def state(self) -> dict[str, Any]:
        """Return the complete state as arrays and JSON-serialisable values."""
        return {
            "moves": self.deltas.state(),
            "ballots": self.consensus.state(),
            "labellers": self.annotators.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Load a state.

        Raises
        ------
        ValueError, KeyError, TypeError
            If the state does not fit. The track may then be partially restored.
        """
        self.deltas.restore(state["moves"])
        self.consensus.restore(state["ballots"])
        self.annotators.restore(state["labellers"])


class LabelTracks:
    """Tracks of verified and of unverified labels. Verified labels overrule unverified ones, never the reverse.

    Parameters
    ----------
    spec, config
        See `agents.learning.learner.Learner`.
    shared_fraction
        Returns the fraction of a tenant's next verified label that affects other tenants.
    """

    def __init__(self, spec: FeatureSpec, config: LearningConfig, shared_fraction: Callable[[str], float]) -> None:
        self.verified, self.unverified = (LabelTrack(spec, config, verified=verified) for verified in (True, False))
        self._shared_fraction = shared_fraction

    def track(self, *, verified: bool) -> LabelTrack:
        """Return the track of verified, or of unverified, labels."""
        return self.verified if verified else self.unverified

    def has_votes(self, key: CallKey) -> bool:
        """Return True if an event has any label."""
        return any(_votes(track, key) for track in (self.verified, self.unverified))

    def compare(
        self, track: LabelTrack, annotator: Annotator, key: CallKey, event: BufferedEvent, *, label: bool
    ) -> None:
        """Update the reliability of an annotator and of the other annotators of an event by a new label.

        The label is compared with the model and with the other labels, and the other labels with this label. A changed
        label is compared twice, once to undo the comparison of the first label. A label that does not count as a vote
        (a repetition, or one too many) is not compared. An unverified label never counts against a verified one:
        otherwise invented users could discredit an annotator.
        """
        consensus, reliability = track.consensus.get_or_create(key), track.annotators
        previous = consensus.votes.get(annotator)
        if previous is None:
            if not track.accepts_vote(annotator, consensus):
                return
            reliability.observe_rank(annotator, event.base, label=label)
        elif previous[0] == label:
            return
        peers = [(peer, peer_label) for peer, (peer_label, _) in consensus.votes.items() if peer != annotator]
        for _ in range(1 if previous is None else 2):
            reliability.observe_model(annotator, event.base, label=label)
            trust = reliability.trust(annotator)
            for peer, peer_label in peers:
                peer_trust = reliability.trust(peer)
                reliability.observe_peer(annotator, peer_label, peer_trust, label=label)
                reliability.observe_peer(peer, label, trust, label=peer_label)
            if track is self.verified:
                for peer, (peer_label, _) in _votes(self.unverified, key).items():
                    self.unverified.annotators.observe_peer(peer, label, trust, label=peer_label)
            else:
                for peer, (peer_label, _) in _votes(self.verified, key).items():
                    reliability.observe_peer(annotator, peer_label, self.verified.annotators.trust(peer), label=label)

    def learn_consensus(self, track: LabelTrack, key: CallKey, event: BufferedEvent | None) -> LearnOutcome:
        """Replace the learned label of an event with the consensus of its votes; trusted verified votes win.

        Returns
        -------
        LearnOutcome
            See `LabelTrack.learn_consensus`; ``overruled`` for an unverified label of an event with a trusted verified
            vote.
        """
        total = track.weighted_sum(track.consensus.get_or_create(key))
        if track is self.verified:
            outcome = track.learn_consensus(key, event, total, lambda: self._shared_fraction(key[0]))
            if _votes(self.unverified, key):
                self.learn_consensus(self.unverified, key, event)
            return outcome
        overruled = self.verified.has_trusted_vote(key)
        outcome = track.learn_consensus(key, event, 0.0 if overruled else total, lambda: 0.0)
        return "overruled" if overruled else outcome

    def load(self, weights: Mapping[str, Any]) -> None:
        """Replace the deltas from verified labels and clear the deltas from unverified labels.

        Versions contain what verified labels taught. A rollback therefore also removes the influence of invented users.
        """
        self.verified.load(weights)
        self.unverified.load(NO_DELTAS)

    def state(self) -> dict[str, Any]:
        """Return the complete state as arrays and JSON-serialisable values."""
        return {"verified": self.verified.state(), "unverified": self.unverified.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Load a state.

        Raises
        ------
        ValueError, KeyError, TypeError
            If the state does not fit. The tracks may then be partially restored.
        """
        self.verified.restore(state["verified"])
        self.unverified.restore(state["unverified"])


def _votes(track: LabelTrack, key: CallKey) -> Mapping[Annotator, tuple[bool, float]]:
    consensus = track.consensus.get(key)
    return {} if consensus is None else consensus.votes


def is_verified(source: str) -> bool:
    """Return True for a source of verified labels.

    Examples
    --------
    >>> is_verified("annotator"), is_verified("judge"), is_verified("thumbs"), is_verified("user")
    (True, True, False, False)
    """
    return source not in UNVERIFIED
