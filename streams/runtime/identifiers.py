"""Shortening of identifiers that exceed the contract's length, so that no event is lost for a long identifier.

An end user may choose the id of a conversation, a user or a call. If a long id made its event a dead letter, an attack
in the event would stay hidden. At full length, the id would be a key of many maps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import orjson
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from schemas.event import NAME_MAX, SHORTENED, LLMEvent
from schemas.feedback import Feedback
from streams.runtime.problems import list_problems, to_record_error

Item = TypeVar("Item", LLMEvent, Feedback)

_HASH_CHARS: Final = 32
_ROUNDS: Final = 3
_KEY: Final = "[key]"
_ORDER: Final = {"string_too_long": 0, "too_long": 1}
_NOT_SHORTENED: Final = frozenset({"tenant", "app", "fragments", "input_issues"})
"""Fields that only the service or its API key sets; they are never shortened."""


def shortened(text: str, max_chars: int) -> str:
    """Return a text, replaced by its start and a hash if it is too long; equal texts give equal results.

    Examples
    --------
    >>> shortened("c" * 300, 256) == shortened("c" * 300, 256), shortened("c" * 301, 256) == shortened("c" * 300, 256)
    (True, False)
    >>> len(shortened("c" * 300, 256)), shortened("short", 256)
    (256, 'short')
    """
    if len(text) <= max_chars:
        return text
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_HASH_CHARS // 2).hexdigest()
    return f"{text[: max_chars - _HASH_CHARS - 1]}~{digest}"


def validated(model: type[Item], raw: bytes) -> Item:
    """Validate JSON as a model; shorten long identifiers if that makes the JSON valid.

    Raises
    ------
    RecordError
        If the JSON has other problems, or more than `streams.runtime.problems.MAX_PROBLEMS` long identifiers.
    """
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        first = error
    all_problems = list_problems(first)
    problems = _length_problems(all_problems)
    value, codes = _loaded(raw) if problems else None, dict[str, None]()
    for _ in range(_ROUNDS):
        if not problems or not isinstance(value, dict):
            break
        try:
            codes |= {_shorten(value, problem): None for problem in problems}
            item = model.model_validate_json(orjson.dumps(value))
        except ValidationError as error:
            problems = _length_problems(list_problems(error))
        except (KeyError, IndexError, TypeError):  # duplicate keys: the intended one is unknown
            break
        else:
            return item.with_issue(*codes) if isinstance(item, LLMEvent) else item
    raise to_record_error(first.title, all_problems) from first


def original_identifier(item: LLMEvent | Feedback, field: str, value: str) -> str:
    """Return an identifier at its original length, as a client used it for the key of its record."""
    originals = (item.model_extra or {}).get(SHORTENED) if len(value) == NAME_MAX else None
    original = originals.get(field) if isinstance(originals, dict) else None
    return original if isinstance(original, str) and shortened(original, NAME_MAX) == value else value


def _loaded(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def _length_problems(problems: Sequence[ErrorDetails]) -> Sequence[ErrorDetails]:
    """Return the problems, ordered as values, keys, maps and lists, if all are about length; otherwise none."""
    if any(problem["type"] not in _ORDER or problem["loc"][0] in _NOT_SHORTENED for problem in problems):
        return ()
    return sorted(problems, key=lambda problem: (_ORDER[problem["type"]], problem["loc"][-1] == _KEY))


def _shorten(value: dict[str, Any], problem: ErrorDetails) -> str:
    """Shorten the field of a problem and keep the original in `SHORTENED`; return the input issue code."""
    *path, last = problem["loc"]
    is_key = last == _KEY
    if is_key:
        last = path.pop()
    parent: Any = value
    for step in path:
        parent = parent[step]
    limit, original = int(problem["ctx"]["max_length"]), parent[last]
    if not isinstance(originals := value.get(SHORTENED), dict):
        originals = value[SHORTENED] = {}
    field = ".".join(map(str, [*path, last]))
    if problem["type"] == "too_long":
        items = list(original.items()) if isinstance(original, dict) else original
        make = dict if isinstance(original, dict) else list
        parent[last], originals[field] = make(items[:limit]), make(items[limit:])
        return "keys_left_out"
    if is_key:
        originals.setdefault(field, original)
        parent[shortened(str(last), limit)] = parent.pop(last)
    else:
        originals[field], parent[last] = original, shortened(original, limit)
    return "identifier_shortened"
