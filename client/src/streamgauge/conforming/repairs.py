"""Whether a part had to be changed: one `Repairs` goes with each event."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


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

    def __call__(self, value: Any) -> Any:
        """Pass a repaired value on."""
        self.made = True
        return value
