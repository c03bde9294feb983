"""`streamgauge.context`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from contextvars import copy_context
from typing import Any

import streamgauge
from streamgauge.call_context import Context, current


def test_the_root_context_is_empty() -> None:
    assert current() == Context()


def test_inner_names_apply_and_other_values_are_inherited() -> None:
    document = {"text": "passage"}
    with (
        streamgauge.context(
            "outer", version="v1", conversation_id="c", user_id="u", tags={"a": "1", "b": "1"}, documents=[document]
        ),
        streamgauge.context("inner", tags={"b": "2"}, groups={"age": "60+"}, app="other"),
    ):
        inside = current()
    assert (inside.prompt_name, inside.prompt_version) == ("inner", "")
    assert (inside.conversation_id, inside.user_id, inside.app) == ("c", "u", "other")
    assert (inside.tags, inside.groups) == ({"a": "1", "b": "2"}, {"age": "60+"})
    assert list(inside.documents) == [document]
    assert current() == Context()


def test_an_exception_of_the_host_ends_the_context() -> None:
    try:
        with streamgauge.context("p"):
            raise ValueError
    except ValueError:
        pass
    assert current() == Context()


async def test_tasks_have_separate_contexts() -> None:
    async def task(name: str) -> str:
        async with streamgauge.context(name):
            await asyncio.sleep(0.001)
            return current().prompt_name

    names = [f"p{n}" for n in range(50)]
    assert list(await asyncio.gather(*map(task, names))) == names


def test_one_context_object_serves_many_threads() -> None:
    shared = streamgauge.context("shared")
    seen: list[str] = []
    ready = threading.Barrier(8)

    def use() -> None:
        with shared:
            ready.wait()
            with shared:
                seen.append(current().prompt_name)
        seen.append(current().prompt_name)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == [""] * 8 + ["shared"] * 8


def test_a_generator_may_exit_in_another_context() -> None:
    def answers() -> Generator[str, None, None]:
        with streamgauge.context("generator"):
            yield "one"
            yield "two"

    generator = answers()
    copy_context().run(next, generator)
    generator.close()
    assert current() == Context()


def test_invalid_arguments_do_not_reach_the_host() -> None:
    bad: Any = object()
    with streamgauge.context(bad, version=bad, tags=bad, documents=bad):
        ran = True
    assert ran
    assert current() == Context()
