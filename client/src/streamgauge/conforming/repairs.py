"""Whether a part had to be changed: one `Repairs` goes with each event."""

from __future__ import annotations

from typing import Any, TypeVar

Json = dict[str, Any]
T = TypeVar("T")


class Repairs:
    """Remembers that something did not fit.

    Attributes
    ----------
    made
        Whether anything was changed, beyond filling in defaults.
    """

    __slots__ = ("made",)

    def __init__(self) -> None:
        self.made = False

    def __call__(self, value: T) -> T:
        """Pass a repaired value on."""
        self.made = True
        return value
