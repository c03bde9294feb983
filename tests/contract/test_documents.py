from __future__ import annotations

import json

from schemas.event import LLMEvent
from schemas.export import FOLDER, documents, stale
from schemas.settings import Settings, iter_settings
from streams.connectors.clickhouse.table_reference import PAGE
from streams.runtime import metrics


def test_the_documents_are_those_of_the_models() -> None:
    assert stale() == [], "run: make docs"


def test_no_document_is_left_over() -> None:
    assert {p.name for p in FOLDER.iterdir()} == {*documents(), PAGE.name, metrics.PAGE.name}


def test_asyncapi_refers_to_schemas_that_exist() -> None:
    document = json.loads(documents()["asyncapi.json"])
    for message in document["components"]["messages"].values():
        assert message["payload"]["$ref"].removeprefix("./") in documents()


def test_every_field_of_the_event_is_in_its_schema() -> None:
    schema = json.loads(documents()["LLMEvent.schema.json"])
    assert set(schema["properties"]) == set(LLMEvent.model_fields)
    assert schema["additionalProperties"] is True


def test_the_page_of_metrics_is_that_of_the_metrics() -> None:
    assert metrics.PAGE.read_text() == metrics.metrics_reference(), "run: make docs"


def test_every_metric_has_the_namespace_a_base_unit_and_a_description() -> None:
    names = [one.name for one in metrics.METRICS]
    assert len(set(names)) == len(names)
    for one in metrics.METRICS:
        assert one.name.startswith("streamgauge_")
        assert one.name.endswith("_total") == (one.kind == "counter"), one.name
        assert one.description, one.name


def test_every_setting_has_a_description() -> None:
    assert [".".join(path) for path, field in iter_settings(Settings) if not field.description] == []
