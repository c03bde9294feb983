"""Which scored events a reviewer is asked about, and for which signal."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from schemas.setting_sections import EncoderSettings, JudgeSettings

Why: TypeAlias = Literal["suspicious", "requested", "sampled"]
_HASH_SPAN = float(1 << 64)


@dataclass(frozen=True, slots=True)
class Selection:
    """Chooses by what the agents said, and a fixed share of the rest; the same of the same event at every time.

    Attributes
    ----------
    name
        The reviewer; two reviewers sample different events.
    signals
        What it is asked about.
    min_score
        Suspicious is what has this score, or a flag.
    share
        Of events that are not.
    requested
        Whether it is asked about events whose labels the agents ask for.

    Examples
    --------
    >>> chooses = Selection("judge", ("injection",), min_score=0.35, share=0.0)
    >>> row = {"event": {"event_id": "e"}, "signals": {"injection": {"score": 0.4, "flag": False}}}
    >>> list(chooses.of(row))
    [('injection', 'suspicious', 1.0)]
    """

    name: str
    signals: tuple[str, ...]
    min_score: float
    share: float
    requested: bool = False

    @classmethod
    def from_settings(cls, name: str, part: EncoderSettings | JudgeSettings, signals: tuple[str, ...]) -> Selection:
        """Return the selection that a reviewer's settings ask for."""
        return cls(name, signals, part.min_score, part.sampled_share, getattr(part, "requested", False))

    def of(self, row: Mapping[str, Any]) -> Iterator[tuple[str, Why, float]]:
        """Yield the signals about which the reviewer is to be asked, why, and how probable that was.

        The row is as `schemas.outputs.Scored` has it.
        A signal that has nothing to say of the event (no context, nothing to read) is not asked about.
        """
        for signal in self.signals:
            said = row["signals"].get(signal)
            if said is None or (score := said.get("score")) is None:
                continue
            if said.get("flag") or score >= self.min_score:
                yield signal, "suspicious", 1.0
            elif self.requested and (probability := (row.get("label_request_probability") or {}).get(signal)):
                yield signal, "requested", probability
            elif self.share and self._drawn(row["event"], signal):
                yield signal, "sampled", self.share

    def _drawn(self, event: Mapping[str, Any], signal: str) -> bool:
        text = "\x1f".join((self.name, signal, str(event.get("tenant")), str(event.get("event_id"))))
        digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
        return int.from_bytes(digest) / _HASH_SPAN < self.share
