"""What the agent says of one event."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DriftSignal:
    """How far an event's text lies from its segment's reference.

    Attributes
    ----------
    distance
        Root mean square over the embedding's dimensions of the whitened difference from the reference's mean, in
        standard deviations: about 1 for usual text, less where few words are used. None while the reference is learned
        and where there is no text.
    learning
        Whether the reference of the text is still being learned.
    """

    distance: float | None
    learning: bool


LEARNING = DriftSignal(None, learning=True)
NO_TEXT = DriftSignal(None, learning=False)
