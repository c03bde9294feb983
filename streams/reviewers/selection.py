"""The selection of scored events, and of their signals, for review."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from schemas.setting_sections import EncoderSettings, JudgeSettings

SelectionReason: TypeAlias = Literal["suspicious", "requested", "sampled"]
_HASH_SPAN = float(1 << 64)


@dataclass(frozen=True, slots=True)
class Selection:
    """Selection of suspicious events, requested events and a sample of the remaining events; deterministic per event.

    Attributes
    ----------
    name
        Name of the reviewer; different reviewers sample different events.
    signals
        Signals to review.
    min_score
        Minimum score of a suspicious event; flagged events are always suspicious.
    sampled_share
        Fraction of the remaining events to review.
    requested
        True to review events whose labels the agents request.

    Examples
    --------
    >>> selection = Selection("judge", ("injection",), min_score=0.35, sampled_share=0.0)
    >>> row = {"event": {"event_id": "e"}, "signals": {"injection": {"score": 0.4, "flag": False}}}
    >>> list(selection.select(row))
    [('injection', 'suspicious', 1.0)]
    """

    name: str
    signals: tuple[str, ...]
    min_score: float
    sampled_share: float
    requested: bool = False

    @classmethod
    def from_settings(cls, name: str, settings: EncoderSettings | JudgeSettings, signals: tuple[str, ...]) -> Selection:
        """Return the selection defined by a reviewer's settings."""
        return cls(name, signals, settings.min_score, settings.sampled_share, getattr(settings, "requested", False))

    def select(self, row: Mapping[str, Any]) -> Iterator[tuple[str, SelectionReason, float]]:
        """Yield the signals to review, with the reason and the selection probability.

        ``row`` has the fields of `schemas.outputs.Scored`. A signal without a score (no context, no text) is not
        selected.
        """
        for name in self.signals:
            signal = row["signals"].get(name)
            if signal is None or (score := signal.get("score")) is None:
                continue
            if signal.get("flag") or score >= self.min_score:
                yield name, "suspicious", 1.0
            elif self.requested and (probability := (row.get("label_request_probability") or {}).get(name)):
                yield name, "requested", probability
            elif self.sampled_share and self._is_sampled(row["event"], name):
                yield name, "sampled", self.sampled_share

    def _is_sampled(self, event: Mapping[str, Any], signal: str) -> bool:
        text = "\x1f".join((self.name, signal, str(event.get("tenant")), str(event.get("event_id"))))
        digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
        return int.from_bytes(digest) / _HASH_SPAN < self.sampled_share
