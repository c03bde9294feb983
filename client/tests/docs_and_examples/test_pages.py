"""docs/integrations: the code of every page runs unchanged."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from docs_and_examples import pages
from docs_and_examples.conftest import KAFKA
from docs_and_examples.scripts import REPOSITORY, Place
from servers.local import unused_url

Published = Callable[[str], list[dict[str, Any]]]

ELSEWHERE = {
    "otel-collector",
    "otlp-http",
    "http-events",
    "alerts-and-feedback",
}  # tests/docs at the top: they need the monitor
QUESTION = "How many tablets?"
ANSWER = "Take two tablets."


def named(event: dict[str, Any]) -> tuple[str, str, str]:
    return event["provider"], event["prompt_name"], event["prompt_version"]


def asked(event: dict[str, Any]) -> str:
    return str(event["messages"][-1]["content"])


def answered(event: dict[str, Any]) -> str:
    return str(event["choices"][0]["content"])


def replaced(code: str, changes: dict[str, str]) -> str:
    for before, after in changes.items():
        assert before in code
        code = code.replace(before, after)
    return code


def test_openai(published: Published) -> None:
    chat, stream, response = published("openai")
    assert named(chat) == ("openai-compatible", "triage", "v7")  # of the local server; at OpenAI itself it is openai
    assert (chat["conversation_id"], chat["user_id"]) == ("c-1", "u-9")
    assert {asked(event) for event in (chat, stream, response)} == {QUESTION}
    assert {answered(event) for event in (chat, stream, response)} == {ANSWER}
    assert stream["usage"]["output_tokens"] == 12
    assert 0 < stream["ttft_ms"] <= stream["latency_ms"]
    assert response["messages"][0] == {"role": "system", "content": "Be brief."}


def test_openai_compatible(published: Published) -> None:
    (event,) = published("openai-compatible")
    assert named(event) == ("vllm", "triage", "v7")
    assert (event["request_model"], answered(event)) == ("meta-llama/Llama-4-Scout", ANSWER)


@pytest.mark.parametrize(("page", "provider"), [("ollama", "ollama"), ("google-genai", "gcp.gemini")])
def test_one_call(published: Published, page: str, provider: str) -> None:
    (event,) = published(page)
    assert named(event) == (provider, "triage", "v7")
    assert asked(event) == QUESTION
    assert answered(event)
    assert event["usage"]["input_tokens"] > 0


def test_anthropic(published: Published) -> None:
    message, stream = published("anthropic")
    assert named(message) == ("anthropic", "triage", "v7")
    assert message["messages"][0] == {"role": "system", "content": "Be brief."}
    assert answered(message) == answered(stream) == ANSWER
    assert message["usage"]["input_tokens"] == 21 + 100 + 2000


def test_langchain(published: Published) -> None:
    by_context, by_metadata, installed = published("langchain")
    assert named(by_context) == ("openai", "triage", "v7")
    assert (by_metadata["prompt_version"], by_metadata["conversation_id"]) == ("v8", "c-2")
    assert {answered(event) for event in (by_context, by_metadata, installed)} == {ANSWER}


def test_decorator(published: Published) -> None:
    decorated, block = published("decorator")
    assert named(decorated) == named(block) == ("local", "triage", "v7")
    assert asked(decorated) == asked(block) == QUESTION
    assert answered(decorated) == answered(block) == ANSWER
    assert block["usage"]["output_tokens"] == 4


def test_litellm(published: Published) -> None:
    (event,) = published("litellm")
    assert named(event) == ("openai", "triage", "v7")
    assert (asked(event), answered(event)) == (QUESTION, ANSWER)
    assert event["cost_usd"] > 0


def test_litellm_proxy(at: Place) -> None:
    pytest.importorskip("fastapi_sso", reason="litellm[proxy]")
    (config,), (_, shell), (body,) = (pages.blocks("litellm", language) for language in ("yaml", "sh", "json"))
    (at.folder / "config.yaml").write_text(config.code)
    url, key = unused_url(), "sk-of-the-proxy-in-the-tests-of-the-pages-of-streamgauge"
    changes = {
        KAFKA: at.monitor.url,
        "4000": url.rpartition(":")[2],
        "sk-$(openssl rand -hex 32)": key,
        "\nlit": "\nexec lit",
    }
    with at.serving(replaced(shell.code, changes), url):
        answer = at.post(f"{url}/v1/chat/completions", body.code, key)
        at.monitor.wait_for(1)
    assert answer["choices"][0]["message"]["content"] == ANSWER
    (event,) = at.monitor.events
    assert named(event) == ("openai", "triage", "v7")
    assert (event["app"], event["conversation_id"], answered(event)) == ("gateway", "c-1", ANSWER)


def test_opentelemetry_hook(at: Place) -> None:
    pytest.importorskip("opentelemetry.distro")
    (at.folder / "service.py").write_text(pages.program("opentelemetry-hook"))
    (shell,) = pages.blocks("opentelemetry-hook", "sh")
    lines = [line for line in shell.code.splitlines() if not line.startswith("pip ")]
    at.run("bash", "-ec", "\n".join(lines).replace(KAFKA, at.monitor.url))
    (event,) = at.monitor.events
    assert (event["tenant"], event["app"], event["request_model"]) == ("clinic", "triage", "gpt-5.2")
    assert (asked(event), answered(event)) == (QUESTION, ANSWER)


def test_transformers(published: Published, at: Place) -> None:
    pytest.importorskip("torch", reason="make test-client-torch")
    from pipelines import models  # noqa: PLC0415 - torch is not in the client's environment

    models.text_classifier().save_pretrained(at.folder / "urgency-bert")
    events = published("transformers")
    assert [asked(event) for event in events] == ["is this dose safe ?", "take two tablets", "anna lives in berlin"]
    assert {named(event) for event in events} == {("huggingface", "urgency", "v3")}
    assert {event["request_model"] for event in events} == {"./urgency-bert"}


def test_every_page_is_run() -> None:
    tests = (Path(__file__)).read_text()
    unrun = {page for page in pages.names() if page not in ELSEWHERE and pages.blocks(page, "python")}
    assert [page for page in sorted(unrun) if f'"{page}"' not in tests] == []


def test_every_extra_that_a_page_installs_exists() -> None:
    project = tomllib.loads((REPOSITORY / "client" / "pyproject.toml").read_text())["project"]
    named = {extra for page in pages.names() for extra in re.findall(r"streamgauge\[([\w-]+)]", pages.text(page))}
    assert named <= set(project["optional-dependencies"])


def test_every_link_resolves() -> None:
    links = [(page, link) for page in pages.names() for link in re.findall(r"]\(([^)#]+)", pages.text(page))]
    assert links
    assert [(page, link) for page, link in links if not (pages.FOLDER / link).exists()] == []
