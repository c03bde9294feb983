"""Hashes in place of texts: only the equality of texts remains visible."""

from __future__ import annotations

import hashlib
import hmac


class Hasher:
    """Truncated SHA-256 of texts, keyed if a key is set: a short text can be guessed from an unkeyed hash."""

    def __init__(self, key: str | None) -> None:
        self._key = key.encode() if key else None
        self.name = "hmac" if key else "sha256"

    def digest(self, text: str) -> str:
        """Return the first 16 hex digits of the hash."""
        raw = text.encode("utf-8", "surrogatepass")
        if self._key is None:
            return hashlib.sha256(raw).hexdigest()[:16]
        return hmac.digest(self._key, raw, "sha256").hex()[:16]

    def marker(self, text: str) -> str:
        """Return the replacement of a text."""
        return f"[{self.name}={self.digest(text)}, {len(text)} chars]"

    def pseudonym(self, text: str) -> str:
        """Return the replacement of an id."""
        return f"{self.name}-{self.digest(text)}"

    def truncation_marker(self, text: str) -> str:
        """Return the marker at the end of a truncated text."""
        return f"...[truncated, {len(text)} chars in all, {self.name}={self.digest(text)}]"
