"""Protocols between the SDK hooks and the readers of one API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from streamgauge.integrations._accessors import Json


class StreamAccumulator(Protocol):
    """Accumulator of a streamed response."""

    @property
    def complete(self) -> bool:
        """True if the model has reported the end of its response."""

    def add(self, item: Any) -> bool:
        """Add an item, an object of the SDK or a dict; return whether it has output of the model."""

    def result(self) -> Json:
        """Return the arguments of `Call.finish` for the items so far."""


@dataclass(frozen=True, slots=True)
class Api:
    """Readers of the requests and responses of one API.

    Parameters
    ----------
    read_request
        Converts a request body to arguments of `Call.start`. Fields under ``context_fallbacks`` apply only where
        `streamgauge.context` has no value.
    read_response
        Converts a complete response, an object of the SDK or a dict, to arguments of `Call.finish`.
    accumulator
        Creates the accumulator of a streamed response.
    """

    read_request: Callable[[Mapping[str, Any]], Json]
    read_response: Callable[[Any], Json]
    accumulator: Callable[[], StreamAccumulator]
