"""Bounded map with a fair share for each tenant: a flood from one tenant evicts only that tenant's entries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Final, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

OTHER: Final = "(other)"
"""Reserved name for everything that got no entry of its own: an app, a model, a prompt version, a metric label."""
ESTABLISHED: Final = 8
"""Uses of a map after which a tenant has a share of its own. Until then, all new tenants share one share."""
SMALL: Final = 256
"""Capacity below which a full map evicts one entry at a time, which takes time proportional to its tenants."""


class _Tenant(dict[K, V]):
    """Entries of one tenant, least recently used first. An OrderedDict of one entry would take twice the memory."""

    __slots__ = ("last_used", "uses", "weight")

    def __init__(self, uses: int = 0, last_used: int = 0) -> None:
        super().__init__()
        self.weight = 0
        self.uses = uses
        # Number of puts into the map up to the last use of this tenant.
        self.last_used = last_used


class TenantLru(Generic[K, V]):
    """Least-recently-used map with a max-min fair share of its capacity for each tenant.

    A full map evicts down to 7/8 of its capacity; a map with a capacity below `SMALL` evicts a single entry. Eviction
    takes the least recently used entries of the tenants with the most entries, until all tenants fit. A tenant that
    holds no more than an equal share of the 7/8 loses nothing, however many entries other tenants add. A single tenant
    may fill the map.

    Tenant names can be invented. A tenant used fewer than `ESTABLISHED` times therefore has no share of its own: all
    such newcomers together count as one tenant, and the least recently used newcomer is evicted first. 100,000 tenants
    with one event each take no more than the share of one tenant.

    Every operation takes constant time on average. The map depends only on the sequence of operations.

    Parameters
    ----------
    capacity
        Maximum total weight; without ``weigh``, the maximum number of entries.
    weigh
        Returns the weight of a value: a positive integer that never changes. By default, each entry weighs 1.

    Attributes
    ----------
    evicted
        Number of entries evicted to make room.
    weight
        Total weight of all entries.

    Examples
    --------
    >>> lru = TenantLru[str, int](4)
    >>> for n in range(20):
    ...     _ = lru.put("quiet", "a", n)
    >>> for n in range(20):
    ...     _ = lru.put("loud", f"app{n}", n)
    >>> [(tenant, key) for tenant, key, _ in lru.items()], lru.evicted
    ([('quiet', 'a'), ('loud', 'app17'), ('loud', 'app18'), ('loud', 'app19')], 17)

    References
    ----------
    Bertsekas, D., Gallager, R. (1992). Data networks, section 6.5.2 (max-min fairness). Prentice Hall.
    Suter, B. et al. (1999). Buffer management schemes for supporting TCP in gigabit routers with per-flow queueing.
    IEEE JSAC 17. (Drop from the longest queue.)
    """

    def __init__(self, capacity: int, weigh: Callable[[V], int] | None = None) -> None:
        self.capacity = capacity
        self.evicted = 0
        self._weigh = weigh
        self._target = capacity - (0 if capacity < SMALL else capacity // 8)
        self._clear()

    def _clear(self) -> None:
        self.weight = self._size = self._puts = 0
        self._tenants: dict[str, _Tenant[K, V]] = {}

    def __len__(self) -> int:
        return self._size

    def get(self, tenant: str, key: K) -> V | None:
        """Return the value of a key and mark the key as most recently used; None for an unknown key."""
        entries = self._tenants.get(tenant)
        if entries is None or (value := entries.pop(key, None)) is None:
            return None
        entries[key] = value
        entries.last_used = self._puts
        if entries.uses < ESTABLISHED:
            entries.uses += 1
        return value

    def peek(self, tenant: str, key: K) -> V | None:
        """Return the value of a key without marking it as used; None for an unknown key."""
        entries = self._tenants.get(tenant)
        return None if entries is None else entries.get(key)

    def is_established(self, tenant: str) -> bool:
        """Return True if a tenant has a share of its own."""
        entries = self._tenants.get(tenant)
        return entries is not None and entries.uses >= ESTABLISHED

    def get_or_create(self, tenant: str, key: K, factory: Callable[[], V]) -> V:
        """Return the value of a key and mark the key as most recently used; create the value of a new key.

        Examples
        --------
        >>> lru = TenantLru[str, list[int]](2)
        >>> lru.get_or_create("t", "a", list).append(1)
        >>> lru.get_or_create("t", "a", list), lru.get_or_create("t", "b", list)
        ([1], [])
        """
        value = self.get(tenant, key)
        if value is None:
            value = factory()
            self.put(tenant, key, value)
        return value

    def put(self, tenant: str, key: K, value: V) -> Sequence[tuple[str, K, V]]:
        """Set the value of a key, mark the key as most recently used and return the entries evicted to make room.

        In a weighted map, the new entry itself may be evicted: if it is heavier than the share of its tenant.
        """
        entries = self._tenants.get(tenant)
        if entries is None:
            entries = self._tenants[tenant] = _Tenant()
        if key in entries:
            self._remove(entries, key)
        entries[key] = value
        weight = 1 if self._weigh is None else self._weigh(value)
        entries.weight += weight
        self.weight += weight
        self._size += 1
        self._puts += 1
        entries.last_used = self._puts
        if entries.uses < ESTABLISHED:
            entries.uses += 1
        return self._evict() if self.weight > self.capacity else ()

    def replace(self, tenant: str, key: K, value: V) -> None:
        """Replace the value of a known key by one of the same weight, without marking the key as used."""
        self._tenants[tenant][key] = value

    def pop(self, tenant: str, key: K) -> V | None:
        """Remove a key and return its value; None for an unknown key."""
        entries = self._tenants.get(tenant)
        if entries is None or key not in entries:
            return None
        value = self._remove(entries, key)
        self._remove_empty([tenant])
        return value

    def items(self) -> Iterator[tuple[str, K, V]]:
        """Yield tenant, key and value: tenants and, within a tenant, keys in least recently used order."""
        for tenant, entries in self._ordered():
            for key, value in entries.items():
                yield tenant, key, value

    def __iter__(self) -> Iterator[K]:
        """Yield the keys in the order of `items`."""
        return chain.from_iterable(entries for _, entries in self._ordered())

    def values(self) -> Iterator[V]:
        """Yield the values in the order of `items`."""
        return chain.from_iterable(entries.values() for _, entries in self._ordered())

    def tenants(self) -> list[list[str | int]]:
        """Return name, size, uses (up to `ESTABLISHED`) and age of each tenant, in the order of `items`."""
        ordered = self._ordered()
        uses = sorted({self._puts, *(entries.last_used for _, entries in ordered)})
        ages = {last_used: age for age, last_used in enumerate(uses[::-1])}
        return [[tenant, len(entries), entries.uses, ages[entries.last_used]] for tenant, entries in ordered]

    def _ordered(self) -> list[tuple[str, _Tenant[K, V]]]:
        return sorted(self._tenants.items(), key=lambda pair: (pair[1].last_used, pair[0]))

    def restore(self, tenants: Iterable[Sequence[str | int]], keys: Iterable[K], values: Iterable[V]) -> None:
        """Load what `tenants`, iteration and `values` returned; raise ValueError if it does not fit."""
        self._clear()
        pairs = zip(keys, values, strict=True)
        for tenant, size, uses, age in tenants:
            if (
                not isinstance(tenant, str)
                or tenant in self._tenants
                or int(size) < 1
                or not 0 < int(uses) <= ESTABLISHED
            ):
                raise ValueError(f"tenant {str(tenant)[:40]!r} cannot have {size} entries and {uses} uses")
            entries = self._tenants[tenant] = _Tenant(int(uses), -int(age))
            for _, (key, value) in zip(range(int(size)), pairs, strict=False):
                entries[key] = value
                entries.weight += 1 if self._weigh is None else self._weigh(value)
            if len(entries) != size:
                raise ValueError(f"tenant {tenant[:40]!r} has {len(entries)} distinct keys, expected {size}")
            self._size += len(entries)
            self.weight += entries.weight
        if self.weight > self.capacity or next(pairs, None) is not None:
            raise ValueError(f"entries of weight {self.weight} or more do not fit into capacity {self.capacity}")

    def _remove(self, entries: _Tenant[K, V], key: K) -> V:
        value = entries.pop(key)
        weight = 1 if self._weigh is None else self._weigh(value)
        entries.weight -= weight
        self.weight -= weight
        self._size -= 1
        return value

    def _remove_empty(self, tenants: Iterable[str]) -> None:
        for tenant in tenants:
            if not self._tenants[tenant]:
                del self._tenants[tenant]

    def _evict(self) -> list[tuple[str, K, V]]:
        """Evict the entries above the fair share of each tenant."""
        groups: list[list[str]] = []
        newcomers: list[str] = []
        for tenant, entries in self._ordered():
            if entries.uses < ESTABLISHED:
                newcomers.append(tenant)
            else:
                groups.append([tenant])
        groups += [newcomers] if newcomers else []
        weights = [sum(self._tenants[tenant].weight for tenant in group) for group in groups]
        share, remainder = fair_share(weights, self._target)
        # The remainder goes to the groups that were used last, one unit each.
        above = [k for k, weight in enumerate(weights) if weight > share]
        evicted: list[tuple[str, K, V]] = []
        for rank, k in enumerate(reversed(above)):
            self._evict_from(groups[k], weights[k] - share - (rank < remainder), evicted)
        self.evicted += len(evicted)
        self._size -= len(evicted)
        self._remove_empty({tenant for tenant, _, _ in evicted})
        return evicted

    def _evict_from(self, group: Iterable[str], weight: int, evicted: list[tuple[str, K, V]]) -> None:
        """Evict entries of at least this total weight from a group of tenants."""
        for tenant in group:
            entries = self._tenants[tenant]
            removed = 0
            for key in list(islice(entries, weight)):
                if removed >= weight:
                    break
                value = entries.pop(key)
                removed += 1 if self._weigh is None else self._weigh(value)
                evicted.append((tenant, key, value))
            entries.weight -= removed
            self.weight -= removed
            weight -= removed
            if weight <= 0:
                return


def fair_share(weights: Sequence[int], capacity: int) -> tuple[int, int]:
    """Return the max-min fair share of a capacity and the remainder.

    The share is the largest level such that all weights, cut to this level, fit into the capacity.

    Examples
    --------
    >>> fair_share([1, 2, 50, 60], 20)
    (8, 1)
    """
    remaining, n = capacity, len(weights)
    for rank, weight in enumerate(sorted(weights)):
        share = remaining // (n - rank)
        if weight > share:
            return share, remaining - share * (n - rank)
        remaining -= weight
    return max(weights, default=0), remaining
