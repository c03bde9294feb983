"""Reading of files that settings name; each error is one line with the setting, its value and the remedy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from schemas.errors import SettingsError

_QUOTED = re.compile(r"(['\"])(?!<).{3,}?\1", re.DOTALL)
"""Quotation of the file in a YAML error: it may be a secret, as in ``password: *hunter2``. Tokens (``'<scalar>'``) are
safe."""
_SETTING = re.compile(r"([A-Za-z_][\w.]*)=")
Model = TypeVar("Model", bound=BaseModel)


def check_file(path: Path, name: str) -> None:
    """Check that a file is readable, for libraries that open it by name.

    Parameters
    ----------
    path
        Path of the file.
    name
        Name of the file in errors: the setting and its value, as in ``kafka.ca_file=/etc/ca.pem``.

    Raises
    ------
    SettingsError
        If the file is missing, not readable, or a folder.
    """
    _read(path, name, 1)


def read_file(path: Path, name: str) -> bytes:
    """Return the content of a file; see `check_file` for parameters and errors."""
    return _read(path, name, -1)


def setting_of(name: str) -> str:
    """Return the setting at the start of a file's name in errors; empty if the name has none.

    Examples
    --------
    >>> setting_of("kafka.ca_file=/etc/ca.pem")
    'kafka.ca_file'
    >>> setting_of("rules.yaml")
    ''
    """
    found = _SETTING.match(name)
    return found[1] if found else ""


def _read(path: Path, name: str, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(max_bytes)
    except PermissionError as error:
        raise SettingsError(
            f"{name}: {error.strerror}; grant read permission to the user of this process",
            setting_of(name),
            "unreadable",
            path=path,
        ) from error
    except OSError as error:
        raise SettingsError(
            f"{name}: {error.strerror}; correct the path or unset it", setting_of(name), "unreadable", path=path
        ) from error
    except ValueError as error:  # a null character in the path
        raise SettingsError(
            f"{name}: {error}; correct the path or unset it", setting_of(name), "unreadable", path=path
        ) from error


def read_yaml(path: Path, name: str) -> Any:
    """Return the content of a YAML file, None if it is empty; see `check_file` for parameters.

    Raises
    ------
    SettingsError
        If the file cannot be read or parsed. The message does not quote the file: it may hold a password or a key.
    """
    text = read_file(path, name)
    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise SettingsError(
            f"{name}: invalid YAML: {line}{_QUOTED.sub('...', error.problem or '')}; correct the file",
            setting_of(name),
            "malformed",
            path=path,
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # an invalid date; lists nested without end
        raise SettingsError(
            f"{name}: invalid YAML: {error.__class__.__name__}; correct the file",
            setting_of(name),
            "malformed",
            path=path,
        ) from error


def read_json(path: Path, name: str, model: type[Model], remedy: str) -> Model:
    """Return the content of a JSON file as a model; see `check_file` for ``path`` and ``name``.

    Parameters
    ----------
    remedy
        End of the error message if the content does not fit the model.

    Raises
    ------
    SettingsError
        If the file cannot be read or does not fit the model. The message does not quote the file.
    """
    text = read_file(path, name)
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise SettingsError(
            f"{name}: {where}: {first['msg']}; {remedy}", setting_of(name), "malformed", path=path
        ) from error
