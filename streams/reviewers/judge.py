"""A judge behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import orjson
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_random_exponential

from schemas.errors import SettingsError
from schemas.event import LLMEvent
from schemas.setting_sections import JudgeSettings
from streams.reviewers.judge_prompt import ANSWER_SCHEMA, Prompt, build, read
from streams.reviewers.redaction import redaction
from streams.reviewers.reviewer import Opinion
from streams.reviewers.selection import Selection
from streams.runtime.metrics import REVIEWERS_TRIES

log = logging.getLogger(__name__)

_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_ANSWER_BYTES_MAX = 1 << 20


class _Away(Exception):  # noqa: N818 - not an error of ours
    """The endpoint did not answer, or asked to come again."""

    def __init__(self, why: str, retry_after_s: float | None = None) -> None:
        super().__init__(why)
        self.retry_after_s = retry_after_s


class _Refused(Exception):  # noqa: N818 - not an error of ours
    """The endpoint will not answer this, however often it is asked."""


class JudgeReviewer:
    """Asks a language model whether a signal holds of an event.

    A request that fails in passing (no connection, timeout, 429, 5xx) is tried again, after what ``Retry-After`` says
    where it says it; then all questions wait, not only the one that was told. What fails otherwise is not.

    Parameters
    ----------
    settings
        Of the judge; ``url`` is set.

    References
    ----------
    Zheng, L. et al. (2023). Judging LLM-as-a-judge with MT-Bench and Chatbot Arena. NeurIPS.
    """

    name = "judge"
    teaches = True

    def __init__(self, settings: JudgeSettings) -> None:
        if not settings.url or not settings.model:
            raise SettingsError("reviewers.judge: give url (https://host/v1) and model", "reviewers.judge", "missing")
        self._settings = settings
        self._url = settings.url.rstrip("/") + "/chat/completions"
        key = settings.key.get_secret_value() if settings.key else ""
        # Not packed: a small answer could unpack to gigabytes.
        self._headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._redact = redaction(wanted=settings.redact)
        self._secret = key.encode() or settings.model.encode()
        self._session: aiohttp.ClientSession | None = None
        self._not_before = 0.0
        self.model = settings.model
        self.selection = Selection.from_settings(self.name, settings, settings.signals)
        self.budget_per_hour = settings.budget_per_hour
        self.concurrency = settings.concurrency

    async def ask(self, event: LLMEvent, signal: str) -> Opinion:
        """Ask about one event; see `streams.reviewers.reviewer.Reviewer`."""
        # In a thread: texts of megabytes take a while to redact, and the consumer keeps its heartbeats.
        prompt = await asyncio.to_thread(build, event, signal, self._settings.text_chars, self._secret, self._redact)
        if prompt is None:
            return Opinion("unread")
        try:
            answer = await self._answer(prompt)
        except _Away as error:
            log.warning("judge: event %r: given up: %s", event.event_id, error)
            return Opinion("away")
        except _Refused as error:
            log.error("judge: event %r: refused: %s", event.event_id, error)
            return Opinion("refused")
        return Opinion("unparsed") if answer is None else read(answer, prompt.code, signal)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _answer(self, prompt: Prompt) -> str | None:
        body = self._body(prompt)
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(_Away),
            stop=self._stop,
            wait=self._pause,
            reraise=True,
        ):
            with attempt:
                return await self._try(body)
        return None

    def _stop(self, state: RetryCallState) -> bool:
        """End the tries after the last, or where the endpoint asks for more patience than we have."""
        told = _retry_after(state)
        return stop_after_attempt(self._settings.retries + 1)(state) or (
            told is not None and told > self._settings.retry_max_s
        )

    def _pause(self, state: RetryCallState) -> float:
        told = _retry_after(state)
        own = wait_random_exponential(multiplier=0.5, max=self._settings.retry_max_s)(state)
        return own if told is None else told

    async def _try(self, body: dict[str, Any]) -> str | None:
        if (wait := self._not_before - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(min(wait, self._settings.retry_max_s))
        try:
            async with self._connected().post(
                self._url, json=body, headers=self._headers, allow_redirects=False
            ) as response:
                REVIEWERS_TRIES.labels(str(response.status)).inc()
                self._check(response)
                raw = await _read(response)
        except (aiohttp.ClientError, TimeoutError) as error:
            REVIEWERS_TRIES.labels(type(error).__name__).inc()
            raise _Away(f"{self._url}: {type(error).__name__}") from error
        return _content(raw)

    def _check(self, response: aiohttp.ClientResponse) -> None:
        if response.status == 200:
            return
        if response.status not in _RETRIED:
            raise _Refused(
                f"{self._url}: HTTP {response.status}; check reviewers.judge.url, key, model and answer_format"
            )
        told = _seconds(response.headers.get("Retry-After"))
        if told is not None:
            self._not_before = asyncio.get_running_loop().time() + min(told, self._settings.retry_max_s)
        raise _Away(f"{self._url}: HTTP {response.status}", told)

    def _body(self, prompt: Prompt) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}],
            "temperature": 0,
            "max_tokens": self._settings.answer_tokens,
        }
        if self._settings.answer_format == "json_object":
            body["response_format"] = {"type": "json_object"}
        elif self._settings.answer_format == "json_schema":
            schema = {"name": "verdict", "strict": True, "schema": ANSWER_SCHEMA}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self._settings.timeout_s)
            self._session = aiohttp.ClientSession(
                timeout=timeout,
                json_serialize=lambda v: orjson.dumps(v).decode(),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


async def _read(response: aiohttp.ClientResponse) -> bytes:
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise _Refused("a packed answer, which was not asked for")
    raw = b""
    async for part in response.content.iter_any():
        raw += part
        if len(raw) > _ANSWER_BYTES_MAX:
            raise _Refused(f"an answer of more than {_ANSWER_BYTES_MAX} bytes")
    return raw


def _content(raw: bytes) -> str | None:
    """Return what the model wrote, where it came to its end; None for anything else."""
    try:
        choice = orjson.loads(raw)["choices"][0]
        content, end = choice["message"]["content"], choice.get("finish_reason")
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError):
        return None
    return content if isinstance(content, str) and end in {"stop", None} else None


def _retry_after(state: RetryCallState) -> float | None:
    error = state.outcome.exception() if state.outcome else None
    return error.retry_after_s if isinstance(error, _Away) else None


def _seconds(retry_after: str | None) -> float | None:
    """Read ``Retry-After``: seconds, or a date."""
    if retry_after is None:
        return None
    try:
        if retry_after.strip().isdigit():
            return float(retry_after)
        until = parsedate_to_datetime(retry_after)
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
