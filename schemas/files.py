"""Files that a user writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from schemas.errors import SettingsError


def read_yaml(path: Path, name: str) -> Any:
    """Return what a YAML file holds, None where it is empty.

    Parameters
    ----------
    name
        Of the file in an error: the setting that names it.

    Raises
    ------
    SettingsError
        In one line, without the file's text: there may be a password or a key in it.
    """
    try:
        return yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"{name}: {error.strerror}; correct the path or unset it") from error
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise SettingsError(f"{name}: no YAML: {line}{error.problem}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{name}: no YAML: {error.__class__.__name__}") from error
