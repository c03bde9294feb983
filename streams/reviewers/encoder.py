"""The encoder reviewer: a user-supplied text classifier, run by onnxruntime."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from schemas.errors import SettingsError
from schemas.event import LLMEvent
from schemas.files import check_file, read_file
from schemas.setting_sections import EncoderSettings
from streams.reviewers.reviewer import Review
from streams.reviewers.selection import Selection

Ids: TypeAlias = "list[int]"

_ROLES = frozenset({"user", "tool", "system", "developer"})
_CHARS_PER_TOKEN = 8
_INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids"})


class EncoderReviewer:
    """Reviewer that classifies the texts of a prompt window by window; the highest window score is the event's score.

    Parameters
    ----------
    settings
        Settings of the encoder; ``model_file`` is set.

    Raises
    ------
    SettingsError
        If the extra is not installed, or if model, tokenizer and label do not fit each other.

    References
    ----------
    Guo, C. et al. (2017). On calibration of modern neural networks. ICML. (The temperature.)
    """

    name = "encoder"
    concurrency = 1

    def __init__(self, settings: EncoderSettings) -> None:
        if settings.model_file is None or settings.tokenizer_file is None:
            unset = "model_file" if settings.model_file is None else "tokenizer_file"
            raise SettingsError(
                f"reviewers.encoder.{unset}: not set; set model_file (ONNX) and tokenizer_file (tokenizer.json)",
                f"reviewers.encoder.{unset}",
                "missing",
            )
        if settings.overlap_tokens * 2 > settings.max_tokens:
            raise SettingsError(
                f"reviewers.encoder.overlap_tokens={settings.overlap_tokens}: more than half of max_tokens; lower it, "
                "or raise reviewers.encoder.max_tokens",
                "reviewers.encoder.overlap_tokens",
            )
        self._settings = settings
        self._classify = _Classifier(settings, settings.model_file, settings.tokenizer_file)
        self.model = f"{settings.model_file.stem}-{_digest(settings.model_file)}"
        self.selection = Selection.from_settings(self.name, settings, ("injection",))
        self.budget_per_hour = settings.budget_per_hour
        self.emits_labels = settings.feedback

    async def review(self, event: LLMEvent, signal: str) -> Review:  # noqa: ARG002 - reviews one signal only
        """Review one event; see `streams.reviewers.reviewer.Reviewer`."""
        texts = [m.content for m in event.messages if m.role in _ROLES and m.content]
        texts += [d.text for d in event.documents if d.text]
        # In a thread: onnxruntime releases the GIL, so the consumer can send heartbeats meanwhile.
        score = await asyncio.to_thread(self._classify.max_score, texts)
        if score is None:
            return Review("unread")
        label = score >= self._settings.threshold
        return Review("yes" if label else "no", label, score)

    async def close(self) -> None:
        """Return at once: the encoder holds no external resources."""


class _Classifier:
    def __init__(self, settings: EncoderSettings, model: Path, tokenizer: Path) -> None:
        try:
            import onnxruntime  # noqa: PLC0415 - an optional dependency
            from tokenizers import Tokenizer  # noqa: PLC0415 - an optional dependency
        except ImportError as error:
            raise SettingsError(
                f"reviewers.encoder: {error}; run: pip install 'streamgauge-monitor[reviewers]'",
                "reviewers.encoder",
                "unavailable",
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = settings.threads, 1
        names = f"reviewers.encoder.model_file={model}, reviewers.encoder.tokenizer_file={tokenizer}"
        check_file(model, f"reviewers.encoder.model_file={model}")
        check_file(tokenizer, f"reviewers.encoder.tokenizer_file={tokenizer}")
        try:
            self._session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            self._tokenizer: Any = Tokenizer.from_file(str(tokenizer))
        except Exception as error:  # both libraries raise plain Exception
            raise SettingsError(
                f"{names}: {_one_line(error)}; set an ONNX model and its tokenizer.json",
                "reviewers.encoder.model_file",
                "malformed",
                path=model,
            ) from error
        self._inputs = [i.name for i in self._session.get_inputs()]
        if unknown := sorted(set(self._inputs) - _INPUTS):
            raise SettingsError(
                f"reviewers.encoder.model_file={model}: unsupported model inputs {', '.join(unknown)}; export a text "
                "classifier",
                "reviewers.encoder.model_file",
                "malformed",
                path=model,
            )
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(settings.max_tokens, stride=settings.overlap_tokens)
        self._settings = settings
        self._label = _label(settings)
        self._probe()

    def _probe(self) -> None:
        """Classify one text, so that a mismatch fails at start-up."""
        try:
            logits = self._logits([self._tokenizer.encode("a").ids or [0]])
        except Exception as error:  # onnxruntime raises plain Exception
            raise SettingsError(
                f"reviewers.encoder.model_file={self._settings.model_file}: {_one_line(error)}; set a text classifier "
                "and its tokenizer",
                "reviewers.encoder.model_file",
                "malformed",
                path=self._settings.model_file,
            ) from error
        if logits.ndim != 2 or not self._label < max(2, logits.shape[1]):
            raise SettingsError(
                f"reviewers.encoder.label={self._settings.label}: not an output of the model, which has an output of "
                f"shape {logits.shape}; set the index of an output",
                "reviewers.encoder.label",
            )

    def max_score(self, texts: Sequence[str]) -> float | None:
        """Return the highest probability over the windows of all texts; None if there is no text."""
        windows = [ids for text in texts for ids in self._windows(text)]
        if len(windows) > self._settings.windows_max:
            indices = np.linspace(0, len(windows) - 1, self._settings.windows_max).round().astype(int)
            windows = [windows[i] for i in indices]
        if not windows:
            return None
        # No batching: with padding, the last bits of a window's score would depend on the other windows.
        return max(self._probability(self._logits([ids])[0]) for ids in windows)

    def _windows(self, text: str) -> list[Ids]:
        max_chars = self._settings.max_tokens * self._settings.windows_max * _CHARS_PER_TOKEN
        if len(text) > max_chars:
            text = text[: max_chars // 2] + text[-max_chars // 2 :]
        encoding = self._tokenizer.encode(text)
        return [part.ids for part in (encoding, *encoding.overflowing) if part.ids]

    def _logits(self, windows: list[Ids]) -> NDArray[np.float64]:
        ids = np.array(windows, np.int64)
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        out = self._session.run(None, {name: inputs[name] for name in self._inputs})
        return np.asarray(out[0], np.float64)

    def _probability(self, logits: NDArray[np.float64]) -> float:
        scaled = logits / self._settings.temperature
        if len(scaled) == 1:
            scaled = np.array([0.0, scaled[0]])
        odds = np.exp(scaled - scaled.max())
        return float(odds[self._label] / odds.sum())


def _label(settings: EncoderSettings) -> int:
    """Return the index of the model output for an injection."""
    if settings.label.isdigit():
        return int(settings.label)
    names: dict[str, int] = {}
    if settings.config_file is not None:
        name = f"reviewers.encoder.config_file={settings.config_file}"
        text = read_file(settings.config_file, name)
        try:
            config = json.loads(text)
            names = {str(name): int(index) for index, name in config["id2label"].items()}
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise SettingsError(
                f"{name}: no id2label; set the config.json of the model",
                "reviewers.encoder.config_file",
                "malformed",
                path=settings.config_file,
            ) from error
    if settings.label not in names:
        known = f"set one of {', '.join(names)}" if names else "set reviewers.encoder.config_file"
        raise SettingsError(
            f"reviewers.encoder.label={settings.label}: neither an index nor a label of the model; {known}",
            "reviewers.encoder.label",
            "unknown",
        )
    return names[settings.label]


def _one_line(error: Exception) -> str:
    """Return the message of an error on one line."""
    return " ".join(str(error).split())[:300]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=6)).hexdigest()
