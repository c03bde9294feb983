"""API keys of the ingest service: a file of key hashes, reloaded when it changes."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from schemas.errors import SettingsError
from schemas.event import Id
from schemas.files import read_yaml
from streams.runtime.metrics import INGEST_KEY_FILE_ERRORS, INGEST_KEYS

log = logging.getLogger(__name__)


class Quota(BaseModel):
    """Quota of a key; None means unlimited."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    events_per_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    bytes_per_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    burst_s: Annotated[float, Field(gt=0, le=86_400)] = Field(10.0, description="burst size, in seconds of quota")


class KeyEntry(BaseModel):
    """An entry of the key file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Id
    tenant: Id
    apps: tuple[Id, ...] = ()
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    quota: Quota = Quota()


@dataclass(frozen=True, slots=True)
class ApiKeyIdentity:
    """Identity and permissions of an API key.

    Attributes
    ----------
    name
        Name of the key, for metrics and dead letters; the key itself is not stored.
    tenant
        Tenant that owns all events of the key; None allows all tenants.
    apps
        Apps that the key may send events of; empty allows all apps.
    quota
        Quota of the key.
    """

    name: str
    tenant: str | None = None
    apps: frozenset[str] = frozenset()
    quota: Quota = field(default_factory=Quota)


ANONYMOUS = ApiKeyIdentity("anonymous")
_NAME = re.compile(r"[a-z0-9_]{1,20}")
"""Pattern of a field name, misspelt or not. Anything longer may be a pasted key and is not shown."""
_ENTRIES = TypeAdapter(list[KeyEntry])


def key_digest(key: str) -> bytes:
    """Return the SHA-256 hash of a key.

    A fast hash is right here: a key is 256 random bits, so it cannot be guessed at any cost per guess. A slow hash
    (scrypt) protects secrets that people choose; here it would cost each request milliseconds and protect nothing.
    """
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


class ApiKeyStore:
    """API keys of a key file.

    Parameters
    ----------
    path
        Path of the key file; None: no keys, all senders are anonymous.

    Raises
    ------
    SettingsError
        At construction, if the file cannot be used. Later errors keep the loaded keys, so that a typo in the file locks
        nobody out.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._identities: list[tuple[bytes, ApiKeyIdentity]] = []
        self._loaded_stat: tuple[int, ...] = ()
        if path is not None:
            self._loaded_stat = _stat(path)
            self._identities = read_key_file(path)
        INGEST_KEYS.set(len(self._identities))

    def find(self, key: str | None) -> ApiKeyIdentity | None:
        """Return the identity of a key; None if the key is unknown."""
        if self._path is None:
            return ANONYMOUS
        self._reload_if_changed()
        digest = key_digest(key or "")
        match = None
        # All entries are compared, each in constant time, so that the response time reveals nothing about the keys.
        for stored_digest, identity in self._identities:
            if hmac.compare_digest(stored_digest, digest):
                match = identity
        return match

    def reload(self) -> None:
        """Read the file again; keep the loaded keys if the file cannot be used."""
        if self._path is None:
            return
        self._loaded_stat = _stat(self._path)
        try:
            self._identities = read_key_file(self._path)
        except SettingsError as error:
            log.error("%s; keeping the previously loaded keys", error)
            INGEST_KEY_FILE_ERRORS.inc()
        else:
            log.info("%s: %d keys", self._path, len(self._identities))
            INGEST_KEYS.set(len(self._identities))

    def _reload_if_changed(self) -> None:
        if self._path is not None and _stat(self._path) != self._loaded_stat:
            self.reload()


def _stat(path: Path) -> tuple[int, ...]:
    """Return file attributes that change if the file is written or replaced."""
    try:
        stat = path.stat()
    except OSError:
        return ()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def read_key_file(path: Path) -> list[tuple[bytes, ApiKeyIdentity]]:
    """Return hash and identity of each entry; raise `SettingsError` with the entry, the field and the remedy."""
    loaded = read_yaml(path, f"ingest.keys_file={path}")
    try:
        entries = _ENTRIES.validate_python(loaded if loaded is not None else [])
    except ValidationError as error:
        # The value is not shown: it may be a key, pasted instead of its hash.
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(part if _NAME.fullmatch(part) else "a field" for part in map(str, first["loc"]))
        remedy = "create a valid entry with `streamgauge ingest-key create`"
        raise SettingsError(f"ingest.keys_file={path}: {where}: {first['msg']}; {remedy}", where, path=path) from error
    _check_unique(path, entries)
    return [(bytes.fromhex(e.sha256), ApiKeyIdentity(e.name, e.tenant, frozenset(e.apps), e.quota)) for e in entries]


def _check_unique(path: Path, entries: Sequence[KeyEntry]) -> None:
    for attribute in ("name", "sha256"):
        values = [getattr(entry, attribute) for entry in entries]
        if repeated := {value for value in values if values.count(value) > 1}:
            shown = ", ".join(sorted(repeated)) if attribute == "name" else f"{len(repeated)} hashes"
            raise SettingsError(
                f"ingest.keys_file={path}: duplicate {attribute}: {shown}; remove the duplicate entries",
                attribute,
                "duplicate",
                path=path,
            )
