"""Validation of restored state: values, shapes and sizes. A snapshot topic is untrusted input like any other topic.

`strict_restore` makes the ``restore`` method of a component strict and all-or-nothing. The functions below it check
bounds that only the component knows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, Protocol, TypeVar, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from schemas.errors import StateError

_INT_MIN, _INT_END = -1, 1 << 64
"""Range of counts, times in milliseconds and 64-bit digests; -1 stands for "none"."""
_COUNT_END = 1 << 62
"""Limit of a count: a larger count could overflow 64 bits when it is continued."""
_DEPTH_MAX = 12
_ATOMS = frozenset({str, bytes, bool, type(None)})
_PLAIN = _ATOMS | {int, float}


class _Component(Protocol):
    def state(self) -> Any: ...


Restore = TypeVar("Restore", bound=Callable[..., None])


def strict_restore(restore: Restore) -> Restore:
    """Make ``restore`` strict: a state that does not fit raises `StateError` and leaves the component unchanged.

    A state fits if its numbers are finite and within 64 bits, if ``restore`` accepts it, and if ``state`` then returns
    the same structure: the same names, types, lengths, dtypes and shapes. The last condition rejects every value that
    ``restore`` would convert, shorten, merge or skip.
    """

    @wraps(restore)
    def guarded(self: _Component, state: Any) -> None:
        before = self.state()
        try:
            check_numbers(state)
            restore(self, state)
            check_same_structure(state, self.state())
        except Exception as error:  # a forged value may cause any error; the state does not fit
            restore(self, before)
            if isinstance(error, StateError):
                raise
            name = getattr(self, "name", type(self).__name__)
            raise StateError(f"{name}: the state does not fit ({error}); it starts cold", part=name) from error

    return cast(Restore, guarded)


def check_numbers(value: Any, depth: int = 0) -> None:
    """Raise ValueError for a number that is not finite or exceeds 64 bits, and for types that no state contains."""
    if depth > _DEPTH_MAX:
        raise ValueError(f"nested deeper than {_DEPTH_MAX} levels")
    if type(value) in _ATOMS:
        return
    if isinstance(value, list | tuple):
        # A state consists mostly of tens of thousands of short lists of names or counts.
        if not (kinds := set(map(type, value))) <= _ATOMS and not (kinds == {int} and _in_range(value)):
            for item in value:
                check_numbers(item, depth + 1)
    elif isinstance(value, Mapping):
        for pair in value.items():
            check_numbers(pair, depth + 1)
    elif not _is_number(value):
        raise ValueError(f"{value!r} is not a finite 64-bit number"[:200])


def _is_number(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        if value.dtype == np.int64 and value.size:
            return int(value.max()) < _COUNT_END and int(value.min()) > -_COUNT_END
        return value.dtype.kind in "biu" or (value.dtype.kind == "f" and bool(np.isfinite(value).all()))
    if isinstance(value, float | np.floating):
        return math.isfinite(value)
    return isinstance(value, int | np.integer | np.bool_) and _in_range([int(value)])


def _in_range(values: Sequence[int]) -> bool:
    return _INT_MIN <= min(values) <= max(values) < _INT_END


def check_same_structure(given: Any, restored: Any, path: str = "state") -> None:
    """Raise ValueError unless two states have the same names, types, lengths, dtypes and shapes.

    Examples
    --------
    >>> check_same_structure({"a": [1, "x"]}, {"a": (2, "y")})
    >>> check_same_structure({"a": [1]}, {"a": [1.0]})
    Traceback (most recent call last):
    ValueError: state.a.0: int found, float expected
    """
    if isinstance(given, list | tuple) and isinstance(restored, list | tuple):
        _check_lists(given, restored, path)
    elif isinstance(given, Mapping) and isinstance(restored, Mapping):
        if given.keys() != restored.keys():
            raise ValueError(f"{path}: {len(given.keys() ^ restored.keys())} names are missing or unknown")
        for key, value in given.items():
            check_same_structure(value, restored[key], f"{path}.{key}"[:200])
    elif _kind_of(given) != _kind_of(restored):
        raise ValueError(f"{path}: {_kind_of(given)} found, {_kind_of(restored)} expected")


def _check_lists(given: Sequence[Any], restored: Sequence[Any], path: str) -> None:
    if len(given) != len(restored):
        raise ValueError(f"{path}: {len(given)} values found, {len(restored)} restored")
    kinds = list(map(type, given))
    if not _PLAIN.issuperset(kinds) or kinds != list(map(type, restored)):
        for k, (left, right) in enumerate(zip(given, restored, strict=True)):
            check_same_structure(left, right, f"{path}.{k}"[:200])


def _kind_of(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}"
    return type(value.item() if isinstance(value, np.generic) else value).__name__


def expect_at_most(values: Sequence[Any] | Mapping[Any, Any], maximum: int, noun: str) -> None:
    """Raise ValueError for more than ``maximum`` values; ``noun`` names them in the message."""
    if len(values) > maximum:
        raise ValueError(f"{len(values)} {noun}, but at most {maximum} are allowed")


def expect_counts(*values: int) -> None:
    """Raise ValueError unless each value is a non-negative integer that can be continued in 64 bits."""
    for value in values:
        if type(value) is not int or not 0 <= value < _COUNT_END:
            raise ValueError(f"expected a count, found {value!r}"[:200])


def expect_times_ms(*values: int) -> None:
    """Raise ValueError unless each value is a time in milliseconds since 1970 and before the year 10000."""
    for value in values:
        if type(value) is not int or not 0 <= value < _YEAR_10000_MS:
            raise ValueError(f"expected a time in milliseconds since 1970, found {value!r}"[:200])


_YEAR_10000_MS = 253_402_300_800_000


def expect_array(value: Any, dtype: DTypeLike, *shape: int | None) -> NDArray[Any]:
    """Return a copy of an array of exactly this dtype and shape (None: any length); raise ValueError otherwise.

    Examples
    --------
    >>> expect_array(np.zeros(3, np.int32), np.int32, None).shape
    (3,)
    """
    if not isinstance(value, np.ndarray) or value.dtype != np.dtype(dtype) or value.ndim != len(shape):
        raise ValueError(f"expected {np.dtype(dtype)}{list(shape)}, found {getattr(value, 'dtype', type(value))}")
    if any(wanted is not None and wanted != found for wanted, found in zip(shape, value.shape, strict=True)):
        raise ValueError(f"expected shape {list(shape)}, found {value.shape}")
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise ValueError("the array has a number that is not finite")
    return value.copy()


def expect_text(value: Any) -> str:
    """Return ``value`` if it is a string; raise ValueError otherwise."""
    if not isinstance(value, str):
        raise ValueError(f"expected a string, found {value!r}")
    return value


def expect_texts(value: Any, length: int | None = None) -> tuple[str, ...]:
    """Return ``value`` as a tuple of strings; raise ValueError for other items or another length."""
    found = tuple(expect_text(v) for v in value)
    if length is not None and len(found) != length:
        raise ValueError(f"expected {length} strings, found {len(found)}")
    return found
