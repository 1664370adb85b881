"""Downloads: from the first origin that answers, pinned, resumed, and with every failure named."""

import errno
import hashlib
import http.server
import io
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.support.silent_port import silent_port

from adloom.catalogue import download, formats
from adloom.catalogue.download import Downloads
from adloom.catalogue.entry import Entry, Package
from adloom.catalogue.packages import Origin, PackageManager, Url
from adloom.config.sources import Source
from adloom.errors import DataError, ExternalServiceError
from adloom.storage.base import SourceFile

CONTENT = b"text\nhello\n" * 20_000
NOWHERE = Url("http://127.0.0.1:9/shop.whl")  # the discard port: nobody answers


def wheel() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(zipfile.ZipInfo("shop/lines.csv"), CONTENT)
    return stream.getvalue()


WHEEL = wheel()


def pin(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def entry(*origins: Origin) -> Entry:
    package = Package("shop.whl", pin(WHEEL), formats.read_wheel, ("shop/lines.csv",), origins)
    return Entry(
        about="a shop",
        alternatives=((package,),),
        convert=formats.keep,
        files=(SourceFile("lines.csv", len(CONTENT), f"sha256:{pin(CONTENT)}"),),
        source=Source(uri="shop", format="csv"),
    )


Fetch = Callable[..., Path]


@pytest.fixture
def fetch(tmp_path: Path) -> Fetch:
    """Return a function that fetches an entry, or one with these origins, into a folder of downloads."""

    def fetch(*origins_or_entry: Origin | Entry) -> Path:
        shop = (
            origins_or_entry[0]
            if isinstance(origins_or_entry[0], Entry)
            else entry(*(p for p in origins_or_entry if not isinstance(p, Entry)))
        )
        return Downloads(tmp_path, progress=False, entries={"shop": shop}).fetch("shop")

    return fetch


class Server:
    """A web server with one file, which hangs up after `limit` bytes; it records the requested ranges."""

    def __init__(self) -> None:
        self.content = WHEEL
        self.limit = 10**9
        self.ranges: list[str | None] = []
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.url = Url(f"http://127.0.0.1:{self.http.server_port}/shop.whl")

    def handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                requested = self.headers["Range"]
                outer.ranges.append(requested)
                start = int(requested.removeprefix("bytes=").rstrip("-")) if requested else 0
                self.send_response(206 if requested else 200)
                self.send_header("Content-Length", str(len(outer.content) - start))
                self.end_headers()
                self.wfile.write(outer.content[start : start + outer.limit])

            def log_message(self, *_: object) -> None: ...

        return Handler


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join()


def writes(content: bytes) -> PackageManager:
    """A package client that writes these bytes."""
    return PackageManager(("python", "-c", f"open('shop.whl', 'wb').write(bytes.fromhex('{content.hex()}'))"))


def test_a_file_is_downloaded_once_and_nothing_else_stays(fetch: Fetch, server: Server, tmp_path: Path) -> None:
    assert (fetch(server.url) / "lines.csv").read_bytes() == CONTENT
    fetch(server.url)
    assert server.ranges == [None]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["lines.csv", "shop", "shop.lock"]


def test_a_changed_file_is_downloaded_again(fetch: Fetch, server: Server) -> None:
    (fetch(server.url) / "lines.csv").write_bytes(b"x" + CONTENT[1:])
    assert (fetch(server.url) / "lines.csv").read_bytes() == CONTENT


def test_an_interrupted_download_resumes(fetch: Fetch, server: Server, tmp_path: Path) -> None:
    server.limit = 150_000
    with pytest.raises(ExternalServiceError, match=f"the connection ended after 150000 of {len(WHEEL)} bytes"):
        fetch(server.url)
    assert not (tmp_path / "shop").exists()
    assert (fetch(server.url) / "lines.csv").read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=150000-"]


def test_origins_are_tried_in_order(fetch: Fetch, server: Server) -> None:
    gone = PackageManager(("python", "-c", "import sys; sys.exit('ERROR: no such version')"))
    assert (fetch(gone, NOWHERE, server.url) / "lines.csv").read_bytes() == CONTENT


def test_wrong_bytes_are_deleted_and_the_next_origin_is_tried(fetch: Fetch, server: Server, tmp_path: Path) -> None:
    server.content = b"changed" + WHEEL
    with pytest.raises(
        ExternalServiceError, match=rf"wrong sha256 {pin(server.content)[:12]}…, expected {pin(WHEEL)[:12]}…"
    ):
        fetch(server.url)
    assert not [*tmp_path.glob("shop*whl*")]
    assert fetch(server.url, writes_wheel(tmp_path)).is_dir()


def writes_wheel(folder: Path) -> PackageManager:
    """A package client that copies the right bytes."""
    source = folder.with_name(f"{folder.name}-elsewhere.whl")
    source.write_bytes(WHEEL)
    return PackageManager(("python", "-c", f"import shutil; shutil.copy({str(source)!r}, 'shop.whl')"))


def test_without_a_network_every_origin_is_named_with_its_failure(fetch: Fetch, tmp_path: Path) -> None:
    origins: tuple[Origin, ...] = (
        PackageManager(("python", "-c", "import sys; sys.exit('first line\\nERROR: no answer')")),
        PackageManager(("no-such-client", "download")),
        writes(b"short"),
        NOWHERE,
    )
    with pytest.raises(ExternalServiceError) as caught:
        fetch(*origins)
    message = str(caught.value)
    assert message.startswith("shop: download failed: ")
    assert message.endswith("; check the network and try again")
    for origin, reason in zip(
        origins, ("ERROR: no answer", "no program called no-such", "wrong", "refused"), strict=True
    ):
        assert f"{origin}: " in message
        assert reason in message
    assert [path.name for path in tmp_path.iterdir()] == ["shop.lock"]


@pytest.mark.slow
def test_silent_ports_fail_in_time_and_are_named(fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TIMEOUT", 0.5)
    with silent_port() as first, silent_port() as second:
        origins = [Url(f"http://127.0.0.1:{port}/shop.whl") for port in (first, second)]
        started = time.monotonic()
        with pytest.raises(ExternalServiceError) as caught:
            fetch(*origins, NOWHERE)
        assert time.monotonic() - started < 10
    message = str(caught.value)
    for origin in origins:
        assert (
            f"{origin}: timed out (a network policy or a firewall may close port {urlsplit(origin.url).port}); "
            in message
        )
    assert f"{NOWHERE}: Connection refused; check the network" in message


def test_a_package_whose_data_changed_is_refused(fetch: Fetch, server: Server, tmp_path: Path) -> None:
    other = replace(entry(server.url), files=(SourceFile("lines.csv", 1, "sha256:00"),))
    with pytest.raises(DataError, match=r"shop/lines.csv: sha256:.*, expected sha256:00; the package was changed"):
        fetch(other)
    assert not (tmp_path / "shop").exists()


def test_an_alternative_is_tried_when_the_first_fails(fetch: Fetch, server: Server) -> None:
    first, second = entry(NOWHERE), entry(server.url)
    both = replace(first, alternatives=first.alternatives + second.alternatives)
    assert (fetch(both) / "lines.csv").read_bytes() == CONTENT


def test_a_full_disk_is_raised_at_once(fetch: Fetch, server: Server, tmp_path: Path) -> None:
    (tmp_path / "shop.whl.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        fetch(server.url, writes(WHEEL[:9]))
    assert caught.value.errno == errno.ENOSPC
    assert not (tmp_path / "shop").exists()
