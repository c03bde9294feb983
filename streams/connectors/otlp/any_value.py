"""Conversion of OTLP ``AnyValue`` to plain Python, from protobuf and JSON."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterable
from typing import Any, Final

from streams.connectors.otlp.request_limits import MAX_DEPTH

TOO_DEEP: Final = "[nested too deep]"
_INT64_MIN: Final = -(2**63)
_INT64_MAX: Final = 2**63 - 1


def from_proto(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Return the value of an ``AnyValue`` message; bytes become base64 text."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    found = getattr(value, kind)
    if kind == "array_value":
        return [v.string_value or from_proto(v, depth - 1) for v in found.values] if depth else TOO_DEEP
    if kind == "kvlist_value":
        return {kv.key: from_proto(kv.value, depth - 1) for kv in found.values} if depth else TOO_DEEP
    if kind == "bytes_value":
        return base64.b64encode(found).decode()
    return found


def pairs_from_proto(pairs: Iterable[Any]) -> dict[str, Any]:
    """Return a list of ``KeyValue`` messages as a dict; the last of equal keys wins."""
    out: dict[str, Any] = {}
    for pair in pairs:
        value = pair.value
        # Nine of ten attributes are text or a count, and reading a value is faster than checking its kind first.
        out[pair.key] = value.string_value or value.int_value or value.double_value or from_proto(value)
    return out


def from_json(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Return the value of an ``AnyValue`` in JSON (``{"stringValue": "x"}``); None if it is not one.

    Examples
    --------
    >>> from_json({"arrayValue": {"values": [{"intValue": "7"}, {"doubleValue": "NaN"}, {"boolValue": True}]}})
    [7, nan, True]
    """
    if isinstance(value, dict):
        for kind, found in value.items():
            if kind in _SCALARS:
                return _SCALARS[kind](found)
            if kind in _NESTED:
                return _NESTED[kind](_values(found), depth - 1) if depth else TOO_DEEP
    return None


def pairs_from_json(pairs: Any, depth: int = MAX_DEPTH) -> dict[str, Any]:
    """Return a list of ``KeyValue`` objects as a dict; other items are ignored."""
    if type(pairs) is not list:
        return {}
    out: dict[str, Any] = {}
    try:
        for pair in pairs:
            value = pair["value"]
            # Inlined for text and counts, nine of ten attributes: a function call each would double the time.
            if "stringValue" in value and len(value) == 1 and type(found := value["stringValue"]) is str:
                pass
            elif "intValue" in value and len(value) == 1:
                found = integer(value["intValue"])
            else:
                found = from_json(value, depth)
            if type(key := pair["key"]) is str:
                out[key] = found
    except (KeyError, TypeError):
        return _valid_pairs(pairs, depth)
    return out


def _valid_pairs(pairs: list[Any], depth: int) -> dict[str, Any]:
    """Return the valid ``KeyValue`` objects of a list as a dict, with a check of each item."""
    return {
        pair["key"]: from_json(pair.get("value"), depth)
        for pair in pairs
        if isinstance(pair, dict) and isinstance(pair.get("key"), str)
    }


def _items(values: list[Any], depth: int) -> list[Any]:
    return [from_json(value, depth) for value in values]


def _values(found: Any) -> list[Any]:
    values = found.get("values") if isinstance(found, dict) else None
    return values if isinstance(values, list) else []


def integer(value: Any) -> int | None:
    """Return a 64-bit integer, given as a number or as digits (proto3 JSON writes 64-bit integers as text)."""
    if type(value) is str:
        value = int(value) if len(value) <= 24 and value.isdecimal() else _parsed(value)
    elif type(value) is float:
        value = int(value) if math.isfinite(value) else None
    return value if type(value) is int and _INT64_MIN <= value <= _INT64_MAX else None


def _parsed(text: str) -> int | None:
    try:
        return int(text) if len(text) <= 24 else None
    except ValueError:
        return None


def number(value: Any) -> float | None:
    """Return a number, given as a number or as text; may be infinite or NaN."""
    if isinstance(value, bool):
        return None
    if type(value) is int or type(value) is float:
        return float(value)
    if isinstance(value, str) and len(value) <= 400:
        try:
            return float(value)
        except ValueError:
            return None
    return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


_SCALARS: Final[dict[str, Callable[[Any], Any]]] = {
    "stringValue": _text,
    "bytesValue": _text,
    "intValue": integer,
    "doubleValue": number,
    "boolValue": _flag,
}
_NESTED: Final[dict[str, Callable[[list[Any], int], Any]]] = {"arrayValue": _items, "kvlistValue": pairs_from_json}
