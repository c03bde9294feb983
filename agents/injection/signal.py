"""What the agent says of one event."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from agents.common.flag_rate import SeverityPriors

GRADE_FROM = (0.73, 0.95)
"""Scores from which a flag is of the second and of the third grade."""
GRADES = SeverityPriors(anomalous=(0.15, 0.15, 0.05), normal=(0.6, 0.3, 0.1))
"""Of attacks of families that a model had not seen a third is flagged. Of the harmless texts that are flagged one in
thirty is surely so; more are assumed, until a segment has flags of its own."""


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
        Whose text it was: ``system``, ``user``, ``tool`` or ``document``; or where it stood beside these: ``tool_call``
        (arguments), ``name`` (of a tool or a participant), ``source`` (of a document, or its id), ``assistant`` (the
        history), ``response`` (any choice), ``parameter``, ``tag``, ``error``, ``other`` (fields that the contract
        does not know); from a score of .2 on.
    obfuscation
        How it was hidden: ``hidden`` (zero-width, tag, full-width, squared or mathematical characters, struck-through
        letters, bytes in variation selectors), ``homoglyph``, ``base64`` (of either alphabet, in lines, up to four
        times), ``hex``, ``binary`` and ``codes`` (of characters), ``morse``, ``escapes`` (percent codes, entities,
        backslash escapes), ``rot13``, ``reversed``, ``leetspeak``, ``spaced`` (letters set apart), ``split`` (a mark
        in each word), ``joined`` (WordsInOne), ``escaped`` (a backslash before each letter); flagged events only.
    segment_start
        Where the worst window of that text (of the decoded text, where it was encoded) begins, in characters;
        flagged events only.
    family
        What kind of attack it is, by the group of concepts that weighs most: ``override``, ``persona``, ``extraction``,
        ``exfiltration``, ``delimiter``, ``obfuscation``, ``task-switch``, ``pressure``, ``code``; ``wording`` where
        only its words tell; flagged events only.
    text_index
        Which of the event's texts it is: messages in order, then documents, empty ones not counted; from a score of .2
        on; None where it is no message or document.
    turns
        How many of the conversation's last prompts it took to reach the threshold; None where one text did.
    echo
        What the model repeated of a tool's answer or a document that reads like an order: ``argument`` (in a tool
        call), ``address`` or ``quotation``; None where it is the text alone that was flagged.
    """

    score: float
    flag: bool
    role: str | None = None
    obfuscation: str | None = None
    segment_start: int | None = None
    family: str | None = None
    text_index: int | None = None
    turns: int | None = None
    echo: str | None = None

    @property
    def grade(self) -> int:
        """How sure a flag is, from 1 to 3; 0 where there is none."""
        return 1 + bisect_right(GRADE_FROM, self.score) if self.flag else 0


NOTHING = InjectionSignal(0.0, flag=False)
