"""What the agent says of one event."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InjectionSignal:
    """How much the worst text of an event reads like an injection.

    Attributes
    ----------
    score
        0 to 1; the threshold of the text's role and script is .5 whatever they are. 0 where there was nothing to read.
    flag
        Whether ``score`` reached .5.
    role
        Whose text it was: ``system``, ``user``, ``tool`` or ``document``; flagged events only.
    obfuscation
        How it was hidden: ``hidden`` (zero-width, tag, full-width or mathematical characters), ``homoglyph``,
        ``base64``, ``hex``, ``leetspeak``, ``spaced``; flagged events only.
    segment_start
        Where the worst window of that text (of the decoded text, where it was encoded) begins, in characters;
        flagged events only.
    family
        What kind of attack it is, by the group of concepts that weighs most: ``override``, ``persona``, ``extraction``,
        ``exfiltration``, ``delimiter``, ``obfuscation``, ``task-switch``, ``pressure``, ``code``; ``wording`` where
        only its words tell; flagged events only.
    """

    score: float
    flag: bool
    role: str | None = None
    obfuscation: str | None = None
    segment_start: int | None = None
    family: str | None = None


NOTHING = InjectionSignal(0.0, flag=False)
