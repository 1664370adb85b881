"""S3 that refuses a dataset, or goes away while it is pushed or pulled: one line, and nothing is half there."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.support import shop
from tests.support.relay import Fault, Relay
from tests.support.seaweedfs import BUCKET, Server
from tests.support.silent_port import silent_port

from adloom.config.params import TABLES, Prepare
from adloom.config.settings import Settings
from adloom.datasets import dataset, dvc_cache, dvc_remote, pull
from adloom.datasets.dvc_remote import Remote
from adloom.errors import AdloomError, ConfigError, DataError, ExternalServiceError
from adloom.storage import manifest, parquet
from adloom.storage.s3_client import S3Options
from adloom.storage.s3_errors import S3_RETRY

FAST_RETRY = replace(S3_RETRY, pauses=(0.02, 0.05))  # three tries, as shipped
BRISK = S3Options(connect_timeout=0.5, read_timeout=1, retry=FAST_RETRY)
ENDS_WITHIN = 30  # seconds
ROWS = 60_000  # of copy: some megabytes, which take a while to pass
AFTER = 700_000  # bytes that pass before S3 goes away

Open = Callable[..., Remote]


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """A dataset of copy alone."""
    found = dataset.table_folders(tmp_path / "prepared")
    for table in TABLES:
        if table != "copy":
            manifest.skip(found[table], "prepare", Prepare(), "no source")
    with manifest.draft(found["copy"], "prepare", Prepare(), {}) as made:
        noise = np.random.default_rng(1).bytes(ROWS * 16).hex()
        parquet.write(pd.DataFrame({"text": [noise[i * 32 : i * 32 + 32] for i in range(ROWS)]}), made.path)
        made.facts = {"source": "shop/copy.csv"}
    return found


@pytest.fixture
def open_remote(environment: Server, tmp_path: Path) -> Open:
    """Return a function that opens the test's own remote, at the server or at another address."""

    def open_at(endpoint: str = environment.endpoint, bucket: str = BUCKET, options: S3Options = BRISK) -> Remote:
        url = f"s3://{bucket}/{tmp_path.name}"
        return dvc_remote.open_remote(
            Settings(dvc_remote=url, AWS_ENDPOINT_URL_S3=endpoint, quiet=True), tmp_path, options
        )

    return open_at


@pytest.fixture
def laptop(tmp_path: Path) -> Path:
    """A project that is DVC's, without a dataset."""
    (tmp_path / "laptop" / ".dvc").mkdir(parents=True)
    (tmp_path / "laptop" / ".dvc" / "config").write_text("[core]\n    no_scm = True\n")
    shipped = (shop.SHIPPED.parent / "dvc.yaml").read_text(encoding="utf-8")
    (tmp_path / "laptop" / "dvc.yaml").write_text(shipped, encoding="utf-8")
    (tmp_path / "laptop" / "params.yaml").write_text("ingest: {}\nprepare: {}\n", encoding="utf-8")
    return tmp_path / "laptop"


def catch_line(do: Callable[[], object], kind: type[AdloomError]) -> str:
    """Return the line something ends with, in time."""
    start = time.monotonic()
    with pytest.raises(kind) as caught:
        do()
    assert time.monotonic() - start < ENDS_WITHIN
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("how", ["cut", "silent"])
def test_a_failed_push_leaves_no_dataset_and_the_next_one_uploads_the_rest(
    environment: Server, relay: Relay, open_remote: Open, folders: dict[str, Path], tmp_path: Path, how: str
) -> None:
    relay.fail(Fault(how, "write", AFTER))  # type: ignore[arg-type]
    message = catch_line(lambda: dataset.push("shop", folders, open_remote(relay.endpoint)), ExternalServiceError)
    assert message.startswith(f"s3://{BUCKET}/{tmp_path.name}: no answer from http://127.0.0.1:")
    stored = environment.keys(BUCKET, f"{tmp_path.name}/")
    assert not any(key.endswith(".json") for key in stored)
    assert dvc_cache.hash_folder(folders["copy"]).md5[2:] not in {key.rpartition("/")[2] for key in stored}
    relay.heal()
    pushed = dataset.push("shop", folders, open_remote(relay.endpoint))
    assert environment.keys(BUCKET, f"{tmp_path.name}/datasets/") == {f"{pushed.digest}.json"}


@pytest.mark.parametrize("how", ["cut", "silent"])
def test_a_failed_pull_changes_nothing_and_the_next_one_continues(
    relay: Relay, open_remote: Open, folders: dict[str, Path], laptop: Path, how: str
) -> None:
    pushed = dataset.push("shop", folders, open_remote())
    found = dataset.find_dataset(pushed.digest, "shop", open_remote())
    relay.fail(Fault(how, "read", AFTER))  # type: ignore[arg-type]
    far = open_remote(relay.endpoint)
    message = catch_line(lambda: pull.pull_dataset(found, None, far, laptop, force=False), ExternalServiceError)
    assert "no answer from http://127.0.0.1:" in message
    assert not (laptop / "data").exists() or not any((laptop / "data").iterdir())
    relay.heal()
    assert pull.pull_dataset(found, None, open_remote(relay.endpoint), laptop, force=False)
    assert dataset.compute_digest("shop", dataset.table_folders(laptop / dataset.FOLDER)) == pushed.digest


@pytest.mark.parametrize("direction", ["write", "read"])
def test_one_cut_connection_is_retried(
    relay: Relay, open_remote: Open, folders: dict[str, Path], laptop: Path, direction: str
) -> None:
    relay.fail(Fault("cut", direction, AFTER, then=0))  # type: ignore[arg-type]
    pushed = dataset.push("shop", folders, open_remote(relay.endpoint))
    found = dataset.find_dataset(pushed.digest, "shop", open_remote(relay.endpoint))
    assert pull.pull_dataset(found, None, open_remote(relay.endpoint), laptop, force=False)
    assert relay.whole


@pytest.mark.parametrize(
    ("variables", "bucket", "kind", "message"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, BUCKET, ConfigError, "refused the credentials (SignatureDoesNotMatch)"),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, BUCKET, ConfigError, "refused the credentials (InvalidAccessKeyId)"),
        ({}, "no-such-bucket", DataError, "no bucket no-such-bucket at http"),
    ],
)
def test_a_remote_that_refuses_is_one_line(
    open_remote: Open,
    folders: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    bucket: str,
    kind: type[AdloomError],
    message: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    remote = open_remote(bucket=bucket)
    for do in (lambda: dataset.push("shop", folders, remote), lambda: dataset.list_datasets("shop", remote)):
        assert message in catch_line(do, kind)


def test_a_dead_address_is_one_line_with_the_default_options(open_remote: Open) -> None:
    message = catch_line(
        lambda: dataset.list_datasets("shop", open_remote("http://127.0.0.1:9", options=S3Options())),
        ExternalServiceError,
    )
    assert "no answer from http://127.0.0.1:9" in message
    assert "check AWS_ENDPOINT_URL_S3" in message


def test_an_address_that_drops_all_packets_is_one_line(open_remote: Open) -> None:
    with silent_port() as port:
        remote = open_remote(f"http://127.0.0.1:{port}")
        catch_line(lambda: dataset.list_datasets("shop", remote), ExternalServiceError)
