"""How much of one export request is read: what lies beyond is reported, never held in memory."""

from __future__ import annotations

from typing import Final

MAX_BODY_BYTES: Final = 16 << 20
"""Unpacked. As much as a record of the events topic may have (`streams.runtime.decode.MAX_RECORD_BYTES`)."""
MAX_EVENTS_BYTES: Final = 64 << 20
"""Of the events of one request. Each call is given the documents retrieved in its trace, which may be 12 MB."""
MAX_JSON_CONTAINERS: Final = 1_000_000
"""Objects and arrays of one JSON text. ``[{},{},...]`` of 16 MB would else become 400 MB of dicts."""
MAX_SPAN_BYTES: Final = 4 << 20
MAX_FIELDS: Final = 100_000
"""Fields of one protobuf message, or items of one JSON list: 16 MB of empty ones would else take half a minute."""
MAX_SPANS: Final = 20_000
"""Spans or log records of one request."""
MAX_ATTRIBUTES: Final = 8_000
"""Of one span: 1,000 messages of the indexed dialect have about 4,000."""
MAX_EVENTS: Final = 1_000
"""Span events, and log records of one call."""
MAX_DEPTH: Final = 32
"""Nesting of a structured value."""
MAX_MESSAGES: Final = 1_000
MAX_PARTS: Final = 256
"""Parts of one message, and tool calls of one message."""
MAX_DOCUMENTS: Final = 200
"""Retrieved documents given to one call."""
MAX_SIBLINGS: Final = 64
"""Retrievals, and verdicts, kept of one trace: each call of the trace looks through them."""
MAX_TAGS: Final = 32
MAX_TAG_CHARS: Final = 256
MAX_NAME_CHARS: Final = 256
"""As `schemas.event.Id`."""
MAX_PROBLEMS: Final = 100
"""Told one by one; the others are only counted."""
MAX_UNMAPPED_NAMES: Final = 256
"""Names counted one by one; attributes of further names are counted together."""
