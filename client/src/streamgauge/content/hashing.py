"""Hashes in place of texts: equal texts stay recognisable, nothing else does."""

from __future__ import annotations

import hashlib
import hmac


class Hasher:
    """Short SHA-256 of texts, keyed where a key is given: without one, a short text can be guessed from its hash."""

    def __init__(self, key: str | None) -> None:
        self._key = key.encode() if key else None
        self.name = "hmac" if key else "sha256"

    def digest(self, text: str) -> str:
        """Return 16 hex digits."""
        raw = text.encode("utf-8", "surrogatepass")
        if self._key is None:
            return hashlib.sha256(raw).hexdigest()[:16]
        return hmac.digest(self._key, raw, "sha256").hex()[:16]

    def marker(self, text: str) -> str:
        """Return what stands for a text."""
        return f"[{self.name}={self.digest(text)}, {len(text)} chars]"

    def pseudonym(self, text: str) -> str:
        """Return what stands for an id."""
        return f"{self.name}-{self.digest(text)}"

    def cut(self, text: str) -> str:
        """Return what is appended to the part that is left of a text that is too long."""
        return f"...[truncated, {len(text)} chars in all, {self.name}={self.digest(text)}]"
