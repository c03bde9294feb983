"""`instrument` selects the integration of an object."""

from __future__ import annotations

import importlib.util

import pytest
import streamgauge
from streamgauge.instrumentation import INTEGRATIONS, integration_of
from unit.conftest import logged_reasons


class OpenAI:
    __module__ = "openai._client"


class Subclass(OpenAI):
    __module__ = "my.service"


class Gemini:
    __module__ = "google.genai.client"


class Storage:
    __module__ = "google.cloud.storage"


@pytest.mark.parametrize(
    ("kind", "name"),
    [(OpenAI, "openai"), (Subclass, "openai"), (Gemini, "google_genai"), (Storage, None), (dict, None)],
)
def test_a_class_is_recognised_by_its_module_or_that_of_a_base(kind: type, name: str | None) -> None:
    assert integration_of(kind) == name


def test_an_unknown_object_is_unchanged_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    unknown = Storage()
    assert streamgauge.instrument(unknown) is unknown
    assert vars(unknown) == {}
    assert logged_reasons(caplog) == ["instrument"]


def test_watch_is_an_alias_of_instrument() -> None:
    assert streamgauge.watch is streamgauge.instrument


@pytest.mark.parametrize("name", sorted(set(INTEGRATIONS.values())))
def test_every_integration_exists(name: str) -> None:
    assert importlib.util.find_spec(f"streamgauge.integrations.{name}") is not None
