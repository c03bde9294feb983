"""The content mode, the redaction and the longest text, applied to one event after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamgauge.content.hashing import Hasher
from streamgauge.content.leaves import change_others, change_spoken, is_word
from streamgauge.guard import note
from streamgauge.redaction import redact
from streamgauge.redaction.pieces import in_pieces
from streamgauge.settings import Settings

Json = dict[str, Any]
FAILED = "[redaction failed]"
_MARGIN = 512
"""How much more than is kept is redacted: what a cut splits is no longer recognised."""


class Outgoing:
    """Decides what of each text leaves the process.

    Parameters
    ----------
    pause
        Called between pieces of long work: the host's threads wait for the GIL meanwhile.

    Attributes
    ----------
    truncated, redaction_errors
        Texts cut; texts replaced by a marker, as the redaction failed on them.
    """

    def __init__(self, settings: Settings, pause: Callable[[], object]) -> None:
        self._mode = settings.content
        self._own_redact = settings.redact
        self._most = settings.max_field_chars
        self._pause = pause
        self._hasher = Hasher(settings.hash_key)
        self._spoken, self._others = self._changes()
        self.truncated = 0
        self.redaction_errors = 0

    def _changes(self) -> tuple[Callable[[str], str], Callable[[str], str]]:
        if self._mode == "hash":
            return self._hashed, lambda text: text if is_word(text) else self._hashed(text)
        if self._mode == "none":
            return lambda _: "", lambda text: text if is_word(text) else ""
        if self._mode == "redacted" or self._own_redact is not None:
            return self._redacted, self._redacted
        return self._whole, self._whole

    def apply(self, event: Json, size: int) -> None:
        """Change an event in place; ``size`` is that of its JSON: no text in it is longer."""
        if self._mode == "full" and self._own_redact is None and size <= self._most:
            return
        change_spoken(event, self._spoken)
        change_others(event, self._others)
        if self._mode != "full":
            self._hide_ids(event)

    def _hide_ids(self, event: Json) -> None:
        """Replace ids that are an address or a number of a person; they stay one id, so a conversation stays one."""
        for name in ("user_id", "conversation_id"):
            identity = event.get(name)
            if identity and redact(identity) != identity:
                event[name] = self._hasher.pseudonym(identity)

    def _hashed(self, text: str) -> str:
        return self._hasher.marker(text) if text else ""

    def _whole(self, text: str) -> str:
        return text if len(text) <= self._most else self.cut(text, text, self._most)

    def _redacted(self, text: str) -> str:
        cut = len(text) > self._most + _MARGIN
        try:
            clean = self._redact(text[: self._most + _MARGIN] if cut else text)
        except Exception as error:  # noqa: BLE001 - the host's callable; the text must not leave as it is
            self.redaction_errors += 1
            note("redact", error)
            return FAILED
        if not cut and len(clean) <= self._most:
            return clean
        return self.cut(clean[:-_MARGIN] if cut else clean, text, self._most)

    def _redact(self, text: str) -> str:
        if self._mode == "redacted":
            text = in_pieces(text, redact, self._pause)
        if self._own_redact is not None:
            text = self._own_redact(text)
            if not isinstance(text, str):
                raise TypeError(f"redact gave {type(text).__name__}, not str")
        return text

    def cut(self, text: str, whole: str, most: int) -> str:
        """Return the beginning of a text with a marker that says how long it was, and its hash."""
        self.truncated += 1
        marker = self._hasher.cut(whole)
        return text[: most - len(marker)] + marker
