"""Deduplication: an event that is sent again is scored once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.base import State
from agents.common.state_validation import expect_counts, strict_restore
from agents.common.tenant_map import TenantLru
from schemas.errors import StateError
from schemas.event import LLMEvent


class Deduplicator:
    """Ids of the last ``size`` events of a partition, with a fair share for each tenant.

    No sender can promise to send an event once. A client whose response got lost sends it again, and so does a
    forwarder that was killed between delivery and commit (ADR 0007). Both send the same bytes under the same key, so
    the duplicate reaches the partition that scored the first copy. The identity of an event equals the sorting key of
    the event table: tenant, app, time and id. The identity of a fragment is its bytes, because the fragments of one
    call may share all of these.

    Parameters
    ----------
    size
        Number of remembered events; 0 disables deduplication. An event takes 8 bytes in a snapshot and about 190 bytes
        in memory.

    Attributes
    ----------
    dropped
        Number of duplicates.

    Examples
    --------
    >>> event = LLMEvent(event_id="e", call_id="c", time="2026-01-01T00:00:00Z", tenant="t", app="a")
    >>> deduplicator = Deduplicator(10)
    >>> deduplicator.is_duplicate(event, b"{}"), deduplicator.is_duplicate(event, b"{}"), deduplicator.dropped
    (False, True, 1)
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.dropped = 0
        self._seen = TenantLru[int, bool](size)

    def is_duplicate(self, event: LLMEvent, raw: bytes) -> bool:
        """Return True for an event that was seen before; remember the event, evicting the oldest."""
        if self.size == 0:
            return False
        event_hash = identity(event, raw)
        if self._seen.peek(event.tenant, event_hash):
            self.dropped += 1
            return True
        self._seen.put(event.tenant, event_hash, True)
        return False

    def state(self) -> State:
        """Return the complete state: identities in the order of `TenantLru.items`."""
        names = np.fromiter(self._seen, np.uint64, len(self._seen))
        return {"names": names, "tenants": self._seen.tenants(), "dropped": self.dropped}

    def restore(self, state: State) -> None:
        """Load a state, also one of another size if the setting has changed."""
        try:
            names = _expect_identities(state["names"])
            if len(names) > self.size:
                state = _latest(state, self.size)
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"deduplication: {error}; it starts cold", part="repeats") from error
        self._restore(state)

    @strict_restore
    def _restore(self, state: Mapping[str, Any]) -> None:
        names, dropped = state["names"], int(state["dropped"])
        expect_counts(dropped)
        if len(np.unique(names)) != len(names):
            raise ValueError("an identity occurs twice")
        self._seen.restore(state["tenants"], names.tolist(), [True] * len(names))
        self.dropped = dropped


def _latest(state: Mapping[str, Any], size: int) -> State:
    """Return the part of a larger state that fits into ``size`` entries."""
    large, small = (TenantLru[int, bool](capacity) for capacity in (len(state["names"]), size))
    large.restore(state["tenants"], state["names"].tolist(), [True] * len(state["names"]))
    for tenant, event_hash, seen in large.items() if size else ():
        small.put(tenant, event_hash, seen)
    return {**state, "names": np.fromiter(small, np.uint64, len(small)), "tenants": small.tenants()}


def identity(event: LLMEvent, raw: bytes) -> int:
    """Return a 64-bit identity of an event.

    One in 10^14 events is mistaken for one of 100,000 other events.
    """
    content = raw
    if event.kind != "fragment":
        key = f"{event.tenant}\0{event.app}\0{event.kind}\0{event.event_id}\0{event.time.timestamp()}"
        content = key.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def _expect_identities(value: Any) -> np.ndarray[Any, np.dtype[np.uint64]]:
    found = np.asarray(value)
    if found.dtype != np.uint64 or found.ndim != 1:
        raise ValueError(f"expected a one-dimensional uint64 array, found {found.dtype} of {found.ndim} dimensions")
    return found
