"""Cases of the contract suite: every integration that instruments or extends a client.

LiteLLM, OpenTelemetry and transformers are not among them: LiteLLM publishes for the whole process and on its own
threads, OpenTelemetry calls a hook, and a pipeline has no server. Their folders have their tests.
"""

from __future__ import annotations

from typing import Any

import pytest
from anthropic_sdk.case import MESSAGES
from contract.case import Case, Use
from google_genai_sdk.case import GEMINI
from langchain_sdk.case import LANGCHAIN
from ollama_sdk.case import OLLAMA
from openai_sdk.case import CHAT_COMPLETIONS, RESPONSES

CASES = (CHAT_COMPLETIONS, RESPONSES, MESSAGES, OLLAMA, GEMINI, LANGCHAIN)


def each_case(*, having: str = "name") -> pytest.MarkDecorator:
    """Parametrize a test by the cases that have an attribute."""
    return pytest.mark.parametrize(
        "case", [pytest.param(case, id=case.name, marks=case.marks) for case in CASES if getattr(case, having)]
    )


def each_use(*attributes: str) -> pytest.MarkDecorator:
    """Parametrize a test by the cases and the call styles in their attributes."""
    return pytest.mark.parametrize(
        ("case", "use"), [_param(case, use) for case in CASES for name in attributes for use in getattr(case, name)]
    )


def each_error() -> pytest.MarkDecorator:
    """Parametrize a test by the cases, their failing call styles and their errors."""
    return pytest.mark.parametrize(
        ("case", "use", "status"),
        [_param(case, use, status) for case in CASES for use in case.failing for status in case.errors],
    )


def each_internal() -> pytest.MarkDecorator:
    """Parametrize a test by the cases, their call styles and the functions of the client that are made to raise."""
    return pytest.mark.parametrize(
        ("case", "use", "owner", "name"),
        [
            _param(case, use, owner, name)
            for case in CASES
            for owner, name in case.internals
            for use in (*case.calls, *case.streams)
        ],
    )


def _param(case: Case, use: Use, *values: Any) -> Any:
    words = [getattr(value, "__name__", str(value)).rpartition(".")[2] for value in values]
    return pytest.param(case, use, *values, id="-".join([case.name, use.__name__, *words]), marks=case.marks)
