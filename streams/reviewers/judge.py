"""The LLM judge: a reviewer behind an OpenAI-compatible endpoint."""

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
from streams.reviewers.judge_prompt import ANSWER_SCHEMA, Prompt, build_prompt, parse_answer
from streams.reviewers.redaction import redactor
from streams.reviewers.reviewer import Review
from streams.reviewers.selection import Selection
from streams.runtime.metrics import REVIEWERS_TRIES

log = logging.getLogger(__name__)

_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_ANSWER_BYTES_MAX = 1 << 20


class _EndpointUnavailable(Exception):  # noqa: N818 - internal, never leaves this module
    """A temporary failure: the endpoint did not answer, or asked for a retry."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class _RequestRejected(Exception):  # noqa: N818 - internal, never leaves this module
    """A permanent failure: a retry would fail too."""


class JudgeReviewer:
    """Reviewer that asks a language model whether an event is an injection or a hallucination.

    Temporary failures (no connection, timeout, 429, 5xx) are retried, after the delay in ``Retry-After`` if there is
    one. A ``Retry-After`` delays all requests, not only the failed one. Permanent failures are not retried.

    Parameters
    ----------
    settings
        Settings of the judge; ``url`` is set.

    References
    ----------
    Zheng, L. et al. (2023). Judging LLM-as-a-judge with MT-Bench and Chatbot Arena. NeurIPS.
    """

    name = "judge"
    emits_labels = True

    def __init__(self, settings: JudgeSettings) -> None:
        if not settings.url or not settings.model:
            raise SettingsError(
                "reviewers.judge: incomplete; set both url (https://host/v1) and model", "reviewers.judge", "missing"
            )
        self._settings = settings
        self._url = settings.url.rstrip("/") + "/chat/completions"
        key = settings.key.get_secret_value() if settings.key else ""
        # No compression: a small answer could unpack to gigabytes.
        self._headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._redact = redactor(enabled=settings.redact)
        self._secret = key.encode() or settings.model.encode()
        self._session: aiohttp.ClientSession | None = None
        self._not_before = 0.0
        self.model = settings.model
        self.selection = Selection.from_settings(self.name, settings, settings.signals)
        self.budget_per_hour = settings.budget_per_hour
        self.concurrency = settings.concurrency

    async def review(self, event: LLMEvent, signal: str) -> Review:
        """Review one event; see `streams.reviewers.reviewer.Reviewer`."""
        # In a thread: redaction of megabytes is slow, and the consumer must send heartbeats meanwhile.
        prompt = await asyncio.to_thread(
            build_prompt, event, signal, self._settings.text_chars, self._secret, self._redact
        )
        if prompt is None:
            return Review("unread")
        try:
            answer = await self._answer(prompt)
        except _EndpointUnavailable as error:
            log.warning("judge: event %r: no verdict, endpoint unavailable: %s", event.event_id, error)
            return Review("away")
        except _RequestRejected as error:
            log.error("judge: event %r: no verdict, request rejected: %s", event.event_id, error)
            return Review("refused")
        return Review("unparsed") if answer is None else parse_answer(answer, prompt.code, signal)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _answer(self, prompt: Prompt) -> str | None:
        body = self._body(prompt)
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(_EndpointUnavailable),
            stop=self._stop,
            wait=self._retry_delay_s,
            reraise=True,
        ):
            with attempt:
                return await self._post(body)
        return None

    def _stop(self, state: RetryCallState) -> bool:
        """Return True after the last retry, or if ``Retry-After`` exceeds ``retry_max_s``."""
        retry_after_s = _retry_after(state)
        return stop_after_attempt(self._settings.retries + 1)(state) or (
            retry_after_s is not None and retry_after_s > self._settings.retry_max_s
        )

    def _retry_delay_s(self, state: RetryCallState) -> float:
        retry_after_s = _retry_after(state)
        backoff_s = wait_random_exponential(multiplier=0.5, max=self._settings.retry_max_s)(state)
        return backoff_s if retry_after_s is None else retry_after_s

    async def _post(self, body: dict[str, Any]) -> str | None:
        if (wait := self._not_before - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(min(wait, self._settings.retry_max_s))
        try:
            async with self._open_session().post(
                self._url, json=body, headers=self._headers, allow_redirects=False
            ) as response:
                REVIEWERS_TRIES.labels(str(response.status)).inc()
                self._check(response)
                raw = await _read(response)
        except (aiohttp.ClientError, TimeoutError) as error:
            REVIEWERS_TRIES.labels(type(error).__name__).inc()
            raise _EndpointUnavailable(f"{self._url}: {type(error).__name__}") from error
        return _content(raw)

    def _check(self, response: aiohttp.ClientResponse) -> None:
        if response.status == 200:
            return
        if response.status not in _RETRIED:
            raise _RequestRejected(
                f"{self._url}: HTTP {response.status}; check reviewers.judge.url, key, model and answer_format"
            )
        retry_after_s = _seconds(response.headers.get("Retry-After"))
        if retry_after_s is not None:
            self._not_before = asyncio.get_running_loop().time() + min(retry_after_s, self._settings.retry_max_s)
        raise _EndpointUnavailable(f"{self._url}: HTTP {response.status}", retry_after_s)

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

    def _open_session(self) -> aiohttp.ClientSession:
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
        raise _RequestRejected("the answer is compressed although compression was not accepted")
    raw = b""
    async for part in response.content.iter_any():
        raw += part
        if len(raw) > _ANSWER_BYTES_MAX:
            raise _RequestRejected(f"the answer exceeds {_ANSWER_BYTES_MAX:,} bytes")
    return raw


def _content(raw: bytes) -> str | None:
    """Return the text of a complete answer; None if the answer is incomplete or malformed."""
    try:
        choice = orjson.loads(raw)["choices"][0]
        content, finish_reason = choice["message"]["content"], choice.get("finish_reason")
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError):
        return None
    return content if isinstance(content, str) and finish_reason in {"stop", None} else None


def _retry_after(state: RetryCallState) -> float | None:
    error = state.outcome.exception() if state.outcome else None
    return error.retry_after_s if isinstance(error, _EndpointUnavailable) else None


def _seconds(retry_after: str | None) -> float | None:
    """Return the seconds in a ``Retry-After`` header (a number or a date); None if it is absent or invalid."""
    if retry_after is None:
        return None
    try:
        if retry_after.strip().isdigit():
            return float(retry_after)
        until = parsedate_to_datetime(retry_after)
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
