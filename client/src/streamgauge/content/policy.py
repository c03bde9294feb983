"""`ContentPolicy`: content mode, redaction and maximum text length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamgauge.content.hashing import Hasher
from streamgauge.content.text_fields import is_word, map_content, map_metadata
from streamgauge.guard import record_internal_error
from streamgauge.redaction import redact
from streamgauge.redaction.chunks import map_in_chunks
from streamgauge.settings import Settings

Json = dict[str, Any]
FAILED = "[redaction failed]"
_MARGIN_CHARS = 512
"""Characters redacted beyond the maximum length: a number split by truncation would not be recognised."""


class ContentPolicy:
    """Policy that maps each text to the text that leaves the process.

    Parameters
    ----------
    pause
        Called between chunks of long work, because the host's threads wait for the GIL meanwhile.

    Attributes
    ----------
    truncated, redaction_errors
        Number of truncated texts; number of texts replaced by a marker because their redaction failed.
    """

    def __init__(self, settings: Settings, pause: Callable[[], object]) -> None:
        self._mode = settings.content
        self._custom_redact = settings.redact
        self._max_chars = settings.max_field_chars
        self._pause = pause
        self._hasher = Hasher(settings.hash_key)
        self._map_content, self._map_metadata = self._mappers()
        self.truncated = 0
        self.redaction_errors = 0

    def _mappers(self) -> tuple[Callable[[str], str], Callable[[str], str]]:
        if self._mode == "hash":
            return self._hashed, lambda text: text if is_word(text) else self._hashed(text)
        if self._mode == "none":
            return lambda _: "", lambda text: text if is_word(text) else ""
        if self._mode == "redacted" or self._custom_redact is not None:
            return self._redacted, self._redacted
        return self._full, self._full

    def apply(self, event: Json, size: int) -> None:
        """Map the texts of an event in place; ``size`` is that of its JSON, an upper bound of each text's length."""
        if self._mode == "full" and self._custom_redact is None and size <= self._max_chars:
            return
        map_content(event, self._map_content)
        map_metadata(event, self._map_metadata)
        if self._mode != "full":
            self._pseudonymize_ids(event)

    def _pseudonymize_ids(self, event: Json) -> None:
        """Replace ids that contain personal data; equal ids get equal pseudonyms, so a conversation stays together."""
        for name in ("user_id", "conversation_id"):
            identity = event.get(name)
            if identity and redact(identity) != identity:
                event[name] = self._hasher.pseudonym(identity)

    def _hashed(self, text: str) -> str:
        return self._hasher.marker(text) if text else ""

    def _full(self, text: str) -> str:
        return text if len(text) <= self._max_chars else self.truncate(text, text, self._max_chars)

    def _redacted(self, text: str) -> str:
        is_long = len(text) > self._max_chars + _MARGIN_CHARS
        try:
            clean = self._redact(text[: self._max_chars + _MARGIN_CHARS] if is_long else text)
        except Exception as error:  # noqa: BLE001 - the host's callable failed; the original text must not leave
            self.redaction_errors += 1
            record_internal_error("redact", error)
            return FAILED
        if not is_long and len(clean) <= self._max_chars:
            return clean
        return self.truncate(clean[:-_MARGIN_CHARS] if is_long else clean, text, self._max_chars)

    def _redact(self, text: str) -> str:
        if self._mode == "redacted":
            text = map_in_chunks(text, redact, self._pause)
        if self._custom_redact is not None:
            text = self._custom_redact(text)
            if not isinstance(text, str):
                raise TypeError(f"redact returned {type(text).__name__}, not str; return a string")
        return text

    def truncate(self, text: str, whole: str, max_chars: int) -> str:
        """Return the start of a text with a marker that holds the length and the hash of the whole text."""
        self.truncated += 1
        marker = self._hasher.truncation_marker(whole)
        return text[: max_chars - len(marker)] + marker
