"""Rate limits of API keys: token buckets for events and for bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from schemas.errors import RequestError
from streams.ingest.api_keys import ApiKeyIdentity, Quota

_ROUNDING_S = 1e-6
"""Tolerance for floating-point sums: a sender that waits exactly ``Retry-After`` is admitted."""


@dataclass(slots=True)
class TokenBucket:
    """A token bucket: ``rate`` tokens per second up to ``capacity``.

    A request that costs more than the capacity passes when the bucket is full, and leaves a debt; otherwise it could
    never pass.

    Examples
    --------
    >>> bucket = TokenBucket(rate=2.0, capacity=10.0, tokens=10.0, updated_at=0.0)
    >>> bucket.take(10.0)
    >>> bucket.wait_s(3.0, now=0.0), bucket.wait_s(3.0, now=1.5)
    (1.5, 0.0)
    """

    rate: float
    capacity: float
    tokens: float
    updated_at: float

    def wait_s(self, cost: float, now: float, reserved: float = 0.0) -> float:
        """Return the seconds until ``cost`` tokens can be taken in addition to ``reserved`` tokens; 0 if now."""
        self.tokens = min(self.capacity, self.tokens + (now - self.updated_at) * self.rate)
        self.updated_at = now
        missing = (min(cost, self.capacity) + reserved - self.tokens) / self.rate
        return missing if missing > _ROUNDING_S else 0.0

    def take(self, cost: float) -> None:
        """Take tokens; the balance may become negative."""
        self.tokens -= cost


@dataclass(slots=True)
class _Account:
    quota: Quota
    buckets: dict[str, TokenBucket]
    blocked_until: float = 0.0
    """Time until which requests are rejected unread. Without it, the bodies of a key that ignores ``Retry-After`` would
    be read in vain."""


class Quotas:
    """Quotas of all keys in this process; with two ingest processes a key can send twice its quota.

    Parameters
    ----------
    clock
        Monotonic clock, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._accounts: dict[str, _Account] = {}

    def check(self, sender: ApiKeyIdentity, size: int, in_flight: int) -> None:
        """Reject a request before its body is read, if it cannot be admitted; take no tokens.

        Parameters
        ----------
        sender
            Sender of the request.
        size
            Known bytes of the body.
        in_flight
            Other in-flight requests of the sender; each will cost at least one event.

        Raises
        ------
        RequestError
            429 if the quota does not allow one event now, or if the sender must still wait.
        """
        account, now = self._account(sender), self._clock()
        if not account.buckets:
            return
        _check(sender, account, {"events_per_s": 1, "bytes_per_s": size}, now, in_flight)
        if (wait := account.blocked_until - now) > _ROUNDING_S:
            name, bucket = next(iter(account.buckets.items()))
            raise _exceeded(sender, name, bucket.rate, 1, wait)

    def charge(self, sender: ApiKeyIdentity, events: int, size: int) -> None:
        """Take events and bytes from a sender's quota: both or neither.

        Raises
        ------
        RequestError
            429 with the exceeded quota and ``Retry-After``; until then `check` rejects all requests of the sender.
        """
        account, now = self._account(sender), self._clock()
        costs = {"events_per_s": events, "bytes_per_s": size}
        try:
            _check(sender, account, costs, now)
        except RequestError as error:
            account.blocked_until = max(account.blocked_until, now + (error.retry_after_s or 0.0))
            raise
        for name, bucket in account.buckets.items():
            bucket.take(costs[name])

    def _account(self, sender: ApiKeyIdentity) -> _Account:
        """Return a sender's account; a new account if its quota has changed."""
        account = self._accounts.get(sender.name)
        if account is None or account.quota != sender.quota:
            rates = sender.quota.model_dump(include={"events_per_s", "bytes_per_s"}, exclude_none=True)
            burst, now = sender.quota.burst_s, self._clock()
            buckets = {name: TokenBucket(rate, rate * burst, rate * burst, now) for name, rate in rates.items()}
            account = self._accounts[sender.name] = _Account(sender.quota, buckets)
        return account


def _check(sender: ApiKeyIdentity, account: _Account, costs: Mapping[str, int], now: float, in_flight: int = 0) -> None:
    """Raise `RequestError` if the costs exceed a bucket now."""
    reserved = {"events_per_s": in_flight}
    waits = {name: b.wait_s(costs[name], now, reserved.get(name, 0)) for name, b in account.buckets.items()}
    if (longest := max(waits, key=lambda name: waits[name], default=None)) and waits[longest] > 0:
        raise _exceeded(sender, longest, account.buckets[longest].rate, costs[longest], waits[longest])


def _exceeded(sender: ApiKeyIdentity, name: str, rate: float, cost: float, wait: float) -> RequestError:
    limit = f"quota.{name}: exceeded by key {sender.name} (limit {rate:,.0f}/s, requested {cost:,.0f})"
    return RequestError(f"{limit}; try again in {wait:.1f} s, or raise the quota", 429, f"quota {name}", wait)
