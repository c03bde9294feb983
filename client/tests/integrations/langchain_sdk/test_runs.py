"""The table of LangChain runs."""

from __future__ import annotations

import uuid

from streamgauge.integrations.langchain_runs import MAX_AGE_S, MAX_DOCUMENTS, Run, Runs


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def run(parent: Run | None = None, kind: str = "chain", started: float = 0.0) -> Run:
    return Run(uuid.uuid4(), parent.id if parent else None, kind, "", started)


def test_the_number_of_unended_runs_is_bounded() -> None:
    lost: list[Run] = []
    runs = Runs(100, on_evicted=lost.append, clock=Clock())
    for _ in range(20_000):
        runs.start(run())
    assert len(runs) == 100
    assert len(lost) == 20_000 - 100


def test_a_run_is_evicted_after_an_hour() -> None:
    lost: list[Run] = []
    clock = Clock()
    runs = Runs(100, on_evicted=lost.append, clock=clock)
    old, young = run(), run(started=MAX_AGE_S)
    runs.start(old)
    clock.now = MAX_AGE_S + 1
    runs.start(young)
    assert lost == [old]
    assert runs.get(young.id) is young


def test_a_removed_run_is_released() -> None:
    released: list[str] = []
    runs = Runs(1, on_evicted=lambda _: None, clock=Clock())
    ended, lost = run(), run()
    ended.release, lost.release = (lambda: released.append("ended")), (lambda: released.append("lost"))
    runs.start(ended)
    runs.end(ended.id)
    runs.start(lost)
    runs.start(run())
    assert released == ["ended", "lost"]


def test_enclosing_runs_start_with_the_innermost() -> None:
    runs = Runs(10, on_evicted=lambda _: None, clock=Clock())
    root = run()
    chain = run(root)
    model = run(chain, "llm")
    for each in (root, chain, model):
        runs.start(each)
    assert list(runs.above(model)) == [chain, root]
    assert runs.end_models_of(chain.id) == [model]
    assert runs.end_models_of(chain.id) == []


def test_a_cycle_of_runs_is_bounded() -> None:
    runs = Runs(10, on_evicted=lambda _: None, clock=Clock())
    own = run()
    own.parent = own.id
    runs.start(own)
    assert 0 < len(list(runs.above(own))) < 100


def test_the_newest_documents_are_kept_once() -> None:
    chain = run()
    for n in range(MAX_DOCUMENTS * 2):
        chain.add_documents([{"id": "", "text": str(n)}, {"id": "", "text": str(n)}])
    assert [d["text"] for d in chain.documents] == [str(n) for n in range(MAX_DOCUMENTS, MAX_DOCUMENTS * 2)]
