"""Dictionaries of what was asked for lately."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def recent(kept: OrderedDict[K, V], key: K, most: int, fresh: Callable[[], V]) -> V:
    """Return the value of a key, now the latest; a fresh one for a new key, for which the earliest makes room.

    Parameters
    ----------
    most
        Keys kept.

    Examples
    --------
    >>> kept = OrderedDict(a=[1], b=[2])
    >>> recent(kept, "a", 2, list), recent(kept, "c", 2, list), list(kept)
    ([1], [], ['a', 'c'])
    """
    if key in kept:
        kept.move_to_end(key)
        return kept[key]
    if len(kept) >= most:
        kept.popitem(last=False)
    value = kept[key] = fresh()
    return value
