"""Identifiers that are longer than the contract allows: shortened, so that no event is lost for one.

An end user may choose the id of a conversation, a user or a call. A dead letter for a long one would hide the attack in
its event, and kept whole it would be a key of many maps.
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
from streams.runtime.problems import explain, listed

Item = TypeVar("Item", LLMEvent, Feedback)

_HASH_CHARS: Final = 32
_ROUNDS: Final = 3
_KEY: Final = "[key]"
_ORDER: Final = {"string_too_long": 0, "too_long": 1}
_REFUSED: Final = frozenset({"tenant", "app", "fragments", "input_issues"})
"""Fields that the service or its key chooses, and nobody else."""


def shortened(text: str, most: int) -> str:
    """Return a text, or its beginning and a hash of the whole: the same for the same text, another for another.

    Examples
    --------
    >>> shortened("c" * 300, 256) == shortened("c" * 300, 256), shortened("c" * 301, 256) == shortened("c" * 300, 256)
    (True, False)
    >>> len(shortened("c" * 300, 256)), shortened("short", 256)
    (256, 'short')
    """
    if len(text) <= most:
        return text
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_HASH_CHARS // 2).hexdigest()
    return f"{text[: most - _HASH_CHARS - 1]}~{digest}"


def validated(model: type[Item], raw: bytes) -> Item:
    """Validate JSON as a model, with its identifiers shortened where that is all that it takes.

    Raises
    ------
    RecordError
        If there is more that does not fit, or more than `streams.runtime.problems.MOST_LISTED` are too long.
    """
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        first = error
    found = listed(first)
    problems = _problems(found)
    value, codes = _loaded(raw) if problems else None, dict[str, None]()
    for _ in range(_ROUNDS):
        if not problems or not isinstance(value, dict):
            break
        try:
            codes |= {_shorten(value, problem): None for problem in problems}
            item = model.model_validate_json(orjson.dumps(value))
        except ValidationError as error:
            problems = _problems(listed(error))
        except (KeyError, IndexError, TypeError):  # a key twice: it cannot be told which was meant
            break
        else:
            return item.with_issue(*codes) if isinstance(item, LLMEvent) else item
    raise explain(first.title, found) from first


def whole(item: LLMEvent | Feedback, field: str, value: str) -> str:
    """Return an identifier as it was sent: what a client made the key of its record."""
    kept = (item.model_extra or {}).get(SHORTENED) if len(value) == NAME_MAX else None
    sent = kept.get(field) if isinstance(kept, dict) else None
    return sent if isinstance(sent, str) and shortened(sent, NAME_MAX) == value else value


def _loaded(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def _problems(found: Sequence[ErrorDetails]) -> Sequence[ErrorDetails]:
    """Return what is too long, if that is all that is wrong: values, then keys, then maps and lists."""
    if any(one["type"] not in _ORDER or one["loc"][0] in _REFUSED for one in found):
        return ()
    return sorted(found, key=lambda one: (_ORDER[one["type"]], one["loc"][-1] == _KEY))


def _shorten(value: dict[str, Any], problem: ErrorDetails) -> str:
    """Shorten what a problem names, keep the whole of it in `SHORTENED`; return the code of what was done."""
    *path, last = problem["loc"]
    is_key = last == _KEY
    if is_key:
        last = path.pop()
    place: Any = value
    for step in path:
        place = place[step]
    most, whole = int(problem["ctx"]["max_length"]), place[last]
    if not isinstance(kept := value.get(SHORTENED), dict):
        kept = value[SHORTENED] = {}
    where = ".".join(map(str, [*path, last]))
    if problem["type"] == "too_long":
        items = list(whole.items()) if isinstance(whole, dict) else whole
        make = dict if isinstance(whole, dict) else list
        place[last], kept[where] = make(items[:most]), make(items[most:])
        return "keys_left_out"
    if is_key:
        kept.setdefault(where, whole)
        place[shortened(str(last), most)] = place.pop(last)
    else:
        kept[where], place[last] = whole, shortened(whole, most)
    return "identifier_shortened"
