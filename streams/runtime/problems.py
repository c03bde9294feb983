"""Validation problems of a record: pydantic's errors, bounded in number, as a record error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from schemas.errors import ContractError, DecodeError

MAX_PROBLEMS: Final = 100
"""Maximum problems listed per record. Each costs up to 7 us as an object, and a record may have 200,000."""


def list_problems(error: ValidationError) -> list[ErrorDetails]:
    """Return all validation problems of a record.

    Raises
    ------
    ContractError
        If the record has more than `MAX_PROBLEMS` problems.
    """
    if (count := error.error_count()) > MAX_PROBLEMS:
        remedy = f"the maximum is {MAX_PROBLEMS}; see the JSON Schema of {error.title} in docs/contracts"
        raise ContractError(f"value: {count} validation problems as {error.title}; {remedy}", code="too_many_problems")
    return error.errors(include_url=False, include_input=False)


def to_record_error(title: str, problems: Sequence[ErrorDetails]) -> ContractError | DecodeError:
    """Convert pydantic's problems to a record error that names each field, its problem and the remedy."""
    fields = [".".join(map(str, e["loc"])) for e in problems[:5]]
    text = "; ".join(f"{field or 'value'}: {e['msg']}" for field, e in zip(fields, problems[:5], strict=True))
    text += f"; see the JSON Schema of {title} in docs/contracts"
    if problems[0]["type"] == "json_invalid":
        return DecodeError(text, fields[0])
    missing = frozenset(str(e["loc"][0]) for e in problems if e["type"] == "missing" and len(e["loc"]) == 1)
    return ContractError(text, fields[0], missing, fields=tuple(fields))
