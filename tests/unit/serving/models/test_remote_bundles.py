"""Copies of the champions in S3: restored whole or not at all, and never a reason not to start."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from tests.support import moto_server
from tests.support.tiny_models import write_policy

from adloom.config.settings import Settings
from adloom.errors import ConfigError
from adloom.serving.models.bundle_cache import BundleCache, Champion
from adloom.serving.models.remote_bundles import RemoteBundles, open_remote_bundles
from adloom.storage import manifest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with moto_server.serve() as endpoint:
        yield endpoint


@pytest.fixture
def remote(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RemoteBundles:
    """The copies of the project demo, of which there are none yet."""
    moto_server.visit(endpoint, monkeypatch)
    monkeypatch.setenv("ADLOOM_BUNDLE_URI", f"s3://shop/{tmp_path.name}")
    boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket="shop")
    remote = open_remote_bundles(Settings(), "demo")
    assert remote
    return remote


@pytest.fixture
def cache(tmp_path: Path) -> BundleCache:
    return BundleCache(tmp_path / "cache")


def write(folder: Path, number: int) -> tuple[Path, str]:
    """Return one of five policies, and its digest."""
    write_policy(folder, None, f"creative-{number}")
    return folder, manifest.digest(folder)


def test_an_empty_cache_gets_the_champion_that_was_saved_last(
    remote: RemoteBundles, cache: BundleCache, tmp_path: Path
) -> None:
    for version in (3, 4):
        artifact, digest = write(tmp_path / str(version), version)
        remote.save("policy", Champion(version, digest), artifact)
    remote.restore(cache, ["policy", "gan"])
    assert cache.load_champion("policy") == Champion(4, digest)
    assert cache.find(digest)
    assert cache.load_champion("gan") is None
    remains = {file.path for file in remote.store.list(remote.uri)}
    assert remains == {"policy.json", *(f"policy/{path.name}" for path in artifact.iterdir())}  # no older artifact


def test_a_champion_in_the_cache_is_newer_than_its_copy(
    remote: RemoteBundles, cache: BundleCache, tmp_path: Path
) -> None:
    old, digest = write(tmp_path / "old", 1)
    remote.save("policy", Champion(3, digest), old)
    new, newer = write(tmp_path / "new", 2)
    cache.add(newer, lambda folder: Path(shutil.copytree(new, folder)))
    cache.save_champion("policy", Champion(4, newer))
    remote.restore(cache, ["policy"])
    assert cache.load_champion("policy") == Champion(4, newer)


def test_a_copy_with_other_bytes_is_not_restored(remote: RemoteBundles, cache: BundleCache, tmp_path: Path) -> None:
    artifact, digest = write(tmp_path / "policy", 1)
    remote.save("policy", Champion(3, digest), artifact)
    other, _ = write(tmp_path / "other", 2)
    remote.store.push(other, f"{remote.uri}/policy")
    remote.restore(cache, ["policy"])
    assert cache.load_champion("policy") is None
    assert cache.find(digest) is None


def test_a_store_that_is_away_delays_and_stops_nothing(
    remote: RemoteBundles, cache: BundleCache, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    away = RemoteBundles(remote.store, "s3://no-such-bucket/demo")
    artifact, digest = write(tmp_path / "policy", 1)
    away.save("policy", Champion(3, digest), artifact)
    assert "no bucket no-such-bucket" in caplog.text
    start = time.monotonic()
    away.restore(cache, ["policy"], timeout=0.0)
    assert time.monotonic() - start < 5
    assert "the service waits for the registry" in caplog.text


def test_the_copies_are_in_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADLOOM_BUNDLE_URI", raising=False)
    assert open_remote_bundles(Settings(), "demo") is None
    monkeypatch.setenv("ADLOOM_BUNDLE_URI", "/var/bundles")
    with pytest.raises(ConfigError, match="ADLOOM_BUNDLE_URI=/var/bundles: expected s3://bucket/prefix"):
        open_remote_bundles(Settings(), "demo")
