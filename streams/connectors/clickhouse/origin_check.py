"""Origin check of HTTP requests: a web page in the user's browser must neither read the store nor run queries."""

from __future__ import annotations

from urllib.parse import urlsplit

from multidict import CIMultiDictProxy

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_SAME_ORIGIN = frozenset({"none", "same-origin"})
HEADERS = {
    "X-Content-Type-Options": "nosniff",  # a response is never interpreted as a script
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Headers of all responses."""


def origin_problem(headers: CIMultiDictProxy[str], host: str) -> str:
    """Return the reason to reject a request; empty if the request is allowed.

    Browsers send the origin of a request (Origin, Sec-Fetch-Site); drivers send neither header. The Host header must
    name this server: otherwise a page whose domain resolves to loopback would have our origin (DNS rebinding).

    Parameters
    ----------
    headers
        Headers of the request.
    host
        Listen address of the server.
    """
    host_header = headers.get("Host", "")
    name = _hostname(host_header)
    if name != host and not (host in LOOPBACK and name in LOOPBACK):
        return f"Host: {host_header[:100]!r} is not this server; use {host}"
    if headers.get("Sec-Fetch-Site", "none").lower() not in _SAME_ORIGIN:
        return "Sec-Fetch-Site: requests from pages of other origins are rejected; use a database client"
    if any(origin != f"http://{host_header}" for origin in headers.getall("Origin", ())):
        return "Origin: requests from pages of other origins are rejected; use a database client"
    return ""


def _hostname(host_header: str) -> str:
    try:
        return urlsplit(f"//{host_header}").hostname or ""
    except ValueError:
        return ""
