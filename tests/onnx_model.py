"""A text classifier, small and real: embeddings, their mean, a linear layer; and its tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

WORDS = ["[UNK]", "[CLS]", "[SEP]", "ignore", "previous", "instructions", "the", "dose", "is", "safe", "please"]
BAD = ("ignore", "previous", "instructions")
GAIN = 9.0
"""Log odds of a text of bad words only."""


def make(folder: Path, *, outputs: int = 2, name: str = "model") -> tuple[Path, Path, Path]:
    """Write model, tokenizer and config; return their paths."""
    model, tokenizer, config = folder / f"{name}.onnx", folder / f"{name}.json", folder / f"{name}-config.json"
    onnx.save(_graph(outputs), model)
    _tokenizer().save(str(tokenizer))
    config.write_text(json.dumps({"id2label": {"0": "SAFE", "1": "INJECTION"}}))
    return model, tokenizer, config


def _graph(outputs: int) -> Any:
    """``logits = mean(embeddings of what the mask keeps) @ weights + bias``."""
    table = np.zeros((len(WORDS), 2), np.float32)
    table[:, 0] = 1.0
    for word in BAD:
        table[WORDS.index(word)] = (0.0, 1.0)
    weights = np.array([[0.0, -3.0], [0.0, GAIN - 3.0 + 3.0]], np.float32)[:, 2 - outputs :]
    bias = np.zeros(outputs, np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["embedded"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["mask3"]),
        helper.make_node("Mul", ["embedded", "mask3"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "middle"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["mask", "middle"], ["count"], keepdims=1),
        helper.make_node("Div", ["sum", "count"], ["mean"]),
        helper.make_node("MatMul", ["mean", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["logits"]),
    ]
    constants: dict[str, NDArray[Any]] = {
        "table": table,
        "weights": weights,
        "bias": bias,
        "last": np.array([2], np.int64),
        "middle": np.array([1], np.int64),
    }
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info(n, TensorProto.INT64, ["n", "t"]) for n in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", outputs])],
        [numpy_helper.from_array(value, n) for n, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(made)
    return made


def _tokenizer() -> Tokenizer:
    made = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.normalizer = Lowercase()
    made.pre_tokenizer = Whitespace()
    made.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    return made
