"""Redaction of texts that are sent to the LLM judge, with the patterns of the client."""

from __future__ import annotations

from collections.abc import Callable

from schemas.errors import SettingsError


def redactor(*, enabled: bool) -> Callable[[str], str]:
    """Return the function that redacts a text before it is sent; the identity if redaction is off.

    Raises
    ------
    SettingsError
        If the client package, which contains the patterns, is not installed.
    """
    if not enabled:
        return str
    try:
        from streamgauge.redaction import redact  # noqa: PLC0415 - an optional dependency
    except ImportError as error:
        remedy = "install the client (pip install ./client of this repository), or set reviewers.judge.redact=false"
        raise SettingsError(
            f"reviewers.judge.redact=true: the client package is required: {error}; {remedy}",
            "reviewers.judge.redact",
            "unavailable",
        ) from error
    return redact
