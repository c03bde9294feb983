"""Events that came before: what a client or a forwarder sends again is judged once."""

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
    """Knows the last ``size`` events of a partition, with a fair share for each tenant.

    No sender can promise to send once: a client whose answer got lost sends again, and so does a forwarder that was
    killed between delivery and commit (ADR 0007). Both send the same bytes under the same key, so a repeat meets the
    partition that judged the first. An event is what the store's sorting key says it is: tenant, app, time and id; a
    fragment of a call is its bytes, since the fragments of one call may share all of these.

    Parameters
    ----------
    size
        Events remembered; 0 remembers none. 8 bytes each in a snapshot, about 190 in memory.

    Attributes
    ----------
    dropped
        How many came again.

    Examples
    --------
    >>> event = LLMEvent(event_id="e", call_id="c", time="2026-01-01T00:00:00Z", tenant="t", app="a")
    >>> repeats = Deduplicator(10)
    >>> repeats.is_duplicate(event, b"{}"), repeats.is_duplicate(event, b"{}"), repeats.dropped
    (False, True, 1)
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.dropped = 0
        self._known = TenantLru[int, bool](size)

    def is_duplicate(self, event: LLMEvent, raw: bytes) -> bool:
        """Say whether an event came before; remember it, and forget the oldest for it."""
        if self.size == 0:
            return False
        name = identity(event, raw)
        if self._known.peek(event.tenant, name):
            self.dropped += 1
            return True
        self._known.put(event.tenant, name, True)
        return False

    def state(self) -> State:
        """Return everything needed to continue: identities in the order of `TenantLru.items`."""
        names = np.fromiter(self._known, np.uint64, len(self._known))
        return {"names": names, "tenants": self._known.tenants(), "dropped": self.dropped}

    def restore(self, state: State) -> None:
        """Continue from a state, of another size if the setting changed."""
        try:
            names = _names(state["names"])
            if len(names) > self.size:
                state = _latest(state, self.size)
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"repeats: {error}; it starts cold", part="repeats") from error
        self._restore(state)

    @strict_restore
    def _restore(self, state: Mapping[str, Any]) -> None:
        names, dropped = state["names"], int(state["dropped"])
        expect_counts(dropped)
        if len(np.unique(names)) != len(names):
            raise ValueError("an identity twice")
        self._known.restore(state["tenants"], names.tolist(), [True] * len(names))
        self.dropped = dropped


def _latest(state: Mapping[str, Any], size: int) -> State:
    """Return of a larger state what fits."""
    large, small = (TenantLru[int, bool](most) for most in (len(state["names"]), size))
    large.restore(state["tenants"], state["names"].tolist(), [True] * len(state["names"]))
    for tenant, name, known in large.items() if size else ():
        small.put(tenant, name, known)
    return {**state, "names": np.fromiter(small, np.uint64, len(small)), "tenants": small.tenants()}


def identity(event: LLMEvent, raw: bytes) -> int:
    """Return 64 bits that say which event it is: one in 10^14 events is by chance taken for one of 100,000 others."""
    said = raw
    if event.kind != "fragment":
        named = f"{event.tenant}\0{event.app}\0{event.kind}\0{event.event_id}\0{event.time.timestamp()}"
        said = named.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest(), "little")


def _names(value: Any) -> np.ndarray[Any, np.dtype[np.uint64]]:
    found = np.asarray(value)
    if found.dtype != np.uint64 or found.ndim != 1:
        raise ValueError(f"{found.dtype} of {found.ndim} dimensions where identities must be")
    return found
