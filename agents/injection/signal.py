"""Signal of the injection agent for one event."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from agents.common.flag_rate import SeverityPriors

GRADE_THRESHOLDS = (0.73, 0.95)
"""Minimum scores of a flag of the second and of the third grade."""
GRADES = SeverityPriors(anomalous=(0.15, 0.15, 0.05), normal=(0.6, 0.3, 0.1))
"""Priors of the grades. A third of the attacks of families unseen in training is flagged. One in thirty of the flagged
harmless texts has the highest grade; the prior assumes more until a scope has flags of its own."""


@dataclass(frozen=True, slots=True)
class InjectionSignal:
    """Injection score of the worst text of an event.

    Attributes
    ----------
    score
        0 to 1. The threshold is 0.5 for every role and script. 0 for an event without text.
    flag
        True for a score of at least 0.5.
    role
        Role of the text: ``system``, ``user``, ``tool`` or ``document``; or, for a text outside of the scored messages
        and documents, its field: ``tool_call`` (arguments), ``name`` (of a tool or a participant), ``source`` (of a
        document, or its id), ``assistant`` (the history), ``response`` (any choice), ``parameter``, ``tag``, ``error``,
        ``other`` (fields unknown to the contract). Set from a score of 0.2 on.
    obfuscation
        Obfuscation of a flagged text: ``hidden`` (zero-width, tag, full-width, squared or mathematical characters,
        struck-through letters, bytes in variation selectors), ``homoglyph``, ``base64`` (either alphabet, in lines,
        nested up to four times), ``hex``, ``binary`` and ``codes`` (of characters), ``morse``, ``escapes`` (percent
        codes, entities, backslash escapes), ``rot13``, ``reversed``, ``leetspeak``, ``spaced`` (letters set apart),
        ``split`` (a mark inside each word), ``joined`` (WordsInOne), ``escaped`` (a backslash before each letter).
    segment_start
        Start of the worst window of a flagged text, in characters; of the decoded text if the text was encoded.
    family
        Attack family of a flagged text, from the group of concepts that weighs most: ``override``, ``persona``,
        ``extraction``, ``exfiltration``, ``delimiter``, ``obfuscation``, ``task-switch``, ``pressure``, ``code``;
        ``wording`` if only words, not concepts, weigh.
    text_index
        Index of the text among the non-empty messages, then documents, of the event. Set from a score of 0.2 on; None
        for a text that is neither.
    turns
        Number of the last prompts of the conversation that reached the threshold together; None if one text did.
    echo
        Part of an order in a tool's answer or a document that the model repeated: ``argument`` (in a tool call),
        ``address`` or ``quotation``; None if the text alone was flagged.
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
        """Grade of a flag by its score, from 1 to 3; 0 for an event without flag."""
        return 1 + bisect_right(GRADE_THRESHOLDS, self.score) if self.flag else 0


EMPTY_SIGNAL = InjectionSignal(0.0, flag=False)
