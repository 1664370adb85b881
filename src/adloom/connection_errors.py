"""Connection errors of all HTTP libraries, as one plain line."""

import asyncio
import re
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

OBJECT = re.compile(r"^((<[^>]*>|\w+\(host=[^)]*\)): |\([\w.]+Error\) )")  # libraries print it before the message
PASSWORD = re.compile(r"//[^/@\s]*@")
DETAIL = re.compile(r"\. (?:\((?:connect|read) timeout=.*\)|Response body: .*)$")

CLOSED = "a network policy or a firewall may close port"  # and drop packets silently
PORTS = {"http": 80, "https": 443}


def require_reachable(url: str, seconds: float) -> None:
    """
    Raise TimeoutError if no address of the server accepts a connection in time.

    The request itself reports other faults.
    """
    if find_proxy(url):
        return  # the proxy connects
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]

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


def find_proxy(url: str) -> str | None:
    """Return the proxy that the environment sets for a URL, and its variable."""
    parts, proxies = urlsplit(url), getproxies()
    scheme = parts.scheme if parts.scheme in proxies else "all"
    if parts.scheme not in PORTS or scheme not in proxies or proxy_bypass(parts.hostname or ""):
        return None
    return f"{PASSWORD.sub('//', proxies[scheme])} of {scheme.upper()}_PROXY"


def describe_error(error: BaseException, url: str = "") -> str:
    """Return why a request failed, such as "Connection refused", and the proxy on the way to its URL."""
    reason, proxy = _find_reason(error), find_proxy(url)
    host = urlsplit(url).hostname
    return f"{reason} (through the proxy {proxy}; without it if NO_PROXY contains {host})" if proxy else reason


def _find_reason(error: BaseException) -> str:
    """Return the system's message, else the innermost one, without objects and passwords."""
    innermost, cause = error, error
    seen: set[int] = set()
    while id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        if wrapped := _wrapped(cause):
            innermost = cause = wrapped
        else:
            cause = cause.__cause__ or cause.__context__ or cause
    return _message(innermost)


def _wrapped(error: BaseException) -> BaseException | None:
    """Return the error inside another: urllib3 has it as an argument or a reason, botocore as a keyword."""
    candidates = [*error.args, getattr(error, "reason", None), getattr(error, "kwargs", {}).get("error")]
    return next((candidate for candidate in candidates if isinstance(candidate, BaseException)), None)


def _message(error: BaseException) -> str:
    texts = [argument for argument in error.args if isinstance(argument, str)]
    text = str(texts[-1] if len(error.args) > 1 and texts else error)  # a tuple would print the objects too
    line = OBJECT.sub("", text.strip().partition("\n")[0])
    plain = PASSWORD.sub("//", DETAIL.sub("", line)) or type(error).__name__
    port = type(error).__name__ == "ConnectTimeoutError" and getattr(error.args[0], "port", None)
    return f"{plain} ({CLOSED} {port})" if port else plain
