"""Messages: what a receiver on this machine gets by HTTP and by e-mail."""

from __future__ import annotations

import socketserver
import threading
from email import message_from_string

import pytest

from spinscope.config import Notify
from spinscope.errors import SpinscopeWarning
from spinscope.notify import tell


@pytest.fixture
def mailbox():
    """SMTP server and the mails it has received."""
    received = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            self.wfile.write(b"220 test\r\n")
            while line := self.rfile.readline().decode().strip():
                if line.upper() == "DATA":
                    self.wfile.write(b"354 go\r\n")
                    lines = []
                    while (text := self.rfile.readline().decode().rstrip("\r\n")) != ".":
                        lines.append(text)
                    received.append("\n".join(lines))
                self.wfile.write(b"221 bye\r\n" if line.upper() == "QUIT" else b"250 ok\r\n")
                if line.upper() == "QUIT":
                    return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield "{}:{}".format(*server.server_address), received
        server.shutdown()


def test_an_http_endpoint_receives_json(receiver):
    address, received = receiver
    assert tell(Notify(url=address), "drift", "film.tif is out of range: blur", {"night": 3})
    assert received == [
        {"event": "drift", "title": "spinscope: Recordings are out of the range of a training set",
         "text": "film.tif is out of range: blur", "night": 3},
    ]  # fmt: skip


def test_a_mail_arrives(mailbox, monkeypatch):
    address, received = mailbox
    monkeypatch.setenv(
        "SPINSCOPE_NOTIFY_URL",
        f"mailto://{address}?from=spinscope@example.org&to=lab@example.org&mode=insecure",
    )
    assert tell(Notify(url=None), "failure", "The nightly intake failed: no such folder")
    (mail,) = map(message_from_string, received)
    assert mail["To"].endswith("lab@example.org")
    assert "A scheduled run failed" in mail["Subject"]
    body = mail.get_payload(0) if mail.is_multipart() else mail
    assert "no such folder" in body.get_payload(decode=True).decode()


def test_no_address_sends_nothing():
    assert not tell(Notify(url=None), "drift", "nobody reads this")


@pytest.mark.parametrize("path", ["/refuse/secret-token", "/refuse?key=secret-token"])
def test_a_message_that_is_not_taken_is_a_warning_without_the_address(receiver, monkeypatch, path):
    monkeypatch.setenv("SPINSCOPE_NOTIFY_URL", receiver[0] + path)
    with pytest.warns(SpinscopeWarning, match=r"could not be sent to 127\.0\.0\.1: HTTP") as seen:
        assert not tell(Notify(url=None), "drift", "film.tif is out of range")
    assert "secret-token" not in str(seen[0].message)


def test_an_unknown_scheme_is_a_warning():
    with pytest.warns(SpinscopeWarning, match="could not be sent"):
        assert not tell(Notify(url="nowhere://host/path"), "drift", "film.tif is out of range")
