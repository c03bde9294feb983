"""Hugging Face transformers pipelines: text and token classification, zero-shot, fill-mask, text generation.

Every use of a pipeline goes through four methods: ``run_single`` for one input, ``get_iterator`` for lists, generators
and datasets, ``preprocess`` and ``postprocess`` for each input. They are replaced on the instrumented object only.
``preprocess`` has the input and its token count. ``postprocess`` has the logits, which give the scores of the labels
that the caller did not request.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from streamgauge.integrations import transformers_outputs
from streamgauge.integrations import transformers_runs as runs
from streamgauge.logs import log_throttled
from streamgauge.publisher import EventPublisher

Params = Mapping[str, Any]


def instrument(pipe: Any, publisher: EventPublisher | None = None) -> Any:
    """Publish one event per input of this pipeline; instrumenting it a second time has no effect."""
    if transformers_outputs.reader(pipe) is None:
        known = ", ".join(sorted(transformers_outputs.READERS))
        log_throttled(
            "transformers",
            logging.WARNING,
            "instrument: %s is not supported; supported: %s",
            type(pipe).__name__,
            known,
        )
    elif not isinstance(pipe.__dict__.get("run_single"), _Method):
        for kind in (_RunSingle, _GetIterator, _Preprocess, _Postprocess):
            setattr(pipe, kind.name, kind(pipe, publisher))
    return pipe


class _Method:
    """Wrapper of a method of the pipeline's class, for one object.

    A pickle or copy of the pipeline has the original method instead: a data loader with spawned workers pickles it.
    """

    name = ""

    def __init__(self, pipe: Any, publisher: EventPublisher | None) -> None:
        self.pipe = pipe
        self.publisher = publisher
        self.original: Callable[..., Any] = getattr(pipe, self.name)

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self.pipe, self.name)  # evaluated on the copy, which has only its class's method then


class _Preprocess(_Method):
    name = "preprocess"

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        encoded = self.original(inputs, *args, **kwargs)
        run = runs.current.get()
        return encoded if run is None else run.enter(inputs, encoded)


class _Postprocess(_Method):
    name = "postprocess"

    def __call__(self, outputs: Any, **params: Any) -> Any:
        result = self.original(outputs, **params)
        run = runs.current.get()
        if run is not None:
            run.captured = transformers_outputs.Captured(run.params, outputs, params, result)
        return result


class _RunSingle(_Method):
    name = "run_single"

    def __call__(self, inputs: Any, pre: Params, forward: Params, post: Params) -> Any:
        run = runs.Run(self.pipe, self.publisher, {**pre, **forward})
        with runs.PublishedCall(run, run.start_call(), inputs):
            return self.original(inputs, pre, forward, post)


class _GetIterator(_Method):
    name = "get_iterator"

    def __call__(self, inputs: Any, *options: Any) -> Any:
        _num_workers, batch_size, pre, forward, _post = options
        run = runs.Run(self.pipe, self.publisher, {**pre, **forward}, batch_size)
        return runs.OutputIterator(self.original(inputs, *options), run, inputs)
