"""Who may ask at all: a page in the user's browser must neither read the store nor make it run anything."""

from __future__ import annotations

from urllib.parse import urlsplit

from multidict import CIMultiDictProxy

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_OWN = frozenset({"none", "same-origin"})
HEADERS = {
    "X-Content-Type-Options": "nosniff",  # an answer is never taken for a script
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every answer."""


def refusal(headers: CIMultiDictProxy[str], host: str) -> str:
    """Return why a request is refused; empty if it may go on.

    A browser names the origin of a request (Origin, Sec-Fetch-Site); drivers send neither header. The host asked for
    (Host) must be ours: otherwise a page whose own name points at loopback would be of our origin (DNS rebinding).

    Parameters
    ----------
    headers
        Of the request.
    host
        The address that the server listens on.
    """
    asked = headers.get("Host", "")
    name = _hostname(asked)
    if name != host and not (host in LOOPBACK and name in LOOPBACK):
        return f"Host: {asked[:100]!r} is not this server; ask for {host}"
    if headers.get("Sec-Fetch-Site", "none").lower() not in _OWN:
        return "Sec-Fetch-Site: pages of other origins are not served"
    if any(origin != f"http://{asked}" for origin in headers.getall("Origin", ())):
        return "Origin: pages of other origins are not served"
    return ""


def _hostname(asked: str) -> str:
    try:
        return urlsplit(f"//{asked}").hostname or ""
    except ValueError:
        return ""
