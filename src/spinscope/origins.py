"""Which web pages may use a server on this machine: its own, and no other.

A browser sends the name of the page's site with each request that may change something (header
Origin), and the name under which it found the server (header Host). A site that lets its own name
point to this machine shows in Host (DNS rebinding); a page of another site, or of another port of
this machine, shows in Origin. Programs other than browsers send no Origin.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

HOST = "127.0.0.1"
_NAMES = (HOST, "localhost")
_READING = {"GET", "HEAD", "OPTIONS"}

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


def hosts(port: int) -> tuple[str, ...]:
    """Values of the header Host that a browser on this machine sends to a port.

    >>> hosts(5000)
    ('127.0.0.1:5000', 'localhost:5000')
    """
    return tuple(f"{name}:{port}" for name in _NAMES)


class OwnPagesOnly:
    """ASGI application that refuses requests of other web pages with status 403.

    Parameters
    ----------
    app : ASGI application
        Receives all other requests.
    port : int
        Port on which it is served.
    """

    def __init__(self, app: App, port: int):
        self.app = app
        self.hosts = frozenset(name.encode() for name in hosts(port))
        self.origins = frozenset(b"http://" + name for name in self.hosts)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        problem = None if kind == "lifespan" else self._problem(scope)
        if problem is None:
            await self.app(scope, receive, send)
        elif kind == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # status 403 before it is open
        else:
            text = [(b"content-type", b"text/plain")]
            await send({"type": "http.response.start", "status": 403, "headers": text})
            await send({"type": "http.response.body", "body": problem.encode()})

    def _problem(self, scope: Message) -> str | None:
        """Why a request is refused; None where it is not."""
        sent: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            sent.setdefault(name.lower(), []).append(value)
        if len(names := sent.get(b"host", [])) != 1 or names[0] not in self.hosts:
            return "The header Host must name this server."
        changing = scope["type"] == "websocket" or scope["method"] not in _READING
        foreign = not self.origins.issuperset(sent.get(b"origin", []))
        if changing and (foreign or sent.get(b"sec-fetch-site") == [b"cross-site"]):
            return "The header Origin must name this server."
        return None


def serve_app(app: App, port: int) -> None:
    """Serve an ASGI application on 127.0.0.1, to its own pages and to programs, until SIGTERM.

    Parameters
    ----------
    app : ASGI application
    port : int
        Port to listen on.
    """
    import uvicorn

    uvicorn.run(OwnPagesOnly(app, port), host=HOST, port=port, timeout_keep_alive=5)
