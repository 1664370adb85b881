"""S3's odd keys, contents and refusals by way of the commands, on a server that keeps keys as they are written."""

import gzip
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

import boto3
import pytest
from tests.support import local_http, moto_server

from adloom.config.settings import Settings
from adloom.context import open_store
from adloom.errors import ConfigError
from adloom.storage.base import Store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with moto_server.serve() as endpoint:
        yield endpoint


@pytest.fixture
def store(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Store:
    moto_server.visit(endpoint, monkeypatch)
    return open_store(Settings(home=tmp_path, quiet=True))


@pytest.fixture
def client(store: Store, endpoint: str) -> Any:
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    client.create_bucket(Bucket="shop")
    return client


def test_every_key_of_a_server_becomes_a_file_of_its_own(client: Any, store: Store, tmp_path: Path) -> None:
    names = [
        "a//1.csv",
        "a/1.csv",
        "/1.csv",
        "../1.csv",
        "./1.csv",
        "a",
        "b\\c",
        "e\u0301",
        "\u00e9",
        "k" * 1016,
        "l/" * 508,
    ]
    for name in names:
        client.put_object(Bucket="shop", Key=f"keys/{name}", Body=name.encode())
    fetched = store.fetch("s3://shop/keys", tmp_path / "fetched")
    files = {path.relative_to(fetched).as_posix(): path.read_bytes() for path in fetched.rglob("*") if path.is_file()}
    assert sorted(files.values()) == sorted(name.encode() for name in names)
    assert {file.path: file.bytes for file in store.list("s3://shop/keys")} == {p: len(files[p]) for p in files}


def test_compressed_objects_arrive_with_their_bytes(client: Any, store: Store, tmp_path: Path) -> None:
    content = gzip.compress(b"u,t\na,2026-01-05\n")
    client.put_object(Bucket="shop", Key="z/orders.csv", Body=content, ContentEncoding="gzip")
    assert store.fetch("s3://shop/z/orders.csv", tmp_path).read_bytes() == content


class _NoChecksums(BaseHTTPRequestHandler):
    """A server that lists nothing, and answers NotImplemented to a request with a checksum."""

    uploads: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self._answer(200, "<ListBucketResult/>")

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        refused = [name for name in self.headers if name.lower().startswith(("x-amz-checksum", "x-amz-sdk-checksum"))]
        code = "<Error><Code>NotImplemented</Code><Message>a header</Message></Error>"
        self._answer(501 if refused else 200, code if refused else "")
        self.uploads.append(self.path)

    def _answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


def test_a_server_without_checksums_is_named_with_its_setting(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "rows").write_text("rows")
    with local_http.serve(_NoChecksums) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        old = open_store(Settings(home=tmp_path, quiet=True))
        with pytest.raises(ConfigError, match="NotImplemented.*set AWS_REQUEST_CHECKSUM_CALCULATION=when_required"):
            old.push(tmp_path / "made", "s3://shop/made")
        assert len(_NoChecksums.uploads) == 1
        monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
        open_store(Settings(home=tmp_path, quiet=True)).push(tmp_path / "made", "s3://shop/made")
        assert _NoChecksums.uploads == ["/shop/made/rows"] * 2
