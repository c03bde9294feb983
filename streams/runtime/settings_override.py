"""Settings override: a file that overrides part of the current settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from schemas.errors import SettingsError
from schemas.files import read_yaml, setting_of
from schemas.settings import Settings, load_settings


def load_override(path: Path, base: Settings, name: str = "") -> Settings:
    """Return ``base`` with the overrides of a file.

    Parameters
    ----------
    path
        YAML file: a rules file (``rules:`` at the top level), or any part of the settings tree. Relative paths in it
        are resolved against the working directory.
    base
        Settings that apply unless the file overrides them.
    name
        Name of the file in error messages; defaults to its path.

    Raises
    ------
    SettingsError
        If the file is invalid; the message names the file, the setting and the remedy.
    """
    name = name or str(path)
    override = read_yaml(path, name)
    override = {} if override is None else override
    if not isinstance(override, dict):
        raise SettingsError(
            f"{name}: not a mapping; write a rules file or a part of the settings as YAML",
            setting_of(name),
            "malformed",
            path=path,
        )
    if "rules" in override:
        override = {"alerts": {"rules_file": path}}
    try:
        return load_settings(**_merge(base.model_dump(), override))
    except SettingsError as error:
        raise SettingsError(
            f"{name}: {error}", error.field, error.code, path=path, suggestion=error.suggestion
        ) from error


def _merge(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Merge an override into a tree, recursively."""
    merged = dict(base)
    for name, value in override.items():
        current = merged.get(name)
        merged[name] = _merge(current, value) if isinstance(current, dict) and isinstance(value, dict) else value
    return merged
