"""`instrument`: from an object to the integration that knows it."""

from __future__ import annotations

import importlib
import logging
from typing import Any, TypeVar

from streamgauge.guard import quiet
from streamgauge.logs import seldom
from streamgauge.publisher import EventPublisher

T = TypeVar("T")

INTEGRATIONS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "ollama": "ollama",
    "google.genai": "google_genai",
    "transformers": "transformers",
}
"""The module an object's class comes from (or one above it), and the integration's name."""


def instrument(obj: T, publisher: EventPublisher | None = None, **options: Any) -> T:
    """Publish every call made through an OpenAI, Anthropic, Ollama or Gemini client, or a transformers pipeline.

    Parameters
    ----------
    obj
        The client. Only it is watched: neither its class nor other instances. A subclass of yours is known by its base.
    publisher
        ``None``: the default one, also if `configure` comes later.
    options
        What the integration takes besides: ``provider="vllm"`` for a server that speaks OpenAI's protocol.

    Returns
    -------
    obj
        The same object. Watching twice is watching once. An object that nobody here knows is said in the log and left
        as it is.
    """
    with quiet("instrument"):
        name = integration_of(type(obj))
        if name is None:
            known = ", ".join(sorted(INTEGRATIONS))
            seldom("instrument", logging.WARNING, "instrument: no integration for %s; known: %s", type(obj), known)
        else:
            importlib.import_module(f"streamgauge.integrations.{name}").instrument(obj, publisher, **options)
    return obj


watch = instrument
"""The former name of `instrument`."""


def integration_of(kind: type) -> str | None:
    """Return which integration knows objects of this class, or of the classes it is made from."""
    for base in kind.__mro__:
        parts = base.__module__.split(".")
        for end in range(len(parts), 0, -1):
            if (found := INTEGRATIONS.get(".".join(parts[:end]))) is not None:
                return found
    return None
