"""Publication of the result of an SDK's ``request``: complete responses, streams and raw responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from streamgauge.guard import suppress_errors
from streamgauge.integrations import _sdk_streams as streams
from streamgauge.integrations._accessors import get
from streamgauge.integrations._stream_tap import BodyTap, StreamTap, accumulate_body, is_stream, publish

if TYPE_CHECKING:
    from streamgauge.calls import Call
    from streamgauge.integrations._api import Api


def settle(call: Call, api: Api, result: Any) -> None:
    """Publish the call now if its response is complete, else when the host has read or abandoned it."""
    settled = False
    with suppress_errors("sdk.response"):
        _settle(call, api, result)
        settled = True
    if not settled:
        call.finish()


def _settle(call: Call, api: Api, result: Any) -> None:
    response = get(result, "http_response")
    if response is not None:
        _settle_raw(call, api, response)
    elif hasattr(result, "_iterator") and hasattr(result, "response"):
        streams.tap_items(result, StreamTap(call, api.accumulator()))
    else:
        publish(call, api.read_response(result))


def _settle_raw(call: Call, api: Api, response: Any) -> None:
    body = _body(response)
    if body is None:
        streams.tap_body(response, BodyTap(call, api, response))
    elif is_stream(response.headers):  # a transport without a network has read it already
        accumulator = api.accumulator()
        accumulate_body(accumulator, body)
        publish(call, accumulator.result())
    else:
        publish(call, api.read_response(orjson.loads(body)))


def _body(response: Any) -> bytes | None:
    try:
        body = response.content
    except RuntimeError:  # httpx raises it for an unread response; only the host may read it
        return None
    return body if isinstance(body, bytes) else None
