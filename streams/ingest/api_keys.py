"""Who may send: API keys, known by their hashes, read again when their file changes."""

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
    """What a key may send; no bound where none is given."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    events_per_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    bytes_per_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    burst_s: Annotated[float, Field(gt=0, le=86_400)] = Field(10.0, description="seconds' worth sent at once")


class KeyEntry(BaseModel):
    """One entry of the key file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Id
    tenant: Id
    apps: tuple[Id, ...] = ()
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    quota: Quota = Quota()


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends.

    Attributes
    ----------
    name
        The key's, for metrics and dead letters; the key itself is nowhere.
    tenant
        What its events must belong to; None: any.
    apps
        What its events may belong to; empty: any.
    """

    name: str
    tenant: str | None = None
    apps: frozenset[str] = frozenset()
    quota: Quota = field(default_factory=Quota)


ANONYMOUS = Sender("anonymous")
_NAME = re.compile(r"[a-z0-9_]{1,20}")
"""Of a field, misspelt or not; a key, which somebody may have pasted, is longer."""
_ENTRIES = TypeAdapter(list[KeyEntry])


def digest(key: str) -> bytes:
    """Return what is kept of a key.

    A fast hash is right here: a key is 256 random bits, which nobody finds by guessing whatever a guess costs. A slow
    one (scrypt) protects secrets that people choose; here it would cost every request milliseconds and protect nothing.
    """
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


class KeyRing:
    """The senders of a key file.

    Parameters
    ----------
    path
        The file; None knows no keys, and every sender is anonymous.

    Raises
    ------
    SettingsError
        At the first reading, if the file cannot be used. Later the old keys hold: a slip of an editor locks nobody out.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._senders: list[tuple[bytes, Sender]] = []
        self._seen: tuple[int, ...] = ()
        if path is not None:
            self._seen = _signature(path)
            self._senders = read(path)
        INGEST_KEYS.set(len(self._senders))

    def find(self, key: str | None) -> Sender | None:
        """Return whose key it is; None if nobody's."""
        if self._path is None:
            return ANONYMOUS
        self._look()
        asked = digest(key or "")
        found = None
        # Every entry is compared, each in constant time: how long it takes says nothing about how near a guess was.
        for known, sender in self._senders:
            if hmac.compare_digest(known, asked):
                found = sender
        return found

    def reload(self) -> None:
        """Read the file again; keep the old keys if it cannot be used."""
        if self._path is None:
            return
        self._seen = _signature(self._path)
        try:
            self._senders = read(self._path)
        except SettingsError as error:
            log.error("%s; the keys read before hold", error)
            INGEST_KEY_FILE_ERRORS.inc()
        else:
            log.info("%s: %d keys", self._path, len(self._senders))
            INGEST_KEYS.set(len(self._senders))

    def _look(self) -> None:
        if self._path is not None and _signature(self._path) != self._seen:
            self.reload()


def _signature(path: Path) -> tuple[int, ...]:
    """Return what changes when the file does: it may be written in place or replaced."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino


def read(path: Path) -> list[tuple[bytes, Sender]]:
    """Return hash and sender of each entry; raise `SettingsError` naming entry, field and remedy."""
    loaded = read_yaml(path, f"ingest.keys_file={path}")
    try:
        entries = _ENTRIES.validate_python(loaded if loaded is not None else [])
    except ValidationError as error:
        # Without the value: somebody may have pasted a key where its hash belongs.
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(part if _NAME.fullmatch(part) else "a field" for part in map(str, first["loc"]))
        remedy = "`streamgauge ingest-key create` prints a right entry"
        raise SettingsError(f"ingest.keys_file={path}: {where}: {first['msg']}; {remedy}", where, path=path) from error
    _each_once(path, entries)
    return [(bytes.fromhex(e.sha256), Sender(e.name, e.tenant, frozenset(e.apps), e.quota)) for e in entries]


def _each_once(path: Path, entries: Sequence[KeyEntry]) -> None:
    for attribute in ("name", "sha256"):
        values = [getattr(entry, attribute) for entry in entries]
        if twice := {value for value in values if values.count(value) > 1}:
            shown = ", ".join(sorted(twice)) if attribute == "name" else f"{len(twice)} hashes"
            raise SettingsError(
                f"ingest.keys_file={path}: {attribute}: {shown} more than once; keep one entry of each",
                attribute,
                "duplicate",
                path=path,
            )
