"""examples/fastapi_service, served by uvicorn."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from docs_and_examples.scripts import REPOSITORY, Place
from servers import openai as server

FOLDER = REPOSITORY / "examples" / "fastapi_service"
QUESTION = {"conversation_id": "c-1", "user_id": "u-9", "text": "How many tablets?"}
COMMAND = [sys.executable, "-m", "uvicorn", "service:app", "--port", "0"]


@contextmanager
def service(at: Place) -> Iterator[str]:
    """Run the service; then stop it as its host would, and wait until it has."""
    with subprocess.Popen(COMMAND, cwd=FOLDER, env=at.environment, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        started = next(found for line in running.stderr if (found := re.search(r"http://[\d.:]+", line)))
        yield started[0]
        running.terminate()
        running.communicate(timeout=30)


def post(url: str, body: dict[str, Any]) -> tuple[int, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return answer.status, json.loads(answer.read())


def test_a_thumb_has_the_id_of_its_call(at: Place) -> None:
    with service(at) as url:
        status, answer = post(f"{url}/ask", QUESTION)
        assert (status, answer["text"]) == (200, server.ANSWER)
        thumb = {"call_id": answer["call_id"], "conversation_id": "c-1", "down": True, "comment": "One tablet!"}
        assert post(f"{url}/feedback", thumb)[0] == 202
    event, label = sorted(at.monitor.events, key=lambda one: str(one["kind"]))  # all is delivered before the end
    assert event["call_id"] == label["call_id"] == answer["call_id"]
    assert (event["prompt_name"], event["prompt_version"], event["user_id"]) == ("triage", "v7", "u-9")
    assert (label["signal"], label["label"], label["source"]) == ("hallucination", True, "thumbs")
    assert label["conversation_id"] == event["conversation_id"] == "c-1"
