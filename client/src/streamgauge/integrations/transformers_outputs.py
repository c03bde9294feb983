"""Reader of a transformers pipeline's outputs: label, confidence, entropy and scores, computed from its logits.

Text of the input or output appears in ``messages`` and ``choices`` only, because other fields are not redacted.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from streamgauge.integrations._accessors import Json, flat, role
from streamgauge.integrations._accessors import parameters as settings

MAX_SCORES = 100


@dataclass(frozen=True, slots=True)
class Captured:
    """Request parameters of a pipeline, and the arguments and result of its ``postprocess``."""

    request: Mapping[str, Any]
    outputs: Any
    params: Mapping[str, Any]
    result: Any


@dataclass(frozen=True, slots=True)
class Output:
    """Fields of an event for one output; ``extra``: ``confidence``, ``entropy`` (in nats) and ``scores``."""

    choices: list[Json]
    extra: Json = field(default_factory=dict)
    usage: Json = field(default_factory=dict)


def text_classification(pipe: Any, captured: Captured) -> Output:
    """Read the best label, and the pipeline's scores of all labels."""
    all_labels = {**captured.params, "top_k": None, "_legacy": False}
    results = type(pipe).postprocess(pipe, captured.outputs, **all_labels)
    scores = {str(result["label"]): float(result["score"]) for result in results}
    return _classified(scores)


def zero_shot(_pipe: Any, captured: Captured) -> Output:
    """Read the best of the candidate labels."""
    return _classified(dict(zip(captured.result["labels"], map(float, captured.result["scores"]), strict=True)))


def token_classification(_pipe: Any, captured: Captured) -> Output:
    """Read the entities, one per line; entropy and confidence are means over the tokens of the input."""
    entities = [(e.get("entity") or e.get("entity_group"), e["word"], float(e["score"])) for e in captured.result]
    content = "\n".join(f"{label}: {word}" for label, word, _ in entities)
    logprobs = [_ln(score) for *_, score in entities] or None
    tokens = [row for piece in captured.outputs for row in _token_distributions(piece)]
    extra = {"entropy": _mean(_entropy(row) for row in tokens), "confidence": _mean(max(row) for row in tokens)}
    scores: dict[str, float] = {}
    for label, _, score in entities:
        scores[str(label)] = max(score, scores.get(str(label), 0.0))
    return Output([{"content": content, "finish_reason": "stop", "logprobs": logprobs}], {**extra, "scores": scores})


def fill_mask(pipe: Any, captured: Captured) -> Output:
    """Read the best word for each mask, its confidence, and the entropy over the vocabulary."""
    masks = captured.result if isinstance(captured.result[0], list) else [captured.result]
    best = [mask[0] for mask in masks]
    masked = captured.outputs["input_ids"][0] == pipe.tokenizer.mask_token_id
    entropies = _row_entropies(captured.outputs["logits"][0][masked])
    choice = {
        "content": " ".join(word["token_str"] for word in best),
        "logprobs": [_ln(word["score"]) for word in best],
    }
    confidence = _mean(float(word["score"]) for word in best)
    return Output([{**choice, "finish_reason": "stop"}], {"confidence": confidence, "entropy": _mean(entropies)})


def text_generation(pipe: Any, captured: Captured) -> Output:
    """Read the generated text, without the prompt that the pipeline puts in front."""
    sequences = captured.outputs["generated_sequence"][0].tolist()
    prompt = captured.outputs["input_ids"]
    prompt_tokens = 0 if prompt is None else prompt.shape[-1]
    generated = [_unpadded(row[prompt_tokens:], pipe.tokenizer.pad_token_id, _end_tokens(pipe)) for row in sequences]
    limit = captured.request.get("max_new_tokens") or _default(pipe, "max_new_tokens")
    choices = [_generated(pipe, tokens, limit) for tokens in generated]
    return Output(choices, usage={"output_tokens": sum(map(len, generated))})


Reader = Callable[[Any, Captured], Output]
READERS: dict[str, Reader] = {
    "TextClassificationPipeline": text_classification,
    "ZeroShotClassificationPipeline": zero_shot,
    "TokenClassificationPipeline": token_classification,
    "FillMaskPipeline": fill_mask,
    "TextGenerationPipeline": text_generation,
}


def reader(pipe: Any) -> Reader | None:
    """Return the reader for a pipeline or for its base class; ``None`` if there is none."""
    return next((READERS[base.__name__] for base in type(pipe).__mro__ if base.__name__ in READERS), None)


def messages(inputs: Any) -> list[Json]:
    """Convert the input to messages: a text, a pair of texts, words, or a chat."""
    if inputs is None:
        return []
    if (chat := getattr(inputs, "messages", None)) is not None:
        return [{"role": role(message.get("role")), "content": flat(message.get("content"))} for message in chat]
    if isinstance(inputs, Mapping):
        return [{"role": "user", "content": "\n".join(str(text) for text in inputs.values())}]
    if isinstance(inputs, (list, tuple)):
        return [{"role": "user", "content": " ".join(map(str, inputs))}]
    return [{"role": "user", "content": inputs if isinstance(inputs, str) else f"[{type(inputs).__name__}]"}]


def parameters(pipe: Any, params: Mapping[str, Any], batch_size: int) -> Json:
    """Return the task and the settings of the call, for example temperature and candidate labels."""
    options = {"task": pipe.task, **getattr(pipe, "_generate_kwargs", {}), **params}
    return settings(options, {"prefix"}) | ({"batch_size": batch_size} if batch_size > 1 else {})


def _classified(scores: dict[str, float]) -> Output:
    label = max(scores, key=scores.__getitem__)
    choice: Json = {"content": label, "finish_reason": "stop"}
    kept = dict(sorted(scores.items(), key=lambda pair: -pair[1])[:MAX_SCORES])
    if not all(0.0 <= score <= 1.0 for score in scores.values()):
        return Output([choice], {"scores": kept})  # a regression or raw logits: no probability and no entropy
    choice["logprobs"] = [_ln(scores[label])]
    return Output([choice], {"confidence": scores[label], "entropy": _label_entropy(scores.values()), "scores": kept})


def _label_entropy(scores: Iterable[float]) -> float:
    """Return the entropy over exclusive labels; for independent labels, the mean of their entropies."""
    all_scores = list(scores)
    if abs(math.fsum(all_scores) - 1.0) < 1e-3:
        return _entropy(all_scores)
    return _mean(_entropy((score, 1.0 - score)) for score in all_scores) or 0.0


def _entropy(distribution: Iterable[float]) -> float:
    return -math.fsum(p * math.log(p) for p in distribution if p > 0.0)


def _ln(probability: float) -> float:
    return math.log(max(probability, sys.float_info.min))


def _mean(values: Iterable[float]) -> float | None:
    items = list(values)
    return math.fsum(items) / len(items) if items else None


def _token_distributions(piece: Any) -> list[list[float]]:
    words = piece["special_tokens_mask"][0] == 0
    rows: list[list[float]] = piece["logits"][0][words].float().softmax(-1).tolist()
    return rows


def _row_entropies(logits: Any) -> list[float]:
    logs = logits.float().log_softmax(-1)
    entropies: list[float] = (-(logs.exp() * logs).sum(-1)).tolist()
    return entropies


def _default(pipe: Any, name: str) -> Any:
    """Return the default of a generation setting: the pipeline's, then the model's."""
    defaults: Mapping[str, Any] = {**getattr(pipe, "_generation_defaults", {}), **getattr(pipe, "_generate_kwargs", {})}
    return defaults.get(name) or getattr(pipe.model.generation_config, name, None)


def _end_tokens(pipe: Any) -> frozenset[int]:
    end = _default(pipe, "eos_token_id")
    return frozenset([end] if isinstance(end, int) else end or ())


def _unpadded(tokens: list[int], pad: int | None, ends: frozenset[int]) -> list[int]:
    """Remove the padding of a batch after the end token; the end token counts, even if it is the padding token too."""
    last = next((n for n, token in enumerate(tokens) if token in ends), len(tokens) - 1)
    kept = tokens[: last + 1]
    while kept and kept[-1] == pad and pad not in ends:
        kept.pop()
    return kept


def _generated(pipe: Any, tokens: list[int], limit: int | None) -> Json:
    ended = bool(tokens) and tokens[-1] in _end_tokens(pipe)
    full = limit is not None and len(tokens) >= limit
    reason = "length" if full and not ended else "stop" if ended or limit is not None else None
    return {"content": pipe.tokenizer.decode(tokens, skip_special_tokens=True), "finish_reason": reason}
