"""Checks before a request is read: its host, type, size and duration; headers of every answer."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from infinito.serving.faults import RequestFault, answer_fault

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        b"img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
"""The page loads nothing from elsewhere and stands in no other page."""


class Guard:
    """Reads a request whole, within bounds, before the app sees it.

    Args:
        app: What answers.
        host: The address that the server listens on. A name that a foreign page has made to mean
            this machine is refused where it is the loopback's.
        max_body: Most bytes of a request.
        patience_s: Seconds in which it has to arrive.
    """

    def __init__(self, app: App, host: str, max_body: int, patience_s: float) -> None:
        self.app, self.max_body, self.patience_s = app, max_body, patience_s
        self.is_local = is_loopback(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            self._check_host(scope)
            check_type(scope)
            body = await asyncio.wait_for(self._read(scope, receive), self.patience_s)
        except RequestFault as fault:
            await answer_fault(fault, {"Connection": "close"})(scope, receive, guarded(send))
            return
        except TimeoutError:
            late = RequestFault(408, f"the request did not arrive in {self.patience_s:g} s")
            await answer_fault(late, {"Connection": "close"})(scope, receive, guarded(send))
            return
        if body is None:  # the client has gone
            return
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> MutableMapping[str, Any]:
            return messages.pop() if messages else await receive()

        await self.app(scope, replay, guarded(send))

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """Return the body, None where the client leaves before its end."""
        length = find_header(scope, b"content-length")
        if length.isdecimal() and int(length) > self.max_body:
            raise self._too_large()
        pieces, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > self.max_body:
                raise self._too_large()
            more = message.get("more_body", False)
        return b"".join(pieces)

    def _too_large(self) -> RequestFault:
        return RequestFault(
            413,
            f"the request is larger than {self.max_body} bytes. Send less, or start the server "
            "with a larger `serve.max_body`",
            "request_too_large",
        )

    def _check_host(self, scope: Scope) -> None:
        if not self.is_local:
            return
        try:
            host = urlsplit(f"//{find_header(scope, b'host')}").hostname or ""
        except ValueError:  # brackets that are no address
            host = ""
        if not is_loopback(host):
            raise RequestFault(
                403,
                "the server listens on this machine alone, and the request names another host: "
                "open it by 127.0.0.1 or localhost, or start it with `serve.host`",
            )


def check_type(scope: Scope) -> None:
    """Check that a body is declared as JSON.

    A page of another origin cannot send that without a preflight, which this server refuses.

    Raises:
        RequestFault: it is declared as something else.
    """
    given = find_header(scope, b"content-type")
    if scope["method"] == "POST" and given.partition(";")[0].strip().lower() != "application/json":
        raise RequestFault(
            415,
            f"Content-Type is {given[:200] or 'missing'}: send `Content-Type: application/json`",
            "unsupported_media_type",
        )


def find_header(scope: Scope, name: bytes) -> str:
    """Return the first header of a name, "" where there is none."""
    values = (value for each, value in scope["headers"] if each == name)
    return str(next(values, b"").decode("latin-1"))


def guarded(send: Send) -> Send:
    """Return a sender that puts `HEADERS` on every response."""

    async def with_headers(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *HEADERS]
        await send(message)

    return with_headers


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
