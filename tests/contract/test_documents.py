from __future__ import annotations

import json

from schemas.event import LLMEvent
from schemas.export import FOLDER, documents, stale
from streams.connectors.clickhouse.table_reference import PAGE


def test_the_documents_are_those_of_the_models() -> None:
    assert stale() == [], "run: make docs"


def test_no_document_is_left_over() -> None:
    assert {p.name for p in FOLDER.iterdir()} == {*documents(), PAGE.name}


def test_asyncapi_refers_to_schemas_that_exist() -> None:
    document = json.loads(documents()["asyncapi.json"])
    for message in document["components"]["messages"].values():
        assert message["payload"]["$ref"].removeprefix("./") in documents()


def test_every_field_of_the_event_is_in_its_schema() -> None:
    schema = json.loads(documents()["LLMEvent.schema.json"])
    assert set(schema["properties"]) == set(LLMEvent.model_fields)
    assert schema["additionalProperties"] is True
