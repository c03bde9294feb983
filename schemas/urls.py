"""Addresses that settings name, and what may be sent there."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, whatever a name server says.

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
        Of the API.
    name
        The setting that names it.
    key
        Whether a key is sent there.

    Raises
    ------
    ValueError
        Naming the setting and the remedy, without the URL: it may hold a password.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(c.isspace() or not c.isprintable() for c in url):
        raise ValueError(f"{name}: give https://host/v1, or http:// of a host that needs no key")
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"{name}: holds a user or a password; put the key into reviewers.judge.key")
    if parts.query or parts.fragment:
        raise ValueError(f"{name}: ends in a query or a fragment; give the address before the ? or # alone")
    if key and parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        remedy = "give https://, a loopback address, or unset reviewers.judge.key"
        raise ValueError(f"{name}: the key would be sent unencrypted to {parts.hostname}; {remedy}")
