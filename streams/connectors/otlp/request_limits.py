"""Limits on export requests; content above a limit is reported as a problem and never held in memory."""

from __future__ import annotations

from typing import Final

MAX_BODY_BYTES: Final = 16 << 20
"""Maximum unpacked size, the same as for a record of the events topic (`streams.runtime.decode.MAX_RECORD_BYTES`)."""
MAX_EVENTS_BYTES: Final = 64 << 20
"""Maximum size of all events of a request. Each call includes the documents retrieved in its trace, up to 12 MB."""
MAX_JSON_CONTAINERS: Final = 1_000_000
"""Maximum objects and arrays of a JSON text. Without it, 16 MB of ``[{},{},...]`` would become 400 MB of dicts."""
MAX_SPAN_BYTES: Final = 4 << 20
MAX_FIELDS: Final = 100_000
"""Maximum fields of a protobuf message or items of a JSON list. Without it, 16 MB of empty items would take 30 s."""
MAX_SPANS: Final = 20_000
"""Maximum spans or log records of a request."""
MAX_ATTRIBUTES: Final = 8_000
"""Maximum attributes of a span; 1,000 messages of the indexed dialect have about 4,000 attributes."""
MAX_EVENTS: Final = 1_000
"""Maximum events of a span, and maximum log records of a call."""
MAX_DEPTH: Final = 32
"""Maximum nesting of a structured value."""
MAX_MESSAGES: Final = 1_000
MAX_PARTS: Final = 256
"""Maximum parts, and maximum tool calls, of a message."""
MAX_DOCUMENTS: Final = 200
"""Maximum retrieved documents of a call."""
MAX_SIBLINGS: Final = 64
"""Maximum retrievals, and maximum verdicts, of a trace; each call of the trace scans all of them."""
MAX_TAGS: Final = 32
MAX_TAG_CHARS: Final = 256
MAX_NAME_CHARS: Final = 256
"""The same as `schemas.event.NAME_MAX`."""
MAX_PROBLEMS: Final = 100
"""Maximum problems listed; further problems are only counted."""
MAX_UNMAPPED_NAMES: Final = 256
"""Maximum names counted separately; attributes with further names are counted together."""
