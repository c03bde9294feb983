"""All that was said of one event, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from agents.common.state_validation import array, texts
from agents.common.tenant_map import TenantLru
from agents.learning.annotators import Labeller
from agents.learning.label_buffer import CallKey

VOTES_MAX = 16
NOT_KEPT = -1


@dataclass(slots=True)
class Ballot:
    """The votes on one event.

    Attributes
    ----------
    votes
        Labeller to what was said and what that weighed when it was said; a labeller's last word counts.
    kept
        Name of the label that `agents.learning.deltas.Moves` keeps for it; `NOT_KEPT` if none.
    said
        Sign and cap with which it is kept.
    """

    votes: dict[Labeller, tuple[bool, float]] = field(default_factory=dict)
    kept: int = NOT_KEPT
    said: tuple[int, float] = (0, 0.0)

    def sum(self, believed: Mapping[Labeller, float]) -> float:
        """Weigh the votes against one another: positive for True; contradictory ones of equal weight give 0."""
        return sum(
            weight * (1.0 if label else -1.0)
            for who, (label, weight) in self.votes.items()
            if believed.get(who, 0.0) > 0.0
        )


class Ballots:
    """Ballots of the last ``size`` labelled events and the last ``size`` feedback ids, a fair share for each tenant."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._ballots = TenantLru[CallKey, Ballot](size)
        self._seen = TenantLru[str, bool](size)

    def again(self, tenant: str, feedback_id: str) -> bool:
        """Whether this feedback was seen before; remembers that it was seen now."""
        if self._seen.peek(tenant, feedback_id):
            return True
        self._seen.put(tenant, feedback_id, True)
        return False

    def of(self, key: CallKey) -> Ballot:
        """Return the ballot of an event, a fresh one if there is none."""
        ballot = self._ballots.peek(key[0], key)
        if ballot is None:
            ballot = Ballot()
            self._ballots.put(key[0], key, ballot)
        return ballot

    def find(self, key: CallKey) -> Ballot | None:
        """Return the ballot of an event; None if there is none."""
        return self._ballots.peek(key[0], key)

    def by(self, who: Labeller) -> Iterator[tuple[CallKey, Ballot]]:
        """Yield the ballots on which a labeller voted."""
        return ((key, ballot) for _, key, ballot in self._ballots.items() if who in ballot.votes)

    def forget_kept(self) -> None:
        """Note that no label is kept any more: the weights are others."""
        for ballot in self._ballots.values():
            ballot.kept = NOT_KEPT

    def state(self) -> dict[str, Any]:
        """Return lists and arrays in the order of `TenantLru.items`."""
        votes = [v for b in self._ballots.values() for v in b.votes.values()]
        return {
            "keys": [list(key) for key in self._ballots],
            "tenants": self._ballots.tenants(),
            "kept": np.array([b.kept for b in self._ballots.values()], np.int64),
            "said": np.array([b.said for b in self._ballots.values()], np.float64).reshape(len(self._ballots), 2),
            "counts": np.array([len(b.votes) for b in self._ballots.values()], np.int64),
            "labellers": [list(who) for b in self._ballots.values() for who in b.votes],
            "votes": np.array(votes, np.float64).reshape(len(votes), 2),
            "seen": list(self._seen),
            "seen_tenants": self._seen.tenants(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`; raises ValueError if it does not fit."""
        keys, seen = [texts(k, 3) for k in state["keys"]], texts(state["seen"])
        labellers = [texts(w, 2) for w in state["labellers"]]
        kept, counts = array(state["kept"], np.int64, len(keys)), array(state["counts"], np.int64, len(keys))
        held = array(state["said"], np.float64, len(keys), 2).tolist()
        votes = array(state["votes"], np.float64, len(labellers), 2).tolist()
        if max(len(keys), len(seen)) > self.size or counts.sum() != len(labellers):
            raise ValueError(f"{len(keys)} ballots, {len(seen)} ids, at most {self.size}; {len(labellers)} votes")
        if len(counts) and not 0 <= counts.min() <= counts.max() <= VOTES_MAX:
            raise ValueError(f"ballots of up to {counts.max()} votes, at most {VOTES_MAX}")
        said = iter(zip(labellers, votes, strict=True))
        ballots = [
            Ballot({(w[0], w[1]): (bool(v), x) for w, (v, x) in islice(said, count)}, name, (int(sign), cap))
            for name, (sign, cap), count in zip(kept.tolist(), held, counts.tolist(), strict=True)
        ]
        self._ballots.restore(state["tenants"], ((tenant, app, call) for tenant, app, call in keys), ballots)
        self._seen.restore(state["seen_tenants"], seen, [True] * len(seen))
