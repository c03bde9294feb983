"""``streamgauge ingest-key create``: a key, shown once, and what is kept of it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from schemas.errors import SettingsError
from schemas.setting_sections import IngestSettings
from streams.ingest.api_keys import KeyEntry, digest, read

PREFIX = "sgk_"
"""Lets scanners for leaked secrets, and people, recognise one."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key and its entry for the key file."""

    key: str
    entry: str


def make(name: str, tenant: str, apps: list[str], quota: dict[str, float]) -> NewKey:
    """Make a key of 256 random bits; raise `SettingsError` if its entry would not be a right one."""
    key = PREFIX + secrets.token_urlsafe(32)
    entry: dict[str, Any] = {"name": name, "tenant": tenant, "sha256": digest(key).hex()}
    entry |= {"apps": apps} if apps else {}
    entry |= {"quota": quota} if quota else {}
    try:
        KeyEntry.model_validate(entry)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise SettingsError(f"{field}: {first['msg']} (got {first['input']!r})", field) from error
    return NewKey(key, yaml.safe_dump([entry], sort_keys=False))


def file_of(settings: IngestSettings) -> Path:
    """Return the key file; raise `SettingsError` if none is named."""
    if settings.keys_file is None:
        raise SettingsError(
            "ingest.keys_file: not set; set it, or leave out --append and paste the entry",
            "ingest.keys_file",
            "missing",
        )
    return settings.keys_file


def append(path: Path, name: str, entry: str) -> None:
    """Add an entry to the end of a key file, which is made if it is not there.

    Raises
    ------
    SettingsError
        If the file cannot be used, or has a key of that name.
    """
    if path.exists() and any(sender.name == name for _, sender in read(path)):
        raise SettingsError(
            f"ingest.keys_file={path}: {name} is there already; remove its entry or take another name",
            "name",
            "duplicate",
            path=path,
        )
    before = path.read_text() if path.exists() else ""
    path.touch(mode=0o600)
    # Appended, not written anew: comments stay, and a file that is mounted alone cannot be replaced.
    with path.open("a") as file:
        file.write(("" if before.endswith("\n") or not before else "\n") + entry)
