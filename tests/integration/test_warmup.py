"""After `warm`, nothing is left to be compiled: a kernel that is met hours into a stream would stop it for seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
import orjson
from numba.core.dispatcher import Dispatcher
from processing.pipeline import Record
from schemas.settings import Settings
from streams.runtime.registry import build_pipeline
from streams.runtime.decode import decode_event, FEEDBACK_HEADER
from streams.worker.warmup import warm
from tests.contract.story import hostile, story
from tests.traffic import lines

def kernels():
    # What a kernel is compiled for counts, be it compiled now or read from the disk, where a run before left it.
    modules = [module for name, module in sys.modules.items() if name.startswith("agents.")]
    ours = {value for module in modules for value in vars(module).values() if isinstance(value, Dispatcher)}
    return {(d.py_func.__module__, d.py_func.__name__, str(types)) for d in ours for types in d.signatures}

settings = Settings(drift={"reference_events": 60})
warm(settings)
warmed = kernels()
pipeline = build_pipeline(0, settings)
records = []
for raw in lines(600):
    records.append(Record(len(records), decode_event(raw), raw))
    call = orjson.loads(raw)
    if len(records) % 20 == 0:
        label = {k: call[k] for k in ("call_id", "time", "tenant", "app")}
        for signal in ("injection", "hallucination"):
            label |= {"feedback_id": f"f{len(records)}", "kind": "feedback", "signal": signal, "label": True}
            given = orjson.dumps(label)
            records.append(Record(len(records), decode_event(given, [FEEDBACK_HEADER]), given))
more = [*story(600), *(event for name, event in hostile().items() if name != "lone surrogates")]
records += [Record(len(records) + k, item, item.model_dump_json().encode()) for k, item in enumerate(more)]
for k in range(0, len(records), 64):
    pipeline.process(records[k : k + 64])
print(len(warmed) > 0, pipeline.labels_learned > 0, sorted(kernels() - warmed))
"""


def test_a_stream_compiles_nothing_after_warming() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "True True []"


FIRST_START = """
import logging
from agents.common import hashing
from streams.worker import warmup

logging.basicConfig(level=logging.INFO, format="%(name)s %(levelname)s")
with warmup._log_compilation():
    pass
"""


def logged(cache: Path) -> list[str]:
    command = [sys.executable, "-c", FIRST_START]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stderr.splitlines()


def test_only_the_first_start_reports_the_compilation(tmp_path: Path) -> None:
    assert logged(tmp_path) == ["streams.worker.warmup INFO", "streams.worker.warmup INFO"]
    assert logged(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_reported_at_each_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    for _ in range(2):
        assert logged(tmp_path / "file")[-1] == "streams.worker.warmup WARNING"
