"""Creation of API keys, for ``streamgauge ingest-key create``: the key is shown once, only its hash is stored."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from schemas.errors import SettingsError
from schemas.setting_sections import IngestSettings
from streams.ingest.api_keys import KeyEntry, key_digest, read_key_file

PREFIX = "sgk_"
"""Prefix of keys, recognisable for secret scanners and people."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A new key and its entry for the key file."""

    key: str
    entry: str


def new_key(name: str, tenant: str, apps: list[str], quota: dict[str, float]) -> NewKey:
    """Create a key of 256 random bits; raise `SettingsError` if its entry would be invalid."""
    key = PREFIX + secrets.token_urlsafe(32)
    entry: dict[str, Any] = {"name": name, "tenant": tenant, "sha256": key_digest(key).hex()}
    entry |= {"apps": apps} if apps else {}
    entry |= {"quota": quota} if quota else {}
    try:
        KeyEntry.model_validate(entry)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise SettingsError(f"{field}: {first['msg']} (got {first['input']!r}); correct it", field) from error
    return NewKey(key, yaml.safe_dump([entry], sort_keys=False))


def key_file(settings: IngestSettings) -> Path:
    """Return the path of the key file; raise `SettingsError` if it is not set."""
    if settings.keys_file is None:
        raise SettingsError(
            "ingest.keys_file: not set; set it, or omit --append and paste the printed entry into the key file",
            "ingest.keys_file",
            "missing",
        )
    return settings.keys_file


def append_entry(path: Path, name: str, entry: str) -> None:
    """Append an entry to a key file; create the file if it does not exist.

    Raises
    ------
    SettingsError
        If the file cannot be used, or already contains a key of that name.
    """
    if path.exists() and any(sender.name == name for _, sender in read_key_file(path)):
        raise SettingsError(
            f"ingest.keys_file={path}: a key named {name} exists; remove its entry or choose another name",
            "name",
            "duplicate",
            path=path,
        )
    before = path.read_text() if path.exists() else ""
    path.touch(mode=0o600)
    # Appended, not rewritten: comments stay, and a file that is mounted on its own cannot be replaced.
    with path.open("a") as file:
        file.write(("" if before.endswith("\n") or not before else "\n") + entry)
