"""FastAPI service that calls GPT and accepts feedback on its answers.

``STREAMGAUGE_URL=kafka://broker:9092 OPENAI_API_KEY=... uvicorn service:app``
"""

from __future__ import annotations

import streamgauge
from fastapi import FastAPI
from openai import AsyncOpenAI
from pydantic import BaseModel

PROMPT = "You triage patients. Be brief."

streamgauge.configure(tenant="clinic", app="triage")
client = streamgauge.instrument(AsyncOpenAI())
app = FastAPI()


class Question(BaseModel):
    """Question of a patient."""

    conversation_id: str
    user_id: str
    text: str


class Answer(BaseModel):
    """Answer of the model, and the call id for feedback."""

    call_id: str
    text: str


class Thumb(BaseModel):
    """Feedback of a user on an answer."""

    call_id: str
    conversation_id: str
    down: bool
    comment: str = ""


@app.post("/ask")
async def ask(question: Question) -> Answer:
    """Call the model. The call is published in the background; this request never waits for Kafka."""
    conversation_id, user_id = question.conversation_id, question.user_id
    with streamgauge.context("triage", version="v7", conversation_id=conversation_id, user_id=user_id) as context:
        completion = await client.chat.completions.create(
            model="gpt-5.2",
            messages=[{"role": "system", "content": PROMPT}, {"role": "user", "content": question.text}],
        )
    return Answer(call_id=context.last_call_id, text=completion.choices[0].message.content or "")


@app.post("/feedback", status_code=202)
def feedback(thumb: Thumb) -> None:
    """Publish a thumb, from which the hallucination agent learns."""
    streamgauge.send_feedback(
        call_id=thumb.call_id,
        conversation_id=thumb.conversation_id,
        signal="hallucination",
        label=thumb.down,
        source="thumbs",
        comment=thumb.comment,
    )
