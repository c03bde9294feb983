"""Clients of google-genai for the local server."""

from __future__ import annotations

from google import genai
from google.genai import types
from google.oauth2.credentials import Credentials

MODEL = "gemini-3.8-flash"
USAGE = {"input_tokens": 33, "output_tokens": 12, "cached_tokens": 16, "reasoning_tokens": 7}


def gemini(url: str) -> genai.Client:
    return genai.Client(api_key="key", http_options=types.HttpOptions(base_url=url))


def vertex(url: str) -> genai.Client:
    options = types.HttpOptions(base_url=url)
    credentials = Credentials(token="token")  # type: ignore[no-untyped-call]
    return genai.Client(vertexai=True, project="p", location="l", credentials=credentials, http_options=options)


def broken(*_: object, **__: object) -> None:
    raise RuntimeError("ours")
