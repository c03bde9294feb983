"""Classification of a span's attributes in one pass: plain fields, parameters, tags, and the rest for the dialects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from streams.connectors.otlp.any_value import integer, number
from streams.connectors.otlp.attribute_names import COUNTED, FIELDS, LISTS, PARAMETER_PREFIX, PARAMETERS, PLACED, TAGS
from streams.connectors.otlp.export_result import Normalised
from streams.connectors.otlp.guardrail_results import PREFIXES as GUARDRAILS
from streams.connectors.otlp.request_limits import MAX_MESSAGES, MAX_NAME_CHARS, MAX_TAG_CHARS, MAX_TAGS

_ASSOCIATION = "traceloop.association.properties."
_MAX_TOKENS = 2**31 - 1
_CACHE_MAX, _CACHED_NAME_CHARS = 8192, 128
_TAGGED = (str, int, float)


class Fields:
    """Classified attributes of a span or log record.

    Attributes
    ----------
    plain
        Original value by field.
    parameters, tags
        Parameters and tags of the event.
    lists
        Flattened lists: value by prefix, index and rest of the name.
    rest
        Attributes for the dialects, and unknown attributes.
    guarded
        True if ``rest`` contains attributes of a guardrail.
    """

    __slots__ = ("guarded", "lists", "parameters", "plain", "rest", "tags")

    def __init__(self) -> None:
        self.plain: dict[str, Any] = {}
        self.parameters: dict[str, Any] = {}
        self.tags: dict[str, str] = {}
        self.lists: dict[str, dict[int, dict[str, Any]]] = {}
        self.rest: dict[str, Any] = {}
        self.guarded = False

    def rows(self, prefix: str) -> list[dict[str, Any]]:
        """Return the items of a flattened list in order of their index."""
        found = self.lists.get(prefix)
        return [found[index] for index in sorted(found)[:MAX_MESSAGES]] if found else []

    # Most fields are missing in most spans, so each method checks for presence before it converts a value.

    def text(self, name: str) -> str:
        """Return the text of a field, empty if it is missing."""
        if name not in self.plain:
            return ""
        value = self.plain[name]
        return value if isinstance(value, str) else str(value)

    def tokens(self, name: str) -> int | None:
        """Return the token count of a field, None if it is missing or invalid."""
        if name not in self.plain:
            return None
        value = self.plain[name]
        count = value if type(value) is int else integer(value)
        return count if count is not None and 0 <= count <= _MAX_TOKENS else None

    def number(self, name: str) -> float | None:
        """Return the number of a field, None if it is missing or invalid."""
        return number(self.plain[name]) if name in self.plain else None


_Target: TypeAlias = tuple[str, str, int, str]
"""Destination of an attribute: kind, key, rank of the name (in a list: index), and rest of the name (in a list).
For unknown names the rank is 1 if the attribute belongs to a guardrail.

A plain tuple: unpacking a named tuple takes five times as long.
"""


def classify(attributes: Mapping[str, Any]) -> Fields:
    """Return the classified attributes of a span or log record."""
    found = Fields()
    plain, rest, lists = found.plain, found.rest, found.lists
    ranks: dict[str, int] = {}
    guarded = 0
    for name, value in attributes.items():
        kind, key, rank, inner = _CACHE.get(name) or _cached_target(name)
        if kind == "plain":
            if value is not None and value != "" and (key not in ranks or rank < ranks[key]):
                ranks[key] = rank
                plain[key] = value
        elif kind == "rest":
            rest[name] = value
            guarded |= rank
        elif kind == "list":
            items = lists.get(key)
            if items is None:
                items = lists[key] = {}
            if rank in items:
                items[rank][inner] = value
            else:
                items[rank] = {inner: value}
        elif kind == "tag":
            add_tag(found.tags, key, value)
        elif rank or key not in found.parameters:
            found.parameters[key] = value
    found.guarded = bool(guarded)
    return found


_CACHE: dict[str, _Target] = {}
"""Destination by attribute name: the few hundred names that services use are parsed only once."""


def _cached_target(name: str) -> _Target:
    target = _target(name)
    # Bounded, and short names only: a sender may invent names, even megabytes long.
    if len(_CACHE) < _CACHE_MAX and len(name) <= _CACHED_NAME_CHARS:
        _CACHE[name] = target
    return target


def _target(name: str) -> _Target:
    if name in FIELDS:
        return "plain", *FIELDS[name], ""
    if name in TAGS:
        return "tag", TAGS[name], 0, ""
    if name.startswith(_ASSOCIATION):
        return "tag", name[len(_ASSOCIATION) :], 0, ""
    if name in PARAMETERS:
        return "parameter", PARAMETERS[name], 0, ""
    if name.startswith(PARAMETER_PREFIX):
        return "parameter", name[len(PARAMETER_PREFIX) :], 1, ""
    return _in_list(name) or ("rest", name, int(name.startswith(GUARDRAILS)), "")


def _in_list(name: str) -> _Target | None:
    for prefix in LISTS:
        if name.startswith(prefix):
            index, _, rest = name[len(prefix) :].partition(".")
            # The index only defines the order, so gaps cost nothing.
            return ("list", prefix, int(index), rest) if index.isdecimal() and len(index) <= 6 else None
    return None


def add_tag(tags: dict[str, str], name: str, value: Any) -> None:
    """Add a text or a number as a tag, up to `MAX_TAGS`; other values are ignored."""
    if isinstance(value, _TAGGED) and len(tags) < MAX_TAGS:
        tags[name[:MAX_NAME_CHARS]] = str(value)[:MAX_TAG_CHARS]


def count_unmapped(rest: Mapping[str, Any], out: Normalised) -> None:
    """Count the GenAI attributes that no dialect maps."""
    for name in rest:
        if name not in PLACED and name.startswith(COUNTED) and not name.startswith(GUARDRAILS):
            out.unknown(name)
