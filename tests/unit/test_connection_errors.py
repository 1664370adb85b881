"""What each HTTP library raises, from real faults of a real socket, as one plain line."""

import importlib
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from threading import Thread

import boto3
import pytest
import urllib3
from botocore.config import Config
from tests.support.silent_port import silent_port

from adloom.connection_errors import describe_error, find_proxy, require_reachable

Ask = Callable[[str], object]
ASKS: dict[str, Ask] = {
    "urllib": lambda url: urllib.request.urlopen(url, timeout=0.3),
    "urllib3": lambda url: urllib3.PoolManager(retries=urllib3.Retry(1), timeout=0.3).request("GET", url),
    "urllib3 once": lambda url: urllib3.PoolManager(retries=False, timeout=0.3).request("GET", url),
    "requests": lambda url: importlib.import_module("requests").get(url, timeout=0.3),
    "boto3": lambda url: boto3.client(
        "s3",
        endpoint_url=url,
        region_name="eu",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(connect_timeout=0.3, read_timeout=0.3, retries={"max_attempts": 0}),
    ).list_buckets(),
}


@pytest.fixture(params=ASKS)
def ask(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Ask:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return ASKS[str(request.param)]


def said(ask: Ask, url: str) -> str:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each library has errors of its own
        ask(url)
    return describe_error(caught.value)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        yield listening


def address(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_refused_connection(ask: Ask, listener: socket.socket) -> None:
    assert said(ask, address(listener)) == "Connection refused"


@pytest.mark.slow
def test_a_connection_without_an_answer_names_the_port(ask: Ask) -> None:
    with silent_port() as port:
        closed = f"Connection to 127.0.0.1 timed out (a network policy or a firewall may close port {port})"
        assert said(ask, f"http://127.0.0.1:{port}") in (closed, "timed out")  # urllib's own words


@pytest.mark.slow
def test_a_missing_answer(ask: Ask, listener: socket.socket) -> None:
    listener.listen(8)
    assert said(ask, address(listener)) in ("Read timed out", "timed out")


def test_a_connection_that_is_reset(ask: Ask, listener: socket.socket) -> None:
    listener.listen(8)

    def reset() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with closing(connection):
                connection.recv(65536)  # so that the client waits for the response, and is not about to send
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    thread = Thread(target=reset)
    thread.start()
    try:
        assert said(ask, address(listener)) == "Connection reset by peer"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (ValueError("http://ann:secret@host: no\nmore lines"), "http://host: no"),
        (urllib3.exceptions.ReadTimeoutError(None, "/", "Read timed out. (read timeout=8)"), "None: Read timed out"),  # type: ignore[arg-type]
        (OSError(), "OSError"),
    ],
)
def test_other_errors_are_their_first_line_without_a_password(error: Exception, wanted: str) -> None:
    assert describe_error(error) == wanted


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes no connection."""
    with silent_port() as port:
        yield port


def test_the_wait_for_a_server_ends_in_time(silent: int) -> None:
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match=rf"^timed out \(a network policy or a firewall may close port {silent}\)$"):
        require_reachable(f"http://127.0.0.1:{silent}", 0.3)
    assert time.monotonic() - begun < 5


def test_a_server_that_refuses_is_left_to_the_request() -> None:
    require_reachable("http://127.0.0.1:9", 0.3)  # the discard port: nobody listens


def test_a_server_behind_a_proxy_is_not_looked_for(silent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    require_reachable(f"http://127.0.0.1:{silent}", 0.3)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(TimeoutError):
        require_reachable(f"http://127.0.0.1:{silent}", 0.3)


def test_the_proxy_on_the_way_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@proxy:3128")
    monkeypatch.setenv("NO_PROXY", "inside.example")
    assert find_proxy("https://s3.amazonaws.com") == "http://proxy:3128 of HTTPS_PROXY"
    assert find_proxy("http://s3.amazonaws.com") is None
    assert find_proxy("https://inside.example/") is None
    assert find_proxy("sqlite:///mlflow.db") is None
    monkeypatch.setenv("ALL_PROXY", "http://other:1")
    assert find_proxy("http://s3.amazonaws.com") == "http://other:1 of ALL_PROXY"
    assert describe_error(OSError(1, "refused"), "https://a.example/b") == (
        "refused (through the proxy http://proxy:3128 of HTTPS_PROXY; without it if NO_PROXY contains a.example)"
    )
