"""Who may ask: the right host, the same origin, a token where the server is open to others; and how much at once."""

import asyncio
import hmac
import re
import time
from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 64 << 20
"""Of a question, photos and all."""
_AT_ONCE = 4
"""Questions whose photos are in memory; further ones wait before their photos are read."""
_PATIENCE = 20.0
"""Seconds that the photos of a question may take, and what a slow line may need beside that."""
_SLOWEST = 256 << 10
"""Bytes a second of a slow line."""
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:@/\s]+)(:\d+)?", re.IGNORECASE)
_TOO_MUCH = f"these are more than {MOST_BYTES >> 20} MB of photos. Give fewer, or smaller ones."
_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """Stands before the application (ASGI)."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str] | None, token: str | None) -> None:
        """Args:
        app: what is guarded.
        hosts: names that the server may be called by, so that no other site's name can lead here (DNS rebinding);
            None for any.
        token: what a question has to bring, in the cookie that the first visit sets, or as `Authorization: Bearer`;
            None where nothing is needed.
        """
        self._app, self._hosts, self._token = app, hosts, token
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, refuse, or let through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        if (refused := self._refused(request)) is not None:
            await refused(scope, receive, _with_headers(send))
        elif request.method in ("GET", "HEAD"):
            await self._app(scope, receive, _with_headers(send))
        else:
            async with self._slots:
                await self._app(scope, _limited(receive), _with_headers(send))

    def _refused(self, request: Request) -> Response | None:
        host = request.headers.get("host", "")
        if self._hosts is not None and _without_port(host) not in self._hosts:
            return _problem(403, f"this server is not called {host[:200]!r}. Open the address that it printed.")
        if _is_foreign(request, host):
            return _problem(403, "another site asks. Open the page of this server itself.")
        if (size := request.headers.get("content-length", "0")).isdecimal() and int(size) > MOST_BYTES:
            return _problem(413, _TOO_MUCH)  # before any of it is read
        return None if self._token is None else self._without(self._token, request)

    def _without(self, token: str, request: Request) -> Response | None:
        """What a question without the token gets."""
        if request.method == "GET" and _same(request.query_params.get("token", ""), token):
            welcome = RedirectResponse("/" + request.url.path.lstrip("/"), 303)  # `//host` would be another site
            welcome.set_cookie(_cookie(request), token, httponly=True, samesite="lax")
            return welcome
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        if _same(request.cookies.get(_cookie(request), ""), token) or _same(bearer, token):
            return None
        return _problem(401, "a token is needed: open the whole address that `bruna serve` printed, with ?token=...")


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(errors="surrogateescape"), token.encode())


def _cookie(request: Request) -> str:
    """The name of this server's cookie: browsers send those of a host to all of its ports."""
    return f"bruna_{(request.scope.get('server') or ('', 0))[1]}"


def _without_port(host: str) -> str:
    """The host that a `Host` header names; empty where it is none."""
    found = _HOST.fullmatch(host)
    return found[1].lower() if found else ""


def _is_foreign(request: Request, host: str) -> bool:
    """Whether the page of another site asks: browsers say so. Somebody may follow a link to a page of this server."""
    headers = request.headers
    if headers.get("origin") is not None and headers["origin"].partition("://")[2] != host:
        return True
    follows = request.method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    return headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not follows


def _problem(status: int, detail: str) -> Response:
    return JSONResponse({"detail": detail}, status)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(_HEADERS)
        await send(message)

    return sending


def _limited(receive: Receive) -> Receive:
    """Whoever sends too much is stopped, and whoever stops in the middle of a question makes room for others."""
    taken, begun, whole = 0, time.monotonic(), False

    async def receiving() -> Message:
        nonlocal taken, whole
        if whole:
            return await receive()
        try:
            async with asyncio.timeout(begun + _PATIENCE + taken / _SLOWEST - time.monotonic()):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, "the photos come too slowly. Give fewer, or smaller ones.") from None
        taken += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        if taken > MOST_BYTES:
            raise HTTPException(413, _TOO_MUCH)
        return message

    return receiving
