"""Verified and unverified labels, apart from one another: votes, labellers and moves of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agents.learning.annotators import Labeller, Labellers
from agents.learning.config import LearningConfig
from agents.learning.consensus import NOT_KEPT, VOTES_MAX, Ballot, Ballots
from agents.learning.deltas import NOTHING, Held, Moves, Space
from agents.learning.label_buffer import CallKey, Remembered
from schemas.feedback import UNVERIFIED


class Track:
    """What is known from the labels of one kind of sources.

    Verified labels are those of annotators and judges, whom somebody chose. Unverified ones (thumbs, user) come from
    whoever uses an app, under any name and as many names as they like. The two share no vote, no record of a labeller
    and no weight, so the unverified can outvote, outnumber and push out the unverified only.

    Parameters
    ----------
    space, config
        See `agents.learning.learner.Learner`.
    verified
        Whether the labels are. Unverified ones move the weights of their own tenant only.
    """

    def __init__(self, space: Space, config: LearningConfig, *, verified: bool) -> None:
        self.strength, self.revisits = config.strength, config.revisits
        self.ballots, self.labellers = Ballots(2 * config.labelled), Labellers(config)
        share, rest = (config.shared, config.own) if verified else (0.0, config.shared + config.own)
        self.moves = Moves(space, share, rest, config.labelled, config.tenants, config.noise)

    def has_room(self, who: Labeller, ballot: Ballot) -> bool:
        """Whether a labeller's vote on an event can be counted."""
        return who in ballot.votes or len(ballot.votes) < VOTES_MAX

    def total(self, ballot: Ballot) -> float:
        """Weigh the votes of believed labellers, see `Ballot.sum`."""
        return ballot.sum({voter: self.labellers.believed(voter) for voter in ballot.votes})

    def is_decided(self, key: CallKey) -> bool:
        """Whether a believed labeller voted on an event."""
        ballot = self.ballots.find(key)
        return ballot is not None and any(self.labellers.believed(voter) > 0.0 for voter in ballot.votes)

    def hold(self, key: CallKey, event: Remembered | None, total: float, lent: Callable[[], float]) -> str:
        """Make what is kept of an event that which its votes say.

        Parameters
        ----------
        total
            Sum of the votes; 0 keeps nothing.
        lent
            Returns the share of it that other tenants feel; called only for what is learned.

        Returns
        -------
        str
            ``same``, ``learned``, or ``no_consensus`` where nothing is kept.
        """
        ballot = self.ballots.of(key)
        cap = min(1.0, abs(total)) * self.strength
        sign = 1 if total > 0.0 else -1
        if ballot.kept != NOT_KEPT:
            if ballot.said == (sign, cap):
                return "same"
            if not self.moves.take_back(ballot.kept):
                return "same"  # long ago: it is no longer kept apart from the others
            ballot.kept = NOT_KEPT
        if cap < 1e-6 or event is None:
            return "no_consensus"
        ballot.kept = self.moves.add(event.row, event.base, Held(key[0], sign, cap, lent()), self.revisits)
        ballot.said = (sign, cap)
        return "learned"

    def load(self, weights: Mapping[str, Any]) -> None:
        """Put other weights in the place of the present ones, see `Moves.load`; no label is kept any more."""
        self.moves.load(weights)
        self.ballots.forget_kept()

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as arrays and JSON-able values."""
        return {part: getattr(self, part).state() for part in _PARTS}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`; raises ValueError, KeyError or TypeError, and may be left half restored."""
        for part in _PARTS:
            getattr(self, part).restore(state[part])


_PARTS = ("moves", "ballots", "labellers")


class Tracks:
    """The two tracks, and what passes between them: verified labels overrule unverified ones, never the reverse.

    Parameters
    ----------
    space, config
        See `agents.learning.learner.Learner`.
    lent
        Returns the share of one more verified label of a tenant that other tenants feel.
    """

    def __init__(self, space: Space, config: LearningConfig, lent: Callable[[str], float]) -> None:
        self.verified, self.unverified = (Track(space, config, verified=verified) for verified in (True, False))
        self._lent = lent

    def of(self, *, verified: bool) -> Track:
        """Return one of the tracks."""
        return self.verified if verified else self.unverified

    def has_votes(self, key: CallKey) -> bool:
        """Whether anybody labelled an event."""
        return any(_votes(track, key) for track in (self.verified, self.unverified))

    def compare(self, track: Track, who: Labeller, key: CallKey, event: Remembered, *, label: bool) -> None:
        """Hold a label against the model and the other labellers, the others' also against it.

        Who changes their mind is compared twice, once to undo what the first word counted. A label that is no vote, as
        it repeats one or there are too many, is not compared. Nothing unverified is held against a verified label:
        invented users could set an annotator aside.
        """
        ballot, ours = track.ballots.of(key), track.labellers
        before = ballot.votes.get(who)
        if before is None:
            if not track.has_room(who, ballot):
                return
            ours.place(who, event.base, label=label)
        elif before[0] == label:
            return
        others = [(other, said) for other, (said, _) in ballot.votes.items() if other != who]
        for _ in range(1 if before is None else 2):
            ours.against_model(who, event.base, label=label)
            mine = ours.believed(who)
            for other, said in others:
                theirs = ours.believed(other)
                ours.against_other(who, said, theirs, label=label)
                ours.against_other(other, label, mine, label=said)
            if track is self.verified:
                for other, (said, _) in _votes(self.unverified, key).items():
                    self.unverified.labellers.against_other(other, label, mine, label=said)
            else:
                for other, (said, _) in _votes(self.verified, key).items():
                    ours.against_other(who, said, self.verified.labellers.believed(other), label=label)

    def hold(self, track: Track, key: CallKey, event: Remembered | None) -> str:
        """Make what is kept of an event that which its votes say now: the verified ones where there are any.

        Returns
        -------
        str
            As `Track.hold`; ``overruled`` where an unverified label is kept apart for a verified one.
        """
        total = track.total(track.ballots.of(key))
        if track is self.verified:
            outcome = track.hold(key, event, total, lambda: self._lent(key[0]))
            if _votes(self.unverified, key):
                self.hold(self.unverified, key, event)
            return outcome
        overruled = self.verified.is_decided(key)
        outcome = track.hold(key, event, 0.0 if overruled else total, lambda: 0.0)
        return "overruled" if overruled else outcome

    def load(self, weights: Mapping[str, Any]) -> None:
        """Put other weights in the place of those that verified labels made; what unverified ones did is forgotten.

        Versions hold what verified labels taught: a rollback also ends what invented users moved.
        """
        self.verified.load(weights)
        self.unverified.load(NOTHING)

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as arrays and JSON-able values."""
        return {"verified": self.verified.state(), "unverified": self.unverified.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`; raises ValueError, KeyError or TypeError, and may be left half restored."""
        self.verified.restore(state["verified"])
        self.unverified.restore(state["unverified"])


def _votes(track: Track, key: CallKey) -> Mapping[Labeller, tuple[bool, float]]:
    ballot = track.ballots.find(key)
    return {} if ballot is None else ballot.votes


def is_verified(source: str) -> bool:
    """Whether somebody chose who gives labels of this source.

    Examples
    --------
    >>> is_verified("annotator"), is_verified("judge"), is_verified("thumbs"), is_verified("user")
    (True, True, False, False)
    """
    return source not in UNVERIFIED
