"""A webhook: one JSON message posted to an address."""

import logging
from collections.abc import Mapping
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from adloom.connection_errors import describe_error

TIMEOUT = 10  # seconds
RETRIES = 2  # the last one after 4 seconds
SCHEMES = ("http://", "https://")

logger = logging.getLogger(__name__)


def post(url: str, message: Mapping[str, object]) -> None:
    """Post a message. A failure is a warning that names the host and no other part of the address."""
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    if host is None or not url.startswith(SCHEMES):
        logger.warning("webhook: not an http address; the message was not delivered")
        return
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # its warnings contain the address
    retry = Retry(
        RETRIES, backoff_factor=2, allowed_methods=None, status_forcelist=range(500, 600), raise_on_status=False
    )
    with requests.Session() as session:
        for scheme in SCHEMES:
            session.mount(scheme, HTTPAdapter(max_retries=retry))
        try:
            response = session.post(url, json=message, timeout=TIMEOUT)
        except ValueError:
            reason = "not an address"
        except requests.RequestException as error:
            reason = describe_error(error, f"{urlsplit(url).scheme}://{host}")
        else:
            if response.ok:
                return
            reason = f"HTTP status {response.status_code}"
    logger.warning("webhook at %s: %s; the message was not delivered", host, reason)
