"""Contents and installation of the wheel."""

from __future__ import annotations

import zipfile
from email import message_from_string
from pathlib import Path

from installing.building import run


def test_the_wheel_has_one_top_level_name(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"streamgauge", "streamgauge-0.1.0.dist-info"}
    assert "streamgauge/py.typed" in names
    assert "streamgauge-0.1.0.dist-info/licenses/LICENSE" in names


def test_the_wheel_needs_two_other_distributions(wheel: Path) -> None:
    text = zipfile.ZipFile(wheel).read("streamgauge-0.1.0.dist-info/METADATA").decode()
    needed = [line for line in message_from_string(text).get_all("Requires-Dist", []) if "extra ==" not in line]
    assert sorted(line.split("<")[0].split(">")[0].strip() for line in needed) == ["confluent-kafka", "orjson"]


BESIDE_AGENTS = """
import agents, streamgauge
agent = agents.Agent(name="Triage", instructions="Answer.")
publisher = streamgauge.configure("memory://x")
publisher.publish({"provider": agent.name})
assert publisher.flush()
assert "site-packages" in streamgauge.__file__
print(agents.__name__, agent.name, publisher.stats.delivered)
"""


def test_the_wheel_works_with_openai_agents(python: Path, tmp_path: Path) -> None:
    assert run(python, "-c", BESIDE_AGENTS, cwd=tmp_path).split() == ["agents", "Triage", "1"]


SERVICE = """
import asyncio
import agents, httpx, streams, streamgauge
from fastapi import FastAPI
from schemas import Item
from streamgauge.testing import Recorder

app = FastAPI()
recorder = Recorder()

@app.post("/items")
async def items(item: Item) -> dict[str, str]:
    with streamgauge.context("triage"):
        with streamgauge.call(provider="local", messages=[{"role": "user", "content": item.name}], publisher=recorder):
            pass
    return {"name": item.name}

async def main() -> int:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        return (await client.post("/items", json={"name": "pear"})).status_code

status = asyncio.run(main())
(event,) = recorder.events
print(status, agents.OWN, streams.OWN, event["messages"][0]["content"], event["prompt_name"])
"""


def test_the_wheel_works_in_a_project_with_its_own_schemas_and_agents(python: Path, tmp_path: Path) -> None:
    (tmp_path / "schemas.py").write_text("from pydantic import BaseModel\n\nclass Item(BaseModel):\n    name: str\n")
    (tmp_path / "streams.py").write_text("OWN = 'streams'\n")
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "__init__.py").write_text("OWN = 'agents'\n")
    (tmp_path / "main.py").write_text(SERVICE)
    assert run(python, "main.py", cwd=tmp_path).split() == ["200", "agents", "streams", "pear", "triage"]


BESIDE_LANGCHAIN = """
import streamgauge
from langchain_core.language_models import FakeListChatModel
from streamgauge.integrations.langchain import StreamgaugeHandler
from streamgauge.testing import Recorder

recorder = Recorder()
with streamgauge.context("triage", version="v7"):
    answer = FakeListChatModel(responses=["yes"]).invoke("well?", config={"callbacks": [StreamgaugeHandler(recorder)]})
(event,) = recorder.events
print(answer.content, event["choices"][0]["content"], event["prompt_name"], event["prompt_version"])
"""


def test_the_wheel_works_with_langchain(python: Path, tmp_path: Path) -> None:
    assert run(python, "-c", BESIDE_LANGCHAIN, cwd=tmp_path).split() == ["yes", "yes", "triage", "v7"]
