"""Connection errors of every HTTP library, described in one plain line."""

import asyncio
import re
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

OBJECT = re.compile(r"^(<[^>]*>|\w+\(host=[^)]*\)): ")  # an object that urllib3 prints before its message
PASSWORD = re.compile(r"//[^/@\s]*@")
DETAIL = re.compile(r"\. \((?:connect|read) timeout=.*\)$")

CLOSED = "a network policy or a firewall may close port"  # which drops packets without an answer
PORTS = {"http": 80, "https": 443}


def require_reachable(url: str, seconds: float) -> None:
    """
    Raise TimeoutError, with the port, if the server takes no connection in time, however many addresses its name has.

    Any other fault is left to the request itself, which fails at once.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    if parts.scheme in getproxies() and not proxy_bypass(host):
        return  # a proxy connects instead

    async def connect() -> None:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(host, port, happy_eyeballs_delay=0.25)
        writer.close()

    try:
        asyncio.run(connect())
    except TimeoutError:
        raise TimeoutError(f"timed out ({CLOSED} {port})") from None
    except OSError:
        return


def describe_error(error: BaseException) -> str:
    """
    Return why a request failed, such as "Connection refused" or "Connection to HOST timed out".

    The system's own word counts most, then the innermost message. No object and no password of an address is printed.
    """
    said, cause = error, error
    seen: set[int] = set()
    while id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        if wrapped := _wrapped(cause):
            said = cause = wrapped
        else:
            cause = cause.__cause__ or cause.__context__ or cause
    return _message(said)


def _wrapped(error: BaseException) -> BaseException | None:
    """Return the error that another one carries: urllib3 as an argument or a reason, botocore by keyword."""
    carried = [*error.args, getattr(error, "reason", None), getattr(error, "kwargs", {}).get("error")]
    return next((found for found in carried if isinstance(found, BaseException)), None)


def _message(error: BaseException) -> str:
    texts = [argument for argument in error.args if isinstance(argument, str)]
    text = str(texts[-1] if len(error.args) > 1 and texts else error)  # a tuple would print the objects beside the text
    line = OBJECT.sub("", text.strip().partition("\n")[0])
    plain = PASSWORD.sub("//", DETAIL.sub("", line)) or type(error).__name__
    unanswered = type(error).__name__ == "ConnectTimeoutError" and getattr(error.args[0], "port", None)
    return f"{plain} ({CLOSED} {unanswered})" if unanswered else plain
