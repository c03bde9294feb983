"""Tiny models with random weights and a vocabulary of two dozen words."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertLMHeadModel,
    BertTokenizer,
    Pipeline,
    pipeline,
)

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
QUESTION = ("is", "this", "dose", "safe", "?")
OTHERS = ("take", "two", "tablets", "anna", "lives", "in", "berlin", "it", "a", "the", ".")
WORDS = (*SPECIAL, *QUESTION, *OTHERS)
TOPICS = ("benign", "attack", "unsure")
ENTAILMENT = ("contradiction", "neutral", "entailment")
ENTITIES = ("PER", "O", "LOC")


def tokenizer() -> BertTokenizer:
    """Return a tokenizer that knows `WORDS`."""
    return BertTokenizer(vocab={word: n for n, word in enumerate(WORDS)}, model_max_length=32)


def config(labels: tuple[str, ...] = (), **more: Any) -> BertConfig:
    """Return the smallest BERT, with these labels; weights spread wide, so that its answers differ."""
    names = dict(enumerate(labels))
    size: dict[str, Any] = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    named = {"id2label": names, "label2id": {label: n for n, label in names.items()}} if labels else {}
    return BertConfig(vocab_size=len(WORDS), max_position_embeddings=32, initializer_range=1.0, **size, **named, **more)


def text_classifier(labels: tuple[str, ...] = TOPICS, **more: Any) -> Pipeline:
    """Return a ``text-classification`` pipeline."""
    return _pipeline("text-classification", BertForSequenceClassification, config(labels, **more))


def zero_shot_classifier() -> Pipeline:
    """Return a ``zero-shot-classification`` pipeline."""
    return _pipeline("zero-shot-classification", BertForSequenceClassification, config(ENTAILMENT))


def token_classifier(**more: Any) -> Pipeline:
    """Return a ``token-classification`` pipeline."""
    return _pipeline("token-classification", BertForTokenClassification, config(ENTITIES), **more)


def mask_filler() -> Pipeline:
    """Return a ``fill-mask`` pipeline."""
    return _pipeline("fill-mask", BertForMaskedLM, config())


def generator(**more: Any) -> Pipeline:
    """Return a ``text-generation`` pipeline that reaches its limit: it knows no word for the end."""
    return _pipeline("text-generation", BertLMHeadModel, config(is_decoder=True, **more))


def _pipeline(task: Any, model: Any, of: BertConfig, **more: Any) -> Pipeline:
    torch.manual_seed(7)
    return pipeline(task, model=model(of).eval(), tokenizer=tokenizer(), device=-1, **more)
