"""One pass over a span's attributes: plain fields, parameters and labels by name, the rest for the dialects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from streams.otlp.guardrails import PREFIXES as GUARDRAILS
from streams.otlp.limits import MAX_LABEL_CHARS, MAX_LABELS, MAX_NAME_CHARS
from streams.otlp.names import COUNTED, FIELDS, LABELS, PARAMETER_PREFIX, PARAMETERS, PLACED
from streams.otlp.result import Normalised
from streams.otlp.values import integer, number

_ASSOCIATION = "traceloop.association.properties."
_MAX_TOKENS = 2**31 - 1


@dataclass(slots=True)
class Fields:
    """What the table of names found.

    Attributes
    ----------
    plain
        Field to value, as given.
    parameters, labels
        As in an event.
    rest
        Attributes with an index or of a dialect, for it to read.
    """

    plain: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    rest: dict[str, Any] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return a field's text, empty where it is missing."""
        value = self.plain.get(name)
        return value if isinstance(value, str) else "" if value is None else str(value)

    def tokens(self, name: str) -> int | None:
        """Return a count of tokens, None where it is missing or is no count."""
        value = self.plain.get(name)
        if value is None:
            return None
        count = integer(value)
        return count if count is not None and 0 <= count <= _MAX_TOKENS else None

    def number(self, name: str) -> float | None:
        """Return a number, None where it is missing or is none."""
        return number(self.plain.get(name))


def sort(attributes: Mapping[str, Any]) -> Fields:
    """Return a span's attributes by where they go."""
    found = Fields()
    plain = found.plain
    ranks: dict[str, int] = {}
    for name, value in attributes.items():
        place = FIELDS.get(name)
        if place is None:
            _other(found, name, value)
        elif value is not None and value != "":
            to, rank = place
            if to not in plain or rank < ranks[to]:
                ranks[to] = rank
                plain[to] = value
    return found


def _other(found: Fields, name: str, value: Any) -> None:
    if name in LABELS:
        label(found.labels, LABELS[name], value)
    elif name in PARAMETERS:
        found.parameters.setdefault(PARAMETERS[name], value)
    elif name.startswith(PARAMETER_PREFIX):
        found.parameters[name[len(PARAMETER_PREFIX) :]] = value
    elif name.startswith(_ASSOCIATION):
        label(found.labels, name[len(_ASSOCIATION) :], value)
    else:
        found.rest[name] = value


def label(labels: dict[str, str], name: str, value: Any) -> None:
    """Add a label while there is room; what is neither text nor number is none."""
    if isinstance(value, str | int | float) and len(labels) < MAX_LABELS:
        labels[name[:MAX_NAME_CHARS]] = str(value)[:MAX_LABEL_CHARS]


def count_unmapped(rest: Mapping[str, Any], used: set[str], out: Normalised) -> None:
    """Count the GenAI attributes that no dialect took."""
    for name in rest:
        if name not in used and name not in PLACED and name.startswith(COUNTED) and not name.startswith(GUARDRAILS):
            out.unknown(name)
