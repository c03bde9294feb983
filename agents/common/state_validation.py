"""Validation of restored state: values, shapes and sizes. A state topic is input like any other.

`strict_restore` is the one place that makes ``restore`` of a part strict and all-or-nothing; the functions below it are
for the bounds that only the part knows.
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
"""Counts, times in milliseconds, 64-bit digests; -1 stands for none."""
_COUNT_END = 1 << 62
"""Beyond it a count could not go on in 64 bits."""
_DEPTH_MAX = 12
_ATOMS = frozenset({str, bytes, bool, type(None)})
_PLAIN = _ATOMS | {int, float}


class _Part(Protocol):
    def state(self) -> Any: ...


Restore = TypeVar("Restore", bound=Callable[..., None])


def strict_restore(restore: Restore) -> Restore:
    """Make ``restore`` of a part strict: `StateError` and an unchanged part for any state that does not fit.

    A state fits if its numbers are finite and within 64 bits, if ``restore`` takes it, and if ``state`` afterwards has
    the very structure that was given: the same names, types, lengths, dtypes and shapes. The last condition refuses
    whatever a restore would convert, shorten, merge or pass over.
    """

    @wraps(restore)
    def guarded(self: _Part, state: Any) -> None:
        before = self.state()
        try:
            check_numbers(state)
            restore(self, state)
            check_alike(state, self.state())
        except Exception as error:  # whatever a forged value broke, the state does not fit
            restore(self, before)
            if isinstance(error, StateError):
                raise
            name = getattr(self, "name", type(self).__name__)
            raise StateError(f"{name}: {error}; the state does not fit, start cold", part=name) from error

    return cast(Restore, guarded)


def check_numbers(value: Any, depth: int = 0) -> None:
    """Raise ValueError for a number that is not finite or beyond 64 bits, and for what is no part of a state."""
    if depth > _DEPTH_MAX:
        raise ValueError(f"nested more than {_DEPTH_MAX} deep")
    if type(value) in _ATOMS:
        return
    if isinstance(value, list | tuple):
        # Most of a state are ten thousands of short lists of names or counts.
        if not (kinds := set(map(type, value))) <= _ATOMS and not (kinds == {int} and _in_range(value)):
            for part in value:
                check_numbers(part, depth + 1)
    elif isinstance(value, Mapping):
        for pair in value.items():
            check_numbers(pair, depth + 1)
    elif not _is_number(value):
        raise ValueError(f"{value!r} is no finite number of 64 bits"[:200])


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


def check_alike(given: Any, taken: Any, where: str = "state") -> None:
    """Raise ValueError unless two states have the same structure: names, types, lengths, dtypes and shapes.

    Examples
    --------
    >>> check_alike({"a": [1, "x"]}, {"a": (2, "y")})
    >>> check_alike({"a": [1]}, {"a": [1.0]})
    Traceback (most recent call last):
    ValueError: state.a.0: int was given, float was expected
    """
    if isinstance(given, list | tuple) and isinstance(taken, list | tuple):
        _check_rows(given, taken, where)
    elif isinstance(given, Mapping) and isinstance(taken, Mapping):
        if given.keys() != taken.keys():
            raise ValueError(f"{where}: {len(given.keys() ^ taken.keys())} names are missing or not known")
        for key, part in given.items():
            check_alike(part, taken[key], f"{where}.{key}"[:200])
    elif _kind_of(given) != _kind_of(taken):
        raise ValueError(f"{where}: {_kind_of(given)} was given, {_kind_of(taken)} was expected")


def _check_rows(given: Sequence[Any], taken: Sequence[Any], where: str) -> None:
    if len(given) != len(taken):
        raise ValueError(f"{where}: {len(given)} values were given, {len(taken)} were taken")
    kinds = list(map(type, given))
    if not _PLAIN.issuperset(kinds) or kinds != list(map(type, taken)):
        for k, (one, other) in enumerate(zip(given, taken, strict=True)):
            check_alike(one, other, f"{where}.{k}"[:200])


def _kind_of(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}"
    return type(value.item() if isinstance(value, np.generic) else value).__name__


def within(values: Sequence[Any] | Mapping[Any, Any], most: int, what: str) -> None:
    """Raise ValueError for more values than a map may hold."""
    if len(values) > most:
        raise ValueError(f"{len(values)} {what}, at most {most}")


def counts(*values: int) -> None:
    """Raise ValueError unless each value is a whole number, not negative, that can go on counting in 64 bits."""
    for value in values:
        if type(value) is not int or not 0 <= value < _COUNT_END:
            raise ValueError(f"a count was expected, not {value!r}"[:200])


def time_ms(*values: int) -> None:
    """Raise ValueError unless each value is a time that can be written: milliseconds since 1970, before year 10000."""
    for value in values:
        if type(value) is not int or not 0 <= value < _YEAR_10000_MS:
            raise ValueError(f"a time in milliseconds was expected, not {value!r}"[:200])


_YEAR_10000_MS = 253_402_300_800_000


def array(value: Any, dtype: DTypeLike, *shape: int | None) -> NDArray[Any]:
    """Return a copy of an array of just this type and shape (None: any length); raise ValueError otherwise.

    Examples
    --------
    >>> array(np.zeros(3, np.int32), np.int32, None).shape
    (3,)
    """
    if not isinstance(value, np.ndarray) or value.dtype != np.dtype(dtype) or value.ndim != len(shape):
        raise ValueError(f"{np.dtype(dtype)}{list(shape)} was expected, not {getattr(value, 'dtype', type(value))}")
    if any(want is not None and want != have for want, have in zip(shape, value.shape, strict=True)):
        raise ValueError(f"shape {list(shape)} was expected, not {value.shape}")
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise ValueError("a number that is not finite")
    return value.copy()


def text(value: Any) -> str:
    """Return a string; raise ValueError for anything else."""
    if not isinstance(value, str):
        raise ValueError(f"a string was expected, not {value!r}")
    return value


def texts(value: Any, length: int | None = None) -> tuple[str, ...]:
    """Return a tuple of strings, of this length if one is given."""
    found = tuple(text(v) for v in value)
    if length is not None and len(found) != length:
        raise ValueError(f"{length} strings were expected, not {len(found)}")
    return found
