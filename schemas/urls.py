"""Checks of URLs in settings."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Return True if a host is a loopback address or ``localhost``, without a name lookup.

    Examples
    --------
    >>> is_loopback("localhost"), is_loopback("::1"), is_loopback("127.evil.example")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_url(url: str, name: str, *, key: bool) -> None:
    """Check the URL of an HTTP API.

    Parameters
    ----------
    url
        URL of the API.
    name
        Setting that holds the URL.
    key
        True if an API key is sent to the URL.

    Raises
    ------
    ValueError
        If the URL cannot be used. The message names the setting and the remedy, not the URL: it may hold a password.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(c.isspace() or not c.isprintable() for c in url):
        raise ValueError(f"{name}: not a valid URL; set https://host/v1, or http://host/v1 if the host needs no key")
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"{name}: contains a user or a password; set the key in reviewers.judge.key instead")
    if parts.query or parts.fragment:
        raise ValueError(f"{name}: contains a query or a fragment; remove everything from the ? or # on")
    if key and parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        remedy = "use https://, use a loopback address, or unset reviewers.judge.key"
        raise ValueError(f"{name}: the key would be sent unencrypted to {parts.hostname}; {remedy}")
