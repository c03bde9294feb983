"""A second version of the settings: what a file says otherwise than the settings at hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from schemas.errors import SettingsError
from schemas.files import read_yaml, setting_of
from schemas.settings import Settings, load_settings


def load_variant(path: Path, base: Settings, name: str = "") -> Settings:
    """Return ``base`` with what a file says otherwise.

    Parameters
    ----------
    path
        YAML: a rules file (``rules:`` at its top), or any part of the settings tree. Paths in it are, as in any
        settings, relative to where the command runs.
    base
        What holds where the file says nothing.
    name
        Of the file in an error, where a setting names it.

    Raises
    ------
    SettingsError
        Naming the file, the setting and the remedy.
    """
    name = name or str(path)
    given = read_yaml(path, name)
    given = {} if given is None else given
    if not isinstance(given, dict):
        raise SettingsError(
            f"{name}: not a mapping; give a rules file or a part of the settings, YAML",
            setting_of(name),
            "malformed",
            path=path,
        )
    if "rules" in given:
        given = {"alerts": {"rules_file": path}}
    try:
        return load_settings(**_over(base.model_dump(), given))
    except SettingsError as error:
        raise SettingsError(
            f"{name}: {error}", error.field, error.code, path=path, suggestion=error.suggestion
        ) from error


def _over(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one tree over another."""
    merged = dict(base)
    for name, value in given.items():
        below = merged.get(name)
        merged[name] = _over(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
