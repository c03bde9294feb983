"""Does a part of a state have the shape it must have."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


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
