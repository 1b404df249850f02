"""The server's pages and routes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse

from infinito.serving.answers import DONE, Answer, event
from infinito.serving.engine import Job, Piece
from infinito.serving.faults import (
    RequestFault,
    describe_fault,
    on_http_fault,
    on_request_fault,
    on_wrong_body,
)
from infinito.serving.protocol import ChatRequest
from infinito.serving.served import ServedModel

PAGE = Path(__file__).with_name("page")
LOOK_S = 0.2
"""Seconds between two looks at whether a client is still there."""


def build_app(models: Sequence[ServedModel]) -> FastAPI:
    """Return the application that answers for these models; the first is the page's."""
    app = FastAPI(title="infinito", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(RequestFault, on_request_fault)
    app.add_exception_handler(HTTPException, on_http_fault)
    app.add_exception_handler(404, on_http_fault)
    app.add_exception_handler(405, on_http_fault)
    app.add_exception_handler(RequestValidationError, on_wrong_body)
    named, started = {model.name: model for model in models}, int(time.time())

    @app.post("/v1/chat/completions", response_model=None)
    async def complete(body: ChatRequest, request: Request) -> Response:
        if (model := named.get(body.model)) is None:
            raise RequestFault(
                404,
                f"there is no model `{body.model[:200]}`; there is {', '.join(named)}",
                "model_not_found",
                "model",
            )
        job, pieces = model.submit(body)
        answer = Answer(model.name, len(job.ids))
        arriving = watched(request, job, pieces)
        if not body.stream:
            return await answer_whole(answer, arriving)
        counts = body.stream_options is not None and body.stream_options.include_usage
        return StreamingResponse(
            answer_stream(answer, arriving, counts), media_type="text/event-stream"
        )

    @app.get("/v1/models")
    async def list_models() -> dict[str, Any]:
        fixed = {"object": "model", "created": started, "owned_by": "infinito"}
        return {"object": "list", "data": [{"id": name, **fixed} for name in named]}

    @app.get("/v1/models/{name:path}")
    async def describe_model(name: str) -> dict[str, Any]:
        if name not in named:
            message = f"there is no model `{name[:200]}`; there is {', '.join(named)}"
            raise RequestFault(404, message, "model_not_found", "model")
        return {"id": name, "object": "model", "created": started, "owned_by": "infinito"}

    @app.get("/health")
    async def tell_health() -> dict[str, Any]:
        counts = {name: model.engine.count() for name, model in named.items()}
        busy = {name: {"writing": now, "waiting": later} for name, (now, later) in counts.items()}
        return {"status": "ok", "models": busy}

    @app.get("/", response_model=None)
    async def show_page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    @app.get("/page.css", response_model=None)
    async def show_style() -> FileResponse:
        return FileResponse(PAGE / "page.css")

    @app.get("/page.js", response_model=None)
    async def show_script() -> FileResponse:
        return FileResponse(PAGE / "page.js")

    return app


async def watched(request: Request, job: Job, pieces: asyncio.Queue[Piece]) -> AsyncIterator[Piece]:
    """Yield the pieces of an answer; a client that has gone, or a reader that stops, cancels it."""
    looked = time.monotonic()
    try:
        while True:
            try:
                piece = await asyncio.wait_for(pieces.get(), LOOK_S)
            except TimeoutError:
                piece = None
            if time.monotonic() - looked >= LOOK_S:
                looked = time.monotonic()
                if await request.is_disconnected():
                    return
            if piece is None:
                continue
            yield piece
            if piece.end is not None or piece.fault is not None:
                return
    finally:
        job.is_cancelled = True


def find_fault(piece: Piece) -> RequestFault:
    """Return the fault of an answer as a client receives it."""
    return RequestFault(500, f"the answer failed: {piece.fault}", "generation_failed")


async def answer_whole(answer: Answer, pieces: AsyncIterator[Piece]) -> Response:
    """Return an answer once it is complete."""
    text, last = "", None
    async for piece in pieces:
        if piece.fault is not None:
            raise find_fault(piece)
        text, last = text + piece.text, piece
    if last is None or last.end is None:  # the client has gone: nobody reads this
        return Response(status_code=499)
    return JSONResponse(answer.whole(text, last))


async def answer_stream(
    answer: Answer, pieces: AsyncIterator[Piece], counts: bool
) -> AsyncIterator[bytes]:
    """Yield an answer as server-sent events."""
    yield answer.chunk({"role": "assistant", "content": ""})
    async for piece in pieces:
        if piece.fault is not None:
            yield event(describe_fault(find_fault(piece)))
            return
        if piece.text:
            yield answer.chunk({"content": piece.text})
        if piece.end is not None:
            yield answer.chunk({}, piece.end)
            if counts:
                yield answer.usage_chunk(piece)
    yield DONE
