"""How much a key may send: token buckets of events and of bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from schemas.errors import RequestError
from streams.ingest.api_keys import Quota, Sender

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

    def wait_s(self, cost: float, now: float, reserved: float = 0.0) -> float:
        """Return in how many seconds so much may be taken, beside what is reserved; 0 if now."""
        self.tokens = min(self.capacity, self.tokens + (now - self.at) * self.rate)
        self.at = now
        missing = (min(cost, self.capacity) + reserved - self.tokens) / self.rate
        return missing if missing > _ROUNDING_S else 0.0

    def take(self, cost: float) -> None:
        """Take so much, whether it is there or not."""
        self.tokens -= cost


@dataclass(slots=True)
class _Account:
    quota: Quota
    buckets: dict[str, Bucket]
    closed_until: float = 0.0
    """Until then its requests are refused unread. A key that does not wait as told would have each body read and its
    events counted in vain."""


class Quotas:
    """The buckets of all keys, in this process: two gateways let a key send twice its quota.

    Parameters
    ----------
    clock
        Seconds, never going back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._of: dict[str, _Account] = {}

    def check(self, sender: Sender, size: int, others: int) -> None:
        """Refuse a request whose body need not be read; take nothing.

        Parameters
        ----------
        sender
            Whose request it is.
        size
            Bytes of the body, as far as they are known.
        others
            Requests of the sender that are under way: each will cost an event at least.

        Raises
        ------
        RequestError
            429, if not one event may be sent now, or the sender was told to wait.
        """
        account, now = self._account(sender), self._clock()
        if not account.buckets:
            return
        _check(sender, account, {"events_per_s": 1, "bytes_per_s": size}, now, others)
        if (wait := account.closed_until - now) > _ROUNDING_S:
            name, bucket = next(iter(account.buckets.items()))
            raise _exceeded(sender, name, bucket.rate, 1, wait)

    def charge(self, sender: Sender, events: int, size: int) -> None:
        """Take events and bytes from a sender's quota: both, or neither.

        Raises
        ------
        RequestError
            429, with what was exceeded and when so much may be sent; until then `check` refuses the sender.
        """
        account, now = self._account(sender), self._clock()
        costs = {"events_per_s": events, "bytes_per_s": size}
        try:
            _check(sender, account, costs, now)
        except RequestError as error:
            account.closed_until = max(account.closed_until, now + (error.retry_after_s or 0.0))
            raise
        for name, bucket in account.buckets.items():
            bucket.take(costs[name])

    def _account(self, sender: Sender) -> _Account:
        """Return a sender's account: a new one when its quota was changed."""
        account = self._of.get(sender.name)
        if account is None or account.quota != sender.quota:
            rates = sender.quota.model_dump(include={"events_per_s", "bytes_per_s"}, exclude_none=True)
            burst, now = sender.quota.burst_s, self._clock()
            buckets = {name: Bucket(rate, rate * burst, rate * burst, now) for name, rate in rates.items()}
            account = self._of[sender.name] = _Account(sender.quota, buckets)
        return account


def _check(sender: Sender, account: _Account, costs: Mapping[str, int], now: float, others: int = 0) -> None:
    """Raise `RequestError` if so much may not be taken now."""
    reserved = {"events_per_s": others}
    waits = {name: b.wait_s(costs[name], now, reserved.get(name, 0)) for name, b in account.buckets.items()}
    if (longest := max(waits, key=lambda name: waits[name], default=None)) and waits[longest] > 0:
        raise _exceeded(sender, longest, account.buckets[longest].rate, costs[longest], waits[longest])


def _exceeded(sender: Sender, name: str, rate: float, cost: float, wait: float) -> RequestError:
    what = f"quota.{name}: key {sender.name} may send {rate:,.0f} a second, and asked for {cost:,.0f} more"
    return RequestError(f"{what}; try again in {wait:.1f} s, or have its quota raised", 429, f"quota {name}", wait)
