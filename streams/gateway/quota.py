"""How much a key may send: token buckets of events and of bytes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from schemas.errors import RequestError
from streams.gateway.keys import Quota, Sender

_ROUNDING_S = 1e-6
"""Who waits as told may be short of the last bits of a sum of floats."""


@dataclass(slots=True)
class Bucket:
    """Fills at ``rate`` a second up to ``capacity``; begins full.

    What costs more than the capacity passes when the bucket is full, and leaves a debt: else it could never pass.

    Examples
    --------
    >>> bucket = Bucket(rate=2.0, capacity=10.0, tokens=10.0, at=0.0)
    >>> bucket.take(10.0)
    >>> bucket.wait_s(3.0, now=0.0), bucket.wait_s(3.0, now=1.5)
    (1.5, 0.0)
    """

    rate: float
    capacity: float
    tokens: float
    at: float

    def wait_s(self, cost: float, now: float) -> float:
        """Return in how many seconds so much may be taken; 0 if now."""
        self.tokens = min(self.capacity, self.tokens + (now - self.at) * self.rate)
        self.at = now
        missing = (min(cost, self.capacity) - self.tokens) / self.rate
        return missing if missing > _ROUNDING_S else 0.0

    def take(self, cost: float) -> None:
        """Take so much, whether it is there or not."""
        self.tokens -= cost


class Quotas:
    """The buckets of all keys, in this process: two gateways let a key send twice its quota.

    Parameters
    ----------
    clock
        Seconds, never going back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._of: dict[str, tuple[Quota, dict[str, Bucket]]] = {}

    def charge(self, sender: Sender, events: int, size: int) -> None:
        """Take events and bytes from a sender's quota: both, or neither.

        Raises
        ------
        RequestError
            429, with what was exceeded and when so much may be sent.
        """
        costs = {"events_per_s": events, "bytes_per_s": size}
        buckets = self._buckets(sender)
        now = self._clock()
        waits = {name: bucket.wait_s(costs[name], now) for name, bucket in buckets.items()}
        if (longest := max(waits, key=lambda name: waits[name], default=None)) and waits[longest] > 0:
            raise _exceeded(sender, longest, buckets[longest].rate, costs[longest], waits[longest])
        for name, bucket in buckets.items():
            bucket.take(costs[name])

    def _buckets(self, sender: Sender) -> dict[str, Bucket]:
        """Return a sender's buckets: new ones when its quota was changed."""
        quota, buckets = self._of.get(sender.name, (None, {}))
        if quota != sender.quota:
            rates = sender.quota.model_dump(include={"events_per_s", "bytes_per_s"}, exclude_none=True)
            burst, now = sender.quota.burst_s, self._clock()
            buckets = {name: Bucket(rate, rate * burst, rate * burst, now) for name, rate in rates.items()}
            self._of[sender.name] = (sender.quota, buckets)
        return buckets


def _exceeded(sender: Sender, name: str, rate: float, cost: float, wait: float) -> RequestError:
    what = f"quota.{name}: key {sender.name} may send {rate:,.0f} a second, and asked for {cost:,.0f} more"
    return RequestError(f"{what}; try again in {wait:.1f} s, or have its quota raised", 429, f"quota {name}", wait)
