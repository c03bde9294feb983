"""A bounded map that gives every tenant its fair share: a flood of one tenant evicts that tenant's own entries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Final, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

OTHER: Final = "(other)"
"""Reserved name of the entry that counts what found no entry of its own: an app, a model, a prompt version, a label."""
ESTABLISHED: Final = 8
"""Uses of a map after which a tenant has a share of its own; before that all newcomers have one share together."""


SMALL: Final = 256
"""Capacity below which a full map loses an entry at a time, which takes time proportional to its tenants."""


class _Tenant(dict[K, V]):
    """The entries of a tenant, the one used longest ago first: an OrderedDict of one entry takes twice the memory."""

    __slots__ = ("held", "used", "uses")

    def __init__(self, uses: int = 0, used: int = 0) -> None:
        super().__init__()
        self.held = 0
        self.uses = uses
        # How many entries the map had taken when this tenant was used last.
        self.used = used


class TenantLru(Generic[K, V]):
    """A least-recently-used map with a max-min fair share of its capacity for each tenant.

    A full map is cut down to 7/8 of its capacity, one of fewer than `SMALL` entries by a single entry: the tenants that
    hold the most give up their least recently used entries until the largest that is left is small enough. A tenant
    that holds no more than an equal share of the 7/8 loses nothing, however many entries others add. A single tenant
    may fill the map.

    Tenants can be invented. A tenant used fewer than `ESTABLISHED` times has no share of its own: all such newcomers
    together count as one tenant, and the newcomer that was used longest ago makes room first. So 100,000 tenants with
    an event each take no more than one tenant's share.

    Every operation takes constant time on average. The map depends only on the sequence of operations.

    Parameters
    ----------
    capacity
        Maximum of all weights together: of entries, where ``weigh`` is not given.
    weigh
        Weight of a value, a positive integer that never changes; 1 where not given.

    Attributes
    ----------
    evicted
        Entries given up for others.
    held
        Weight of all entries.

    Examples
    --------
    >>> kept = TenantLru[str, int](4)
    >>> for n in range(20):
    ...     _ = kept.put("quiet", "a", n)
    >>> for n in range(20):
    ...     _ = kept.put("loud", f"app{n}", n)
    >>> [(tenant, key) for tenant, key, _ in kept.items()], kept.evicted
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
        self._room = capacity - (0 if capacity < SMALL else capacity // 8)
        self._clear()

    def _clear(self) -> None:
        self.held = self._size = self._taken = 0
        self._tenants: dict[str, _Tenant[K, V]] = {}

    def __len__(self) -> int:
        return self._size

    def get(self, tenant: str, key: K) -> V | None:
        """Return the value of a key, now the most recently used; None if there is none."""
        own = self._tenants.get(tenant)
        if own is None or (value := own.pop(key, None)) is None:
            return None
        own[key] = value
        own.used = self._taken
        if own.uses < ESTABLISHED:
            own.uses += 1
        return value

    def peek(self, tenant: str, key: K) -> V | None:
        """Return the value of a key without using it; None if there is none."""
        own = self._tenants.get(tenant)
        return None if own is None else own.get(key)

    def established(self, tenant: str) -> bool:
        """Return True for a tenant that has a share of its own."""
        own = self._tenants.get(tenant)
        return own is not None and own.uses >= ESTABLISHED

    def touch(self, tenant: str, key: K, fresh: Callable[[], V]) -> V:
        """Return the value of a key, now the most recently used; a fresh value for a new key.

        Examples
        --------
        >>> kept = TenantLru[str, list[int]](2)
        >>> kept.touch("t", "a", list).append(1)
        >>> kept.touch("t", "a", list), kept.touch("t", "b", list)
        ([1], [])
        """
        value = self.get(tenant, key)
        if value is None:
            value = fresh()
            self.put(tenant, key, value)
        return value

    def put(self, tenant: str, key: K, value: V) -> Sequence[tuple[str, K, V]]:
        """Set a value, now the most recently used; return the entries evicted for it.

        Of a map with weights, that may be the new entry itself: where it is heavier than its tenant's share.
        """
        own = self._tenants.get(tenant)
        if own is None:
            own = self._tenants[tenant] = _Tenant()
        if key in own:
            self._remove(own, key)
        own[key] = value
        weight = 1 if self._weigh is None else self._weigh(value)
        own.held += weight
        self.held += weight
        self._size += 1
        self._taken += 1
        own.used = self._taken
        if own.uses < ESTABLISHED:
            own.uses += 1
        return self._cut() if self.held > self.capacity else ()

    def replace(self, tenant: str, key: K, value: V) -> None:
        """Give a kept key another value of the same weight, without using it."""
        self._tenants[tenant][key] = value

    def pop(self, tenant: str, key: K) -> V | None:
        """Remove a key and return its value; None if there is none."""
        own = self._tenants.get(tenant)
        if own is None or key not in own:
            return None
        value = self._remove(own, key)
        self._forget_empty([tenant])
        return value

    def items(self) -> Iterator[tuple[str, K, V]]:
        """Yield tenant, key and value, the tenant and of each tenant the key used longest ago first."""
        for tenant, own in self._in_order():
            for key, value in own.items():
                yield tenant, key, value

    def __iter__(self) -> Iterator[K]:
        """Yield the keys in the order of `items`."""
        return chain.from_iterable(own for _, own in self._in_order())

    def values(self) -> Iterator[V]:
        """Yield the values in the order of `items`."""
        return chain.from_iterable(own.values() for _, own in self._in_order())

    def tenants(self) -> list[list[str | int]]:
        """Return each tenant, its entries, its uses (up to `ESTABLISHED`) and its age, in the order of `items`."""
        ordered = self._in_order()
        ages = {used: age for age, used in enumerate(sorted({self._taken, *(own.used for _, own in ordered)})[::-1])}
        return [[tenant, len(own), own.uses, ages[own.used]] for tenant, own in ordered]

    def _in_order(self) -> list[tuple[str, _Tenant[K, V]]]:
        return sorted(self._tenants.items(), key=lambda pair: (pair[1].used, pair[0]))

    def restore(self, tenants: Iterable[Sequence[str | int]], keys: Iterable[K], values: Iterable[V]) -> None:
        """Hold just what `tenants`, `keys` and `values` gave; raise ValueError if it does not fit."""
        self._clear()
        given = zip(keys, values, strict=True)
        for tenant, entries, uses, age in tenants:
            if (
                not isinstance(tenant, str)
                or tenant in self._tenants
                or int(entries) < 1
                or not 0 < int(uses) <= ESTABLISHED
            ):
                raise ValueError(f"{entries} entries and {uses} uses of tenant {str(tenant)[:40]!r}")
            own = self._tenants[tenant] = _Tenant(int(uses), -int(age))
            for _, (key, value) in zip(range(int(entries)), given, strict=False):
                own[key] = value
                own.held += 1 if self._weigh is None else self._weigh(value)
            if len(own) != entries:
                raise ValueError(f"{len(own)} keys of tenant {tenant[:40]!r} where {entries} must be")
            self._size += len(own)
            self.held += own.held
        if self.held > self.capacity or next(given, None) is not None:
            raise ValueError(f"{self._size} entries or more, of weight {self.held}; at most {self.capacity}")

    def _remove(self, own: _Tenant[K, V], key: K) -> V:
        value = own.pop(key)
        weight = 1 if self._weigh is None else self._weigh(value)
        own.held -= weight
        self.held -= weight
        self._size -= 1
        return value

    def _forget_empty(self, tenants: Iterable[str]) -> None:
        for tenant in tenants:
            if not self._tenants[tenant]:
                del self._tenants[tenant]

    def _cut(self) -> list[tuple[str, K, V]]:
        """Evict what is above the fair share of the room."""
        groups: list[list[str]] = []
        newcomers: list[str] = []
        for tenant, own in self._in_order():
            if own.uses < ESTABLISHED:
                newcomers.append(tenant)
            else:
                groups.append([tenant])
        groups += [newcomers] if newcomers else []
        held = [sum(self._tenants[tenant].held for tenant in group) for group in groups]
        level, left = fair_share(held, self._room)
        # What is left over when all have their share goes to those that were used last.
        over = [k for k, weight in enumerate(held) if weight > level]
        gone: list[tuple[str, K, V]] = []
        for rank, k in enumerate(reversed(over)):
            self._shrink(groups[k], held[k] - level - (rank < left), gone)
        self.evicted += len(gone)
        self._size -= len(gone)
        self._forget_empty({tenant for tenant, _, _ in gone})
        return gone

    def _shrink(self, group: Iterable[str], weight: int, gone: list[tuple[str, K, V]]) -> None:
        """Evict at least so much of a group."""
        for tenant in group:
            own = self._tenants[tenant]
            evicted = 0
            for key in list(islice(own, weight)):
                if evicted >= weight:
                    break
                value = own.pop(key)
                evicted += 1 if self._weigh is None else self._weigh(value)
                gone.append((tenant, key, value))
            own.held -= evicted
            self.held -= evicted
            weight -= evicted
            if weight <= 0:
                return


def fair_share(held: Sequence[int], room: int) -> tuple[int, int]:
    """Return the largest level to which all can be cut so that they fit into the room, and what is then left over.

    Examples
    --------
    >>> fair_share([1, 2, 50, 60], 20)
    (8, 1)
    """
    left, last = room, len(held)
    for place, weight in enumerate(sorted(held)):
        level = left // (last - place)
        if weight > level:
            return level, left - level * (last - place)
        left -= weight
    return max(held, default=0), left
