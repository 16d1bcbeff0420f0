"""Requests that a server on this machine refuses, by the page that sends them."""

from __future__ import annotations

import asyncio

import pytest

from spinscope.origins import OwnPagesOnly

PORT = 4200
OWN = {"host": f"127.0.0.1:{PORT}"}
REFUSED = [
    {"host": "attacker.example:4200"},  # a name that was rebound to this machine
    {"host": "127.0.0.1"},
    {"host": "127.0.0.1:4201"},
    {"host": "127.0.0.1:4200@attacker.example"},
    {"host": "127.0.0.1:4200.attacker.example"},
    {"host": ""},
    {},
    OWN | {"origin": "http://attacker.example"},
    OWN | {"origin": "http://localhost:8888"},  # a page of another program on this machine
    OWN | {"origin": "https://127.0.0.1:4200"},
    OWN | {"origin": "http://127.0.0.1:4200.attacker.example"},
    OWN | {"origin": "null"},  # a file, or a page in a frame without rights
    OWN | {"origin": ""},
    OWN | {"sec-fetch-site": "cross-site"},
]


def status(method: str, headers, kind: str = "http") -> int:
    """Status of the response of a server that answers every request with 200."""
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def keep(message):
        sent.append(message)

    pairs = headers.items() if isinstance(headers, dict) else headers
    encoded = [(name.encode(), value.encode()) for name, value in pairs]
    scope = {"type": kind, "method": method, "headers": encoded}
    if kind == "websocket":
        del scope["method"]
    asyncio.run(OwnPagesOnly(app, PORT)(scope, None, keep))
    return 403 if sent[0]["type"] == "websocket.close" else sent[0]["status"]


@pytest.mark.parametrize("headers", REFUSED)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "websocket"])
def test_pages_of_others_change_nothing(method, headers):
    kind = "websocket" if method == "websocket" else "http"
    assert status(method, headers, kind) == 403


@pytest.mark.parametrize("headers", [one for one in REFUSED if one.get("host") != OWN["host"]])
def test_a_rebound_name_reads_nothing(headers):
    assert status("GET", headers) == 403


def test_a_header_that_is_sent_twice_is_refused():
    twice = [("host", OWN["host"]), ("host", "attacker.example")]
    assert status("GET", twice) == 403
    two = [("host", OWN["host"]), ("origin", f"http://{OWN['host']}"), ("origin", "http://x")]
    assert status("POST", two) == 403


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("method", ["GET", "POST", "websocket"])
def test_own_pages_and_programs_are_answered(method, name):
    kind = "websocket" if method == "websocket" else "http"
    host = {"host": f"{name}:{PORT}"}
    assert status(method, host, kind) == 200
    assert status(method, host | {"origin": f"http://{name}:{PORT}"}, kind) == 200


def test_a_link_on_another_page_opens():
    assert status("GET", OWN | {"sec-fetch-site": "cross-site"}) == 200
