"""What a transformers pipeline answered: label, confidence, entropy and scores, read from its logits.

Words of the input or the answer stand in ``messages`` and ``choices`` only: the event's other fields are not redacted.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from streamgauge.integrations._reading import Json, flat, role
from streamgauge.integrations._reading import parameters as settings

MAX_SCORES = 100


@dataclass(frozen=True, slots=True)
class Seen:
    """What the pipeline was asked for, what its ``postprocess`` was given, and what it made of it."""

    asked: Mapping[str, Any]
    outputs: Any
    params: Mapping[str, Any]
    result: Any


@dataclass(frozen=True, slots=True)
class Answer:
    """The parts of an event that one answer gives; ``more``: ``confidence``, ``entropy`` (in nats) and ``scores``."""

    choices: list[Json]
    more: Json = field(default_factory=dict)
    usage: Json = field(default_factory=dict)


def text_classification(pipe: Any, seen: Seen) -> Answer:
    """Read the best label; its scores are what the pipeline itself gives for all labels."""
    everything = {**seen.params, "top_k": None, "_legacy": False}
    scored = type(pipe).postprocess(pipe, seen.outputs, **everything)
    scores = {str(each["label"]): float(each["score"]) for each in scored}
    return _classified(scores)


def zero_shot(_pipe: Any, seen: Seen) -> Answer:
    """Read the best of the candidate labels."""
    return _classified(dict(zip(seen.result["labels"], map(float, seen.result["scores"]), strict=True)))


def token_classification(_pipe: Any, seen: Seen) -> Answer:
    """Read the entities, one a line; entropy and confidence are means over the tokens of the input."""
    entities = [(e.get("entity") or e.get("entity_group"), e["word"], float(e["score"])) for e in seen.result]
    content = "\n".join(f"{label}: {word}" for label, word, _ in entities)
    logprobs = [_ln(score) for *_, score in entities] or None
    tokens = [row for piece in seen.outputs for row in _token_distributions(piece)]
    more = {"entropy": _mean(_entropy(row) for row in tokens), "confidence": _mean(max(row) for row in tokens)}
    scores: dict[str, float] = {}
    for label, _, score in entities:
        scores[str(label)] = max(score, scores.get(str(label), 0.0))
    return Answer([{"content": content, "finish_reason": "stop", "logprobs": logprobs}], {**more, "scores": scores})


def fill_mask(pipe: Any, seen: Seen) -> Answer:
    """Read the best word for each mask; its confidence and the entropy over the whole vocabulary."""
    masks = seen.result if isinstance(seen.result[0], list) else [seen.result]
    best = [mask[0] for mask in masks]
    masked = seen.outputs["input_ids"][0] == pipe.tokenizer.mask_token_id
    entropies = _row_entropies(seen.outputs["logits"][0][masked])
    choice = {
        "content": " ".join(word["token_str"] for word in best),
        "logprobs": [_ln(word["score"]) for word in best],
    }
    confidence = _mean(float(word["score"]) for word in best)
    return Answer([{**choice, "finish_reason": "stop"}], {"confidence": confidence, "entropy": _mean(entropies)})


def text_generation(pipe: Any, seen: Seen) -> Answer:
    """Read the generated text, without the prompt that the pipeline puts before it."""
    sequences = seen.outputs["generated_sequence"][0].tolist()
    prompt = seen.outputs["input_ids"]
    prompt_tokens = 0 if prompt is None else prompt.shape[-1]
    generated = [_unpadded(row[prompt_tokens:], pipe.tokenizer.pad_token_id, _ends(pipe)) for row in sequences]
    limit = seen.asked.get("max_new_tokens") or _default(pipe, "max_new_tokens")
    choices = [_generated(pipe, tokens, limit) for tokens in generated]
    return Answer(choices, usage={"output_tokens": sum(map(len, generated))})


Reader = Callable[[Any, Seen], Answer]
READERS: dict[str, Reader] = {
    "TextClassificationPipeline": text_classification,
    "ZeroShotClassificationPipeline": zero_shot,
    "TokenClassificationPipeline": token_classification,
    "FillMaskPipeline": fill_mask,
    "TextGenerationPipeline": text_generation,
}


def reader(pipe: Any) -> Reader | None:
    """Return what reads the answers of such a pipeline; a subclass of a known one is read like it."""
    return next((READERS[base.__name__] for base in type(pipe).__mro__ if base.__name__ in READERS), None)


def messages(given: Any) -> list[Json]:
    """Return the input as messages: a text, a pair of texts, words, or a chat."""
    if given is None:
        return []
    if (chat := getattr(given, "messages", None)) is not None:
        return [{"role": role(each.get("role")), "content": flat(each.get("content"))} for each in chat]
    if isinstance(given, Mapping):
        return [{"role": "user", "content": "\n".join(str(text) for text in given.values())}]
    if isinstance(given, (list, tuple)):
        return [{"role": "user", "content": " ".join(map(str, given))}]
    return [{"role": "user", "content": given if isinstance(given, str) else f"[{type(given).__name__}]"}]


def parameters(pipe: Any, given: Mapping[str, Any], batch_size: int) -> Json:
    """Return the task and the settings of the call: temperature, candidate labels, ..."""
    told = {"task": pipe.task, **getattr(pipe, "_generate_kwargs", {}), **given}
    return settings(told, {"prefix"}) | ({"batch_size": batch_size} if batch_size > 1 else {})


def _classified(scores: dict[str, float]) -> Answer:
    label = max(scores, key=scores.__getitem__)
    choice: Json = {"content": label, "finish_reason": "stop"}
    kept = dict(sorted(scores.items(), key=lambda pair: -pair[1])[:MAX_SCORES])
    if not all(0.0 <= score <= 1.0 for score in scores.values()):
        return Answer([choice], {"scores": kept})  # a regression, or raw logits: no probability, no entropy
    choice["logprobs"] = [_ln(scores[label])]
    return Answer([choice], {"confidence": scores[label], "entropy": _label_entropy(scores.values()), "scores": kept})


def _label_entropy(scores: Iterable[float]) -> float:
    """Return the entropy of one label among many; of labels that hold independently, the mean of each one's."""
    every = list(scores)
    if abs(math.fsum(every) - 1.0) < 1e-3:
        return _entropy(every)
    return _mean(_entropy((score, 1.0 - score)) for score in every) or 0.0


def _entropy(distribution: Iterable[float]) -> float:
    return -math.fsum(p * math.log(p) for p in distribution if p > 0.0)


def _ln(probability: float) -> float:
    return math.log(max(probability, sys.float_info.min))


def _mean(values: Iterable[float]) -> float | None:
    every = list(values)
    return math.fsum(every) / len(every) if every else None


def _token_distributions(piece: Any) -> list[list[float]]:
    words = piece["special_tokens_mask"][0] == 0
    rows: list[list[float]] = piece["logits"][0][words].float().softmax(-1).tolist()
    return rows


def _row_entropies(logits: Any) -> list[float]:
    logs = logits.float().log_softmax(-1)
    entropies: list[float] = (-(logs.exp() * logs).sum(-1)).tolist()
    return entropies


def _default(pipe: Any, name: str) -> Any:
    """Return what text is generated with where the call does not say: the pipeline's own default, then the model's."""
    ours: Mapping[str, Any] = {**getattr(pipe, "_generation_defaults", {}), **getattr(pipe, "_generate_kwargs", {})}
    return ours.get(name) or getattr(pipe.model.generation_config, name, None)


def _ends(pipe: Any) -> frozenset[int]:
    end = _default(pipe, "eos_token_id")
    return frozenset([end] if isinstance(end, int) else end or ())


def _unpadded(tokens: list[int], pad: int | None, ends: frozenset[int]) -> list[int]:
    """Drop the padding of a batch after the end; the end itself counts, also where it serves as padding."""
    last = next((n for n, token in enumerate(tokens) if token in ends), len(tokens) - 1)
    kept = tokens[: last + 1]
    while kept and kept[-1] == pad and pad not in ends:
        kept.pop()
    return kept


def _generated(pipe: Any, tokens: list[int], limit: int | None) -> Json:
    ended = bool(tokens) and tokens[-1] in _ends(pipe)
    full = limit is not None and len(tokens) >= limit
    reason = "length" if full and not ended else "stop" if ended or limit is not None else None
    return {"content": pipe.tokenizer.decode(tokens, skip_special_tokens=True), "finish_reason": reason}
