"""`RepairFlag`: records whether normalization changed an event."""

from __future__ import annotations

from typing import Any, TypeVar

Json = dict[str, Any]
T = TypeVar("T")


class RepairFlag:
    """Flag that is set by the first repair of an event.

    Attributes
    ----------
    is_set
        Whether a value was changed; filled-in defaults do not count.
    """

    __slots__ = ("is_set",)

    def __init__(self) -> None:
        self.is_set = False

    def __call__(self, value: T) -> T:
        """Set the flag and return the repaired value."""
        self.is_set = True
        return value
