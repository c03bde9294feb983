"""From an object to its integration."""

from __future__ import annotations

import importlib.util

import pytest
import streamgauge
from streamgauge.instrumentation import INTEGRATIONS, integration_of


class OpenAI:
    __module__ = "openai._client"


class Mine(OpenAI):
    __module__ = "my.service"


class Gemini:
    __module__ = "google.genai.client"


class Storage:
    __module__ = "google.cloud.storage"


@pytest.mark.parametrize(
    ("kind", "name"), [(OpenAI, "openai"), (Mine, "openai"), (Gemini, "google_genai"), (Storage, None), (dict, None)]
)
def test_a_class_is_known_by_its_module_or_that_of_a_base(kind: type, name: str | None) -> None:
    assert integration_of(kind) == name


def test_what_nobody_knows_is_left_as_it_is_and_said(caplog: pytest.LogCaptureFixture) -> None:
    unknown = Storage()
    assert streamgauge.instrument(unknown) is unknown
    assert vars(unknown) == {}
    assert "Storage" in caplog.text


@pytest.mark.parametrize("name", sorted(set(INTEGRATIONS.values())))
def test_every_integration_is_there(name: str) -> None:
    assert importlib.util.find_spec(f"streamgauge.integrations.{name}") is not None
