"""What pydantic found wrong with a record: listed once, and only where it is little."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from schemas.errors import ContractError, DecodeError

MOST_LISTED: Final = 100
"""Problems of one record. Each costs up to 7 us as an object, and a record may have 200,000."""


def listed(error: ValidationError) -> list[ErrorDetails]:
    """Return all that is wrong with a record.

    Raises
    ------
    ContractError
        If that is more than `MOST_LISTED`.
    """
    if (count := error.error_count()) > MOST_LISTED:
        remedy = f"at most {MOST_LISTED} are listed; see the JSON Schema of {error.title} in docs/contracts"
        raise ContractError(f"value: {count} problems with it as {error.title}; {remedy}", code="too_many_problems")
    return error.errors(include_url=False, include_input=False)


def explain(title: str, found: Sequence[ErrorDetails]) -> ContractError | DecodeError:
    """Turn what pydantic found into our error: each field, what is wrong, the remedy."""
    fields = [".".join(map(str, e["loc"])) for e in found[:5]]
    text = "; ".join(f"{field or 'value'}: {e['msg']}" for field, e in zip(fields, found[:5], strict=True))
    text += f"; see the JSON Schema of {title} in docs/contracts"
    if found[0]["type"] == "json_invalid":
        return DecodeError(text, fields[0])
    missing = frozenset(str(e["loc"][0]) for e in found if e["type"] == "missing" and len(e["loc"]) == 1)
    return ContractError(text, fields[0], missing, fields=tuple(fields))
