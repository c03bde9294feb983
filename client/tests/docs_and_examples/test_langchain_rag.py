"""examples/langchain_rag: the event has the retrieved documents."""

from __future__ import annotations

from docs_and_examples.scripts import REPOSITORY, Place
from servers import openai as server

PROGRAM = REPOSITORY / "examples" / "langchain_rag" / "rag.py"


def test_the_documents_are_published_with_the_call(at: Place) -> None:
    assert at.python(PROGRAM, "Ibuprofen or aspirin?").strip() == server.ANSWER
    (event,) = at.monitor.events
    assert (event["app"], event["prompt_name"], event["prompt_version"]) == ("leaflets", "leaflets", "v2")
    assert [document["id"] for document in event["documents"]] == ["ibuprofen", "aspirin"]
    assert event["documents"][0]["text"].startswith("Ibuprofen: adults take 200 mg")
    assert event["documents"][0]["source"] == "leaflets/ibuprofen"
    assert "Ibuprofen: adults take 200 mg" in event["messages"][0]["content"]
