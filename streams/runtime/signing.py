"""Signatures of records that the monitor writes to Kafka and trusts on reading: HMAC-SHA256 with rotating keys.

A signature covers the content, its kind, the topic and the partition, so a signed record is invalid anywhere else. The
format is ``key id:hexadecimal digest``. In a JSON object, the signature is the last member, ``"signature"``, and covers
the bytes before it. A member survives a dump of the values to a file, unlike a header, and needs no canonical JSON.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final

from pydantic import SecretStr

from schemas.errors import SignatureError
from schemas.settings import Settings
from streams.runtime.decode import COMMAND_HEADER, FEEDBACK_HEADER

_FORMAT: Final = b"streamgauge-signature-1"
_TAIL: Final = re.compile(rb',"signature":"([A-Za-z0-9._-]{1,32}:[0-9a-f]{64})"\}\s*\Z')
_TAIL_BYTES: Final = 256
_REMEDY = "sign with the first of security.signing_keys (docs/security.md)"


class Signer:
    """Signer with rotating keys: signs with the first key and accepts every key; without keys, accepts all records.

    Parameters
    ----------
    keys
        Secrets, by key id.

    Examples
    --------
    >>> old, new = SecretStr("o" * 32), SecretStr("n" * 32)
    >>> signature = Signer({"k1": old}).sign("snapshot", "llm.snapshots", 0, b"state")
    >>> Signer({"k2": new, "k1": old}).check(signature, "snapshot", "llm.snapshots", 0, b"state")
    >>> Signer({"k2": new}).check(signature, "snapshot", "llm.snapshots", 0, b"state")
    Traceback (most recent call last):
    schemas.errors.SignatureError: signature: key 'k1' is not accepted here; sign with the first of ...
    """

    def __init__(self, keys: Mapping[str, SecretStr]) -> None:
        self._keys = {name: key.get_secret_value().encode() for name, key in keys.items()}

    @classmethod
    def of(cls, settings: Settings) -> Signer:
        """Return the signer of an installation."""
        return cls(settings.security.signing_keys)

    def __bool__(self) -> bool:
        return bool(self._keys)

    def sign(self, kind: str, topic: str, partition: int, *parts: bytes) -> str:
        """Return the signature of ``parts`` by the first key; empty without keys."""
        for name, key in self._keys.items():
            return f"{name}:{_digest(key, kind, topic, partition, parts)}"
        return ""

    def check(self, signature: str | None, kind: str, topic: str, partition: int, *parts: bytes) -> None:
        """Raise `SignatureError` unless an accepted key signed ``parts`` for this kind, topic and partition."""
        if not self._keys:
            return
        if not signature:
            raise SignatureError(f"signature: missing; {_REMEDY}", "signature")
        name, _, digest = signature.partition(":")
        if name not in self._keys:
            raise SignatureError(f"signature: key {name[:32]!r} is not accepted here; {_REMEDY}", "signature")
        expected = _digest(self._keys[name], kind, topic, partition, parts)
        if not hmac.compare_digest(expected.encode(), digest.encode()):
            raise SignatureError(
                f"signature: does not match this {kind} in partition {partition} of {topic}; {_REMEDY}", "signature"
            )

    def sign_json(self, value: bytes, kind: str, topic: str, partition: int) -> bytes:
        """Return a JSON object with its signature; return any other value unchanged, to be dead-lettered later."""
        body = value.rstrip()
        if not self._keys or not body.endswith(b"}"):
            return value
        body = body[:-1]
        return b'%s,"signature":"%s"}' % (body, self.sign(kind, topic, partition, body).encode())

    def check_record(
        self, value: bytes | None, headers: Sequence[tuple[str, bytes]], topic: str, partition: int
    ) -> None:
        """Raise `SignatureError` for a command or label in the event log without a valid signature."""
        if self._keys and headers and (kind := trusted_kind(headers)) is not None:
            body, signature = _split(value or b"")
            self.check(signature, kind, topic, partition, body)


UNSIGNED = Signer({})
"""Signer of an installation without keys."""


def trusted_kind(headers: Sequence[tuple[str, bytes]]) -> str | None:
    """Return ``model`` or ``feedback`` for event log records that only the monitor may write; None for an event."""
    return next((name[1].decode() for name in (COMMAND_HEADER, FEEDBACK_HEADER) if name in headers), None)


def _split(value: bytes) -> tuple[bytes, str | None]:
    match = _TAIL.search(value, max(0, len(value) - _TAIL_BYTES))
    return (value, None) if match is None else (value[: match.start()], match[1].decode())


def _digest(key: bytes, kind: str, topic: str, partition: int, parts: Sequence[bytes]) -> str:
    """Return the digest of length-prefixed fields, so different fields never give the same input."""
    mac = hmac.new(key, digestmod=sha256)
    for part in (_FORMAT, kind.encode(), topic.encode(), b"%d" % partition, *parts):
        mac.update(len(part).to_bytes(8, "big"))
        mac.update(part)
    return mac.hexdigest()
