"""`instrument`: selects the integration for an SDK object."""

from __future__ import annotations

import importlib
import logging
from typing import Any, TypeVar

from streamgauge.guard import suppress_errors
from streamgauge.logs import log_throttled
from streamgauge.publisher import EventPublisher

T = TypeVar("T")

INTEGRATIONS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "ollama": "ollama",
    "google.genai": "google_genai",
    "transformers": "transformers",
}
"""Integration by the module of an object's class, or by a parent of that module."""


def instrument(obj: T, publisher: EventPublisher | None = None, **options: Any) -> T:
    """Publish every call made through an OpenAI, Anthropic, Ollama or Gemini client, or a transformers pipeline.

    Parameters
    ----------
    obj
        The client. Only this object is instrumented, not its class and not other instances. A subclass is recognised
        by its base class.
    publisher
        ``None``: the default publisher, also if `configure` is called later.
    options
        Further arguments of the integration: ``provider="vllm"`` for a server with OpenAI's protocol.

    Returns
    -------
    obj
        The same object. Instrumenting an object a second time has no effect. An unknown object is logged and returned
        unchanged.
    """
    with suppress_errors("instrument"):
        name = integration_of(type(obj))
        if name is None:
            known = ", ".join(sorted(INTEGRATIONS))
            log_throttled(
                "instrument", logging.WARNING, "instrument: no integration for %s; known: %s", type(obj), known
            )
        else:
            importlib.import_module(f"streamgauge.integrations.{name}").instrument(obj, publisher, **options)
    return obj


watch = instrument
"""Alias of `instrument`, its former name."""


def integration_of(kind: type) -> str | None:
    """Return the name of the integration for a class or one of its base classes; ``None`` if there is none."""
    for base in kind.__mro__:
        path = base.__module__.split(".")
        for end in range(len(path), 0, -1):
            if (name := INTEGRATIONS.get(".".join(path[:end]))) is not None:
                return name
    return None
