"""Files that settings name: every failure is one line with the setting, its value and the remedy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from schemas.errors import SettingsError

_QUOTED = re.compile(r"(['\"])(?!<).{3,}?\1", re.DOTALL)
"""What an error of YAML quotes of a file: ``password: *hunter2`` is an alias. Tokens (``'<scalar>'``) may stay."""
_SETTING = re.compile(r"([A-Za-z_][\w.]*)=")
Model = TypeVar("Model", bound=BaseModel)


def check_file(path: Path, name: str) -> None:
    """Look whether a file can be read by the library that is given its name.

    Parameters
    ----------
    path
        Of the file.
    name
        Of the file in an error: the setting that names it, and its value.

    Raises
    ------
    SettingsError
        If the file is missing, a folder, or not readable.
    """
    _read(path, name, 1)


def read_file(path: Path, name: str) -> bytes:
    """Return what a file holds; parameters and errors are those of `check_file`."""
    return _read(path, name, -1)


def setting_of(name: str) -> str:
    """Return the setting that the name of a file in errors begins with; empty where no setting names the file.

    Examples
    --------
    >>> setting_of("kafka.ca_file=/etc/ca.pem")
    'kafka.ca_file'
    >>> setting_of("rules.yaml")
    ''
    """
    found = _SETTING.match(name)
    return found[1] if found else ""


def _read(path: Path, name: str, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most)
    except PermissionError as error:
        raise SettingsError(
            f"{name}: {error.strerror}; let the user of this process read it", setting_of(name), "unreadable", path=path
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
    """Return what a YAML file holds, None where it is empty; parameters are those of `check_file`.

    Raises
    ------
    SettingsError
        In one line, without the file's text: there may be a password or a key in it.
    """
    text = read_file(path, name)
    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise SettingsError(
            f"{name}: no YAML: {line}{_QUOTED.sub('...', error.problem or '')}",
            setting_of(name),
            "malformed",
            path=path,
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date that is none; lists nested for ever
        raise SettingsError(
            f"{name}: no YAML: {error.__class__.__name__}", setting_of(name), "malformed", path=path
        ) from error


def read_json(path: Path, name: str, model: type[Model], remedy: str) -> Model:
    """Return a JSON file as a model; parameters are those of `check_file`, and the remedy where it does not fit.

    Raises
    ------
    SettingsError
        In one line, without the file's text.
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
