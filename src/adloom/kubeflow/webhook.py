"""A webhook: one JSON message posted to an address that someone listens at."""

import http
import json
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from urllib.parse import urlsplit

from adloom.connection_errors import describe, reach

TIMEOUT = 10  # seconds
PAUSES = (1, 3)  # seconds between the tries

logger = logging.getLogger(__name__)


def post(url: str, message: Mapping[str, object]) -> None:
    """Post a message; what cannot be delivered is a warning that names the host and nothing more of the address."""
    if urlsplit(url).scheme not in ("http", "https"):
        logger.warning("webhook: not an http address; nobody was told")
        return
    body = json.dumps(message).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - checked above
    for pause in (*PAUSES, None):
        try:
            reach(url, TIMEOUT)
            with urllib.request.urlopen(request, timeout=TIMEOUT):  # noqa: S310
                return
        except (OSError, ValueError) as error:  # URLError and HTTPError are OSErrors
            reason = describe(error)
            refused = isinstance(error, urllib.error.HTTPError) and error.code < http.HTTPStatus.INTERNAL_SERVER_ERROR
        if pause is None or refused:
            break
        time.sleep(pause)
    logger.warning("webhook at %s: %s; nobody was told", urlsplit(url).hostname, reason)
