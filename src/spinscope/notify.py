"""Messages about promotions, refusals, drift and failed runs, to an HTTP endpoint or by e-mail.

The address is the setting `notify.url` or, where it holds a password or token, the environment
variable SPINSCOPE_NOTIFY_URL. An ``http(s)://`` address receives JSON; others, such as
``mailtos://USER:PASSWORD@HOST?to=ADDRESS``, are those of Apprise.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from spinscope.config import Notify, notify_url
from spinscope.errors import SpinscopeWarning

EVENTS = {
    "promotion": "The lab uses another version of a model",
    "refusal": "A version failed the gates of promotion",
    "drift": "Recordings are out of the range of a training set",
    "failure": "A scheduled run failed",
}
"""Event → what it means."""
_TIMEOUT_S = 10


def tell(settings: Notify, event: str, text: str, facts: Mapping[str, Any] | None = None) -> bool:
    """Send a message; one that cannot be sent is a warning and never an error.

    Parameters
    ----------
    settings : Notify
        Section ``notify``.
    event : str
        Of `EVENTS`.
    text : str
        The message in one sentence.
    facts : mapping, optional
        Further entries of the JSON object that an HTTP endpoint receives.

    Returns
    -------
    bool
        Whether the message was taken; False where no address is set.
    """
    url = notify_url(settings)
    if url is None:
        return False
    message = {"event": event, "title": f"spinscope: {EVENTS[event]}", "text": text}
    try:
        if url.startswith(("http://", "https://")):
            _post(url, {**message, **(facts or {})})
        else:
            _apprise(url, message)
    except Exception as error:  # a message must not end a promotion or a training
        # The address may hold a token, and the text of an error the address.
        warnings.warn(
            f"the message '{text}' could not be sent to {urlsplit(url).hostname}: "
            f"{type(error).__name__}",
            SpinscopeWarning,
            stacklevel=2,
        )
        return False
    return True


def _post(url: str, message: Mapping[str, Any]) -> None:
    import httpx

    httpx.post(url, json=message, timeout=_TIMEOUT_S).raise_for_status()


def _apprise(url: str, message: Mapping[str, str]) -> None:
    import apprise

    service = apprise.Apprise()
    if not service.add(url) or not service.notify(title=message["title"], body=message["text"]):
        raise ConnectionError
