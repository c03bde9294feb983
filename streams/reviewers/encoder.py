"""A text classifier of the user's, through onnxruntime."""

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
from streams.reviewers.reviewer import Opinion
from streams.reviewers.selection import Selection

Ids: TypeAlias = "list[int]"

_ROLES = frozenset({"user", "tool", "system", "developer"})
_CHARS_PER_TOKEN = 8
_KNOWN = frozenset({"input_ids", "attention_mask", "token_type_ids"})


class EncoderReviewer:
    """Reads the texts that a model is given, window by window; an event is as bad as its worst window.

    Parameters
    ----------
    settings
        Of the encoder; ``model_file`` is set.

    Raises
    ------
    SettingsError
        If the extra is not installed, or model, tokenizer and label do not fit each other.

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
                "reviewers.encoder: give model_file (ONNX) and tokenizer_file (tokenizer.json)",
                f"reviewers.encoder.{unset}",
                "missing",
            )
        if settings.overlap_tokens * 2 > settings.max_tokens:
            raise SettingsError(
                "reviewers.encoder.overlap_tokens: at most half of max_tokens; windows would hardly go on",
                "reviewers.encoder.overlap_tokens",
            )
        self._settings = settings
        self._classify = _Classifier(settings, settings.model_file, settings.tokenizer_file)
        self.model = f"{settings.model_file.stem}-{_digest(settings.model_file)}"
        self.selection = Selection.from_settings(self.name, settings, ("injection",))
        self.budget_per_hour = settings.budget_per_hour
        self.teaches = settings.feedback

    async def ask(self, event: LLMEvent, signal: str) -> Opinion:  # noqa: ARG002 - it knows one signal
        """Ask about one event; see `streams.reviewers.reviewer.Reviewer`."""
        texts = [m.content for m in event.messages if m.role in _ROLES and m.content]
        texts += [d.text for d in event.documents if d.text]
        # In a thread: onnxruntime lets go of the interpreter, and the consumer keeps its heartbeats.
        score = await asyncio.to_thread(self._classify.worst, texts)
        if score is None:
            return Opinion("unread")
        label = score >= self._settings.threshold
        return Opinion("yes" if label else "no", label, score)

    async def close(self) -> None:
        """Nothing is held that the process does not free."""


class _Classifier:
    def __init__(self, settings: EncoderSettings, model: Path, tokenizer: Path) -> None:
        try:
            import onnxruntime  # noqa: PLC0415 - an optional dependency
            from tokenizers import Tokenizer  # noqa: PLC0415 - the same
        except ImportError as error:
            raise SettingsError(
                f"reviewers.encoder: {error}; pip install 'streamgauge-monitor[reviewers]'",
                "reviewers.encoder",
                "unavailable",
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = settings.threads, 1
        named = f"reviewers.encoder.model_file={model}, reviewers.encoder.tokenizer_file={tokenizer}"
        check_file(model, f"reviewers.encoder.model_file={model}")
        check_file(tokenizer, f"reviewers.encoder.tokenizer_file={tokenizer}")
        try:
            self._session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            self._tokenizer: Any = Tokenizer.from_file(str(tokenizer))
        except Exception as error:  # both libraries raise bare exceptions of their own
            raise SettingsError(
                f"{named}: {_line(error)}; give an ONNX model and its tokenizer.json",
                "reviewers.encoder.model_file",
                "malformed",
                path=model,
            ) from error
        self._inputs = [i.name for i in self._session.get_inputs()]
        if unknown := sorted(set(self._inputs) - _KNOWN):
            raise SettingsError(
                f"reviewers.encoder.model_file={model}: it wants {unknown}; export a text classifier",
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
        """Read one text, so that what does not fit is told now."""
        try:
            logits = self._logits([self._tokenizer.encode("a").ids or [0]])
        except Exception as error:  # onnxruntime's own
            raise SettingsError(
                f"reviewers.encoder.model_file={self._settings.model_file}: {_line(error)}",
                "reviewers.encoder.model_file",
                "malformed",
                path=self._settings.model_file,
            ) from error
        if logits.ndim != 2 or not self._label < max(2, logits.shape[1]):
            raise SettingsError(
                f"reviewers.encoder.label={self._settings.label}: outputs are of shape {logits.shape}",
                "reviewers.encoder.label",
            )

    def worst(self, texts: Sequence[str]) -> float | None:
        """Return the highest probability over the windows of some texts; None where there is nothing to read."""
        windows = [ids for text in texts for ids in self._windows(text)]
        if len(windows) > self._settings.windows_max:
            at = np.linspace(0, len(windows) - 1, self._settings.windows_max).round().astype(int)
            windows = [windows[i] for i in at]
        if not windows:
            return None
        # One at a time: padded to one length, a window's last bits would depend on its neighbours.
        return max(self._probability(self._logits([ids])[0]) for ids in windows)

    def _windows(self, text: str) -> list[Ids]:
        most = self._settings.max_tokens * self._settings.windows_max * _CHARS_PER_TOKEN
        if len(text) > most:
            text = text[: most // 2] + text[-most // 2 :]
        encoding = self._tokenizer.encode(text)
        return [part.ids for part in (encoding, *encoding.overflowing) if part.ids]

    def _logits(self, windows: list[Ids]) -> NDArray[np.float64]:
        ids = np.array(windows, np.int64)
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        out = self._session.run(None, {name: given[name] for name in self._inputs})
        return np.asarray(out[0], np.float64)

    def _probability(self, logits: NDArray[np.float64]) -> float:
        scaled = logits / self._settings.temperature
        if len(scaled) == 1:
            scaled = np.array([0.0, scaled[0]])
        odds = np.exp(scaled - scaled.max())
        return float(odds[self._label] / odds.sum())


def _label(settings: EncoderSettings) -> int:
    """Return the index of the output that means injection."""
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
                f"{name}: no id2label in it; give the config.json of the model",
                "reviewers.encoder.config_file",
                "malformed",
                path=settings.config_file,
            ) from error
    if settings.label not in names:
        known = ", ".join(names) or "none: give config_file"
        raise SettingsError(
            f"reviewers.encoder.label={settings.label}: not a number, and of names there are {known}",
            "reviewers.encoder.label",
            "unknown",
        )
    return names[settings.label]


def _line(error: Exception) -> str:
    """Return an error of a library in one line."""
    return " ".join(str(error).split())[:300]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=6)).hexdigest()
