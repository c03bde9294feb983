from __future__ import annotations

import contextlib
import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import RequestError
from streams.ingest.json_split import split_items

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(), VALUES, max_size=5)


@given(st.lists(OBJECTS, min_size=1, max_size=6), st.booleans())
def test_an_array_is_split_into_its_objects(objects: list[dict[str, Any]], pretty: bool) -> None:
    body = orjson.dumps(objects, option=orjson.OPT_INDENT_2 if pretty else None)
    assert [orjson.loads(item) for item in split_items(body, 10)] == objects


@given(st.lists(OBJECTS, min_size=1, max_size=6), st.sampled_from([b"\n", b"\r\n", b"\n\n"]))
def test_lines_are_split_into_their_objects(objects: list[dict[str, Any]], end: bytes) -> None:
    assert split_items(end.join(map(orjson.dumps, objects)), 20, lines=True) == [orjson.dumps(o) for o in objects]


@given(st.lists(OBJECTS, min_size=1, max_size=6), st.booleans(), st.sampled_from([b"", b"\n", b" "]))
def test_consecutive_objects_need_no_line_breaks(objects: list[dict[str, Any]], pretty: bool, between: bytes) -> None:
    body = between.join(orjson.dumps(o, option=orjson.OPT_INDENT_2 if pretty else None) for o in objects)
    assert [orjson.loads(item) for item in split_items(body, 10)] == objects


def test_a_scalar_is_an_item() -> None:
    body = b'[1, {"a": 1}, "x,y", null, [2, 3], true]'
    assert split_items(body, 9) == [b"1", b'{"a": 1}', b'"x,y"', b"null", b"[2, 3]", b"true"]


def test_a_malformed_line_does_not_affect_other_lines() -> None:
    assert split_items(b'{"a": 1}\n{"b": [\n"\n{"c": 2}', 9, lines=True) == [b'{"a": 1}', b'{"b": [', b'"', b'{"c": 2}']


def test_a_malformed_object_does_not_affect_other_objects() -> None:
    assert split_items(b'[{"a": 1}, {"b": NaN}, {"c" 3}, {"d": 4}]', 9)[::3] == [b'{"a": 1}', b'{"d": 4}']


@pytest.mark.parametrize("body", [b"", b" \n ", b"[]", b"[ ]", b"[", b'[{"a": 1}', b'[{"a": 1]', b'["a]', b"[1, 2"])
def test_an_empty_or_unterminated_body_is_rejected(body: bytes) -> None:
    with pytest.raises(RequestError) as raised:
        split_items(body, 9)
    assert raised.value.status == 400


def test_deep_nesting_is_rejected() -> None:
    with pytest.raises(RequestError) as raised:
        split_items(b"[" * 300 + b"]" * 300, 9)
    assert (raised.value.status, raised.value.reason) == (400, "too deep")


@pytest.mark.parametrize("body", [b"[{},{},{}]", b"{}{}{}", b"[1,2,3]", b"[[],[],[]]", b'["a","b","c"]'])
def test_too_many_items_are_rejected(body: bytes) -> None:
    assert len(split_items(body, 3)) == 3
    with pytest.raises(RequestError) as raised:
        split_items(body, 2)
    assert raised.value.status == 413


@pytest.mark.parametrize(
    "body",
    [
        b'["' + b'\\"' * 4_000_000,
        b'["' * 4_000_000,
        b"[" * 8_000_000,
        b"[" + b"1," * 4_000_000,
        b"\n" * 8_000_000 + b"x",
        b"x\n" * 4_000_000,
        b"}" * 8_000_000,
        b'{"a"' * 2_000_000,
        b'[{"a":"' + b"\\" * 8_000_000,
    ],
    ids=lambda body: repr(body[:8]),
)
@pytest.mark.parametrize("lines", [False, True])
def test_a_crafted_body_is_split_in_linear_time(body: bytes, lines: bool) -> None:
    start = time.process_time()
    with contextlib.suppress(RequestError):
        split_items(body, 1000, lines=lines)
    assert time.process_time() - start < 5


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_split_or_rejected(body: bytes, lines: bool) -> None:
    try:
        items = split_items(body, 50, lines=lines)
    except RequestError:
        return
    assert all(item in body for item in items)
