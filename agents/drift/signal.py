"""Signal of the drift agent."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DriftSignal:
    """Distance of an event's text from the reference of its app.

    Attributes
    ----------
    distance
        Root mean square over the dimensions of the whitened difference from the reference mean, in standard
        deviations: about 1 for typical text, lower for text of few words. None while the reference is being learned
        and for an event without text.
    learning
        True while the reference of the text is being learned.
    """

    distance: float | None
    learning: bool


LEARNING = DriftSignal(None, learning=True)
NO_TEXT = DriftSignal(None, learning=False)
