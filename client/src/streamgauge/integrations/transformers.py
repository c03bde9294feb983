"""Hugging Face transformers pipelines: text and token classification, zero-shot, fill-mask, text generation.

A pipeline answers through four methods, however it is called: ``run_single`` for one input, ``get_iterator`` for lists,
generators and datasets, ``preprocess`` and ``postprocess`` for each input. They are replaced on the one object that is
watched. ``preprocess`` tells what went in and how many tokens that was; ``postprocess`` has the logits, from which come
the scores of the labels that the caller did not ask for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from streamgauge.integrations import transformers_answers as answers
from streamgauge.integrations import transformers_runs as runs
from streamgauge.logs import seldom
from streamgauge.publisher import EventPublisher

Params = Mapping[str, Any]


def instrument(pipe: Any, publisher: EventPublisher | None = None) -> Any:
    """Publish one event for each input that this pipeline answers; a second time changes nothing."""
    if answers.reader(pipe) is None:
        known = ", ".join(sorted(answers.READERS))
        seldom("transformers", logging.WARNING, "instrument: %s is not watched; known: %s", type(pipe).__name__, known)
    elif not isinstance(pipe.__dict__.get("run_single"), _Method):
        for kind in (_RunSingle, _GetIterator, _Preprocess, _Postprocess):
            setattr(pipe, kind.name, kind(pipe, publisher))
    return pipe


class _Method:
    """A method of the pipeline's class, with something around it for this one object.

    A pickle or copy of the pipeline has the plain method in its place: a data loader with spawned workers pickles it.
    """

    name = ""

    def __init__(self, pipe: Any, publisher: EventPublisher | None) -> None:
        self.pipe = pipe
        self.publisher = publisher
        self.plain: Callable[..., Any] = getattr(pipe, self.name)

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self.pipe, self.name)  # of the copy, which has only its class's method at that time


class _Preprocess(_Method):
    name = "preprocess"

    def __call__(self, given: Any, *args: Any, **kwargs: Any) -> Any:
        made = self.plain(given, *args, **kwargs)
        run = runs.current.get()
        return made if run is None else run.enter(given, made)


class _Postprocess(_Method):
    name = "postprocess"

    def __call__(self, outputs: Any, **params: Any) -> Any:
        result = self.plain(outputs, **params)
        run = runs.current.get()
        if run is not None:
            run.seen = answers.Seen(run.given, outputs, params, result)
        return result


class _RunSingle(_Method):
    name = "run_single"

    def __call__(self, given: Any, pre: Params, forward: Params, post: Params) -> Any:
        run = runs.Run(self.pipe, self.publisher, {**pre, **forward})
        with runs.Watching(run, run.begin(), given):
            return self.plain(given, pre, forward, post)


class _GetIterator(_Method):
    name = "get_iterator"

    def __call__(self, given: Any, *how: Any) -> Any:
        _num_workers, batch_size, pre, forward, _post = how
        run = runs.Run(self.pipe, self.publisher, {**pre, **forward}, batch_size)
        return runs.Answers(self.plain(given, *how), run, given)
