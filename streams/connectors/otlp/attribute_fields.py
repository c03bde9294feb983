"""One pass over a span's attributes: plain fields, parameters and tags by name, the rest for the dialects."""

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
_KNOWN_MAX, _KNOWN_CHARS = 8192, 128
_TAGGED = (str, int, float)


class Fields:
    """What the table of names found.

    Attributes
    ----------
    plain
        Field to value, as given.
    parameters, tags
        As in an event.
    lists
        Flattened lists: prefix to index to the rest of the name to value.
    rest
        Attributes of a dialect, for it to read, and those that nobody knows.
    guarded
        Whether a guardrail's attributes are among the rest.
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

    # Most fields are missing in most spans: each of these looks first, and then only makes of it what it must.

    def text(self, name: str) -> str:
        """Return a field's text, empty where it is missing."""
        if name not in self.plain:
            return ""
        value = self.plain[name]
        return value if isinstance(value, str) else str(value)

    def tokens(self, name: str) -> int | None:
        """Return a count of tokens, None where it is missing or is no count."""
        if name not in self.plain:
            return None
        value = self.plain[name]
        count = value if type(value) is int else integer(value)
        return count if count is not None and 0 <= count <= _MAX_TOKENS else None

    def number(self, name: str) -> float | None:
        """Return a number, None where it is missing or is none."""
        return number(self.plain[name]) if name in self.plain else None


_Place: TypeAlias = tuple[str, str, int, str]
"""Where attributes of one name go, under which name, and the name's rank or, in a list, the index and the rest of it.
Of what nobody places, the rank says whether it is a guardrail's.

A plain tuple: a named one takes five times as long to take apart.
"""


def sort(attributes: Mapping[str, Any]) -> Fields:
    """Return a span's attributes by where they go."""
    found = Fields()
    plain, rest, lists = found.plain, found.rest, found.lists
    ranks: dict[str, int] = {}
    guarded = 0
    for name, value in attributes.items():
        into, to, rank, inner = _KNOWN.get(name) or _known(name)
        if into == "plain":
            if value is not None and value != "" and (to not in ranks or rank < ranks[to]):
                ranks[to] = rank
                plain[to] = value
        elif into == "rest":
            rest[name] = value
            guarded |= rank
        elif into == "list":
            items = lists.get(to)
            if items is None:
                items = lists[to] = {}
            if rank in items:
                items[rank][inner] = value
            else:
                items[rank] = {inner: value}
        elif into == "tag":
            add_tag(found.tags, to, value)
        elif rank or to not in found.parameters:
            found.parameters[to] = value
    found.guarded = bool(guarded)
    return found


_KNOWN: dict[str, _Place] = {}
"""The few hundred names that services use are looked up, and taken apart, once."""


def _known(name: str) -> _Place:
    place = _place(name)
    # Only so many, and short ones: whoever sends may make up names, megabytes long.
    if len(_KNOWN) < _KNOWN_MAX and len(name) <= _KNOWN_CHARS:
        _KNOWN[name] = place
    return place


def _place(name: str) -> _Place:
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


def _in_list(name: str) -> _Place | None:
    for prefix in LISTS:
        if name.startswith(prefix):
            index, _, rest = name[len(prefix) :].partition(".")
            # An index is a place in order, not a length: gaps cost nothing.
            return ("list", prefix, int(index), rest) if index.isdecimal() and len(index) <= 6 else None
    return None


def add_tag(tags: dict[str, str], name: str, value: Any) -> None:
    """Add a tag while there is room; only texts and numbers become tags."""
    if isinstance(value, _TAGGED) and len(tags) < MAX_TAGS:
        tags[name[:MAX_NAME_CHARS]] = str(value)[:MAX_TAG_CHARS]


def count_unmapped(rest: Mapping[str, Any], out: Normalised) -> None:
    """Count the GenAI attributes that no dialect took."""
    for name in rest:
        if name not in PLACED and name.startswith(COUNTED) and not name.startswith(GUARDRAILS):
            out.unknown(name)
