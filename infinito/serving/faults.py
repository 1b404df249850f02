"""Errors in the shape that clients of the protocol read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

RETRY_AFTER_S = 1
"""Seconds after which a client that was turned away may come again."""


class RequestFault(Exception):
    """A request that is not answered.

    Args:
        status: HTTP status.
        message: What was received, what was expected, what mends it.
        code: Short name of the fault, for programs.
        param: The parameter at fault.
    """

    def __init__(
        self, status: int, message: str, code: str | None = None, param: str | None = None
    ) -> None:
        self.status, self.message, self.code, self.param = status, message, code, param
        super().__init__(message)


def describe_fault(fault: RequestFault) -> dict[str, Any]:
    """Return a fault as the protocol writes it."""
    kinds = {429: "rate_limit_error", 401: "authentication_error"}
    kind = "server_error" if fault.status >= 500 else "invalid_request_error"
    return {
        "error": {
            "message": fault.message,
            "type": kinds.get(fault.status, kind),
            "param": fault.param,
            "code": fault.code,
        }
    }


def answer_fault(fault: RequestFault, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return the response to a request that is not answered."""
    extra = {"Retry-After": str(RETRY_AFTER_S)} if fault.status in {429, 503} else {}
    return JSONResponse(describe_fault(fault), fault.status, {**(headers or {}), **extra})


async def on_request_fault(_: Request, error: Exception) -> JSONResponse:
    """Answer a fault that a route found."""
    assert isinstance(error, RequestFault)
    return answer_fault(error)


async def on_http_fault(request: Request, error: Exception) -> JSONResponse:
    """Answer a fault that the framework found: no such page, no such method, too large a body."""
    known = cast(HTTPException, error)  # or starlette's, which has the same attributes
    fault = RequestFault(known.status_code, f"{request.method} {request.url.path}: {known.detail}")
    return answer_fault(fault, known.headers)


async def on_wrong_body(_: Request, error: Exception) -> JSONResponse:
    """Answer a body that is no request, by its first fault."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = [str(part) for part in first["loc"] if part != "body"]
    name = ".".join(place) or None
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "is not supported by this server: leave it out"
    if first["type"] == "json_invalid":
        name, message = None, f"the body is no JSON: {first.get('ctx', {}).get('error', message)}"
    text = message if name is None else f"{name}: {message}"
    return answer_fault(RequestFault(400, text, "invalid_value", name))
