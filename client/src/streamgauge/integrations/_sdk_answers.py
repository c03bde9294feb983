"""From what an SDK's ``request`` returned to a published call: whole answers, streams, raw responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from streamgauge.guard import quiet
from streamgauge.integrations import _sdk_streams as streams
from streamgauge.integrations._reading import get
from streamgauge.integrations._taps import BodyTap, Tap, gather, is_stream, publish

if TYPE_CHECKING:
    from streamgauge.calls import Call
    from streamgauge.integrations._sdk import Api


def settle(call: Call, api: Api, result: Any) -> None:
    """Publish the call now if its answer is whole, else when the host has read, left or lost it."""
    settled = False
    with quiet("sdk.answer"):
        _settle(call, api, result)
        settled = True
    if not settled:
        call.finish()


def _settle(call: Call, api: Api, result: Any) -> None:
    response = get(result, "http_response")
    if response is not None:
        _settle_raw(call, api, response)
    elif hasattr(result, "_iterator") and hasattr(result, "response"):
        streams.watch_items(result, Tap(call, api.gather()))
    else:
        publish(call, api.answer(result))


def _settle_raw(call: Call, api: Api, response: Any) -> None:
    body = _read(response)
    if body is None:
        streams.watch_body(response, BodyTap(call, api, response))
    elif is_stream(response.headers):  # read in one go: by a transport without network
        gathering = api.gather()
        gather(gathering, body)
        publish(call, gathering.answer())
    else:
        publish(call, api.answer(orjson.loads(body)))


def _read(response: Any) -> bytes | None:
    try:
        body = response.content
    except RuntimeError:  # httpx's way of saying that it was not read yet; reading it is the host's to do
        return None
    return body if isinstance(body, bytes) else None
