"""Consensus of all labels given to one event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from agents.common.state_validation import expect_array, expect_texts
from agents.common.tenant_map import TenantLru
from agents.learning.annotators import Annotator
from agents.learning.label_buffer import CallKey

VOTES_MAX = 16
NOT_LEARNED = -1


@dataclass(slots=True)
class LabelConsensus:
    """Votes of all annotators on one event, and the label learned from them.

    Attributes
    ----------
    votes
        Label and weight by annotator; the last label of an annotator counts.
    label_id
        Id of the learned label in `agents.learning.deltas.WeightDeltas`; `NOT_LEARNED` if there is none.
    learned
        Sign and maximum dual weight of the learned label.
    """

    votes: dict[Annotator, tuple[bool, float]] = field(default_factory=dict)
    label_id: int = NOT_LEARNED
    learned: tuple[int, float] = (0, 0.0)

    def weighted_sum(self, trust: Mapping[Annotator, float]) -> float:
        """Return the sum of the trusted votes: positive for True, 0 for contradictory votes of equal weight."""
        return sum(
            weight * (1.0 if label else -1.0)
            for annotator, (label, weight) in self.votes.items()
            if trust.get(annotator, 0.0) > 0.0
        )


class ConsensusStore:
    """Consensus of the last ``size`` labelled events and the last ``size`` feedback ids, in fair shares per tenant."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._by_call = TenantLru[CallKey, LabelConsensus](size)
        self._feedback_ids = TenantLru[str, bool](size)

    def is_duplicate(self, tenant: str, feedback_id: str) -> bool:
        """Return True for a feedback id that was seen before, and remember the id."""
        if self._feedback_ids.peek(tenant, feedback_id):
            return True
        self._feedback_ids.put(tenant, feedback_id, True)
        return False

    def get_or_create(self, key: CallKey) -> LabelConsensus:
        """Return the consensus of an event; create an empty one for an unknown event."""
        consensus = self._by_call.peek(key[0], key)
        if consensus is None:
            consensus = LabelConsensus()
            self._by_call.put(key[0], key, consensus)
        return consensus

    def get(self, key: CallKey) -> LabelConsensus | None:
        """Return the consensus of an event; None for an unknown event."""
        return self._by_call.peek(key[0], key)

    def labelled_by(self, annotator: Annotator) -> Iterator[tuple[CallKey, LabelConsensus]]:
        """Yield the events on which an annotator voted, with their consensus."""
        return ((key, found) for _, key, found in self._by_call.items() if annotator in found.votes)

    def forget_learned(self) -> None:
        """Mark every event as not learned, after the weights were replaced."""
        for consensus in self._by_call.values():
            consensus.label_id = NOT_LEARNED

    def state(self) -> dict[str, Any]:
        """Return the complete state, in the order of `TenantLru.items`."""
        stored = list(self._by_call.values())
        votes = [vote for consensus in stored for vote in consensus.votes.values()]
        return {
            "keys": [list(key) for key in self._by_call],
            "tenants": self._by_call.tenants(),
            "kept": np.array([c.label_id for c in stored], np.int64),
            "said": np.array([c.learned for c in stored], np.float64).reshape(len(stored), 2),
            "counts": np.array([len(c.votes) for c in stored], np.int64),
            "labellers": [list(annotator) for c in stored for annotator in c.votes],
            "votes": np.array(votes, np.float64).reshape(len(votes), 2),
            "seen": list(self._feedback_ids),
            "seen_tenants": self._feedback_ids.tenants(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Load a state; raise ValueError if it does not fit."""
        keys, feedback_ids = [expect_texts(key, 3) for key in state["keys"]], expect_texts(state["seen"])
        annotators = [expect_texts(annotator, 2) for annotator in state["labellers"]]
        label_ids, counts = (expect_array(state[name], np.int64, len(keys)) for name in ("kept", "counts"))
        learned = expect_array(state["said"], np.float64, len(keys), 2).tolist()
        votes = expect_array(state["votes"], np.float64, len(annotators), 2).tolist()
        if max(len(keys), len(feedback_ids)) > self.size or counts.sum() != len(annotators):
            raise ValueError(
                f"{len(keys)} events and {len(feedback_ids)} feedback ids (at most {self.size} each), "
                f"{len(annotators)} votes where the counts add up to {counts.sum()}"
            )
        if len(counts) and not 0 <= counts.min() <= counts.max() <= VOTES_MAX:
            raise ValueError(f"{counts.max()} votes on one event, but at most {VOTES_MAX} are allowed")
        pairs = iter(zip(annotators, votes, strict=True))
        stored = [
            LabelConsensus(
                {(who[0], who[1]): (bool(v), w) for who, (v, w) in islice(pairs, count)}, label_id, (int(s), c)
            )
            for label_id, (s, c), count in zip(label_ids.tolist(), learned, counts.tolist(), strict=True)
        ]
        self._by_call.restore(state["tenants"], ((tenant, app, call) for tenant, app, call in keys), stored)
        self._feedback_ids.restore(state["seen_tenants"], feedback_ids, [True] * len(feedback_ids))
