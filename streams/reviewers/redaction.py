"""The client's redaction, for texts that leave this machine."""

from __future__ import annotations

from collections.abc import Callable

from schemas.errors import SettingsError


def redaction(*, wanted: bool) -> Callable[[str], str]:
    """Return what a text is passed through before it is sent.

    Raises
    ------
    SettingsError
        If the client, which has the patterns, is not installed.
    """
    if not wanted:
        return str
    try:
        from streamgauge.redaction import redact  # noqa: PLC0415 - an optional dependency
    except ImportError as error:
        remedy = "install the client (pip install ./client of this repository), or set reviewers.judge.redact=false"
        raise SettingsError(
            f"reviewers.judge.redact=true: the patterns are the client's: {error}; {remedy}",
            "reviewers.judge.redact",
            "unavailable",
        ) from error
    return redact
