"""Object stores of DVC's remotes: options of S3, and any file system."""

from pathlib import Path
from typing import Any

import pytest
from dvc.fs import localfs

from adloom.datasets.dvc_objects import DvcObjectStore, open_s3_objects
from adloom.errors import ConfigError, ExternalServiceError
from adloom.storage.s3_client import S3Options


@pytest.mark.parametrize("name", ["allow_anonymous_login", "sse_customer_key"])
def test_an_unsupported_option_is_refused_unless_it_is_off(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"s3://bucket/a: .*{name}"):
        open_s3_objects("s3://bucket/a", {name: "x"}, None, S3Options())
    assert open_s3_objects("s3://bucket/a/", {name: ""}, None, S3Options()).url == "s3://bucket/a"


def test_a_file_system_is_an_object_store(tmp_path: Path) -> None:
    store, source = DvcObjectStore(f"{tmp_path}/objects", localfs, str(tmp_path / "objects")), tmp_path / "source"
    source.write_bytes(b"content")
    for name in ("a/1", "a/2", "b"):
        store.put(source, name)
    assert {name: info.size for name, info in store.list("a").items()} == {"a/1": 7, "a/2": 7}
    assert store.list("b").keys() == {"b"}
    assert store.get("a/1", tmp_path / "copy").read_bytes() == b"content"
    store.remove("a/1")
    store.remove("a/1")
    with pytest.raises(FileNotFoundError):
        store.get("a/1", tmp_path / "copy")


def test_an_error_of_a_file_system_is_one_line(tmp_path: Path) -> None:
    class Failing:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("no token")

    with pytest.raises(ExternalServiceError, match="^gs://bucket: RuntimeError: no token$"):
        DvcObjectStore("gs://bucket", Failing(), "bucket").get("a", tmp_path / "a")
