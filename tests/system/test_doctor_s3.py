"""`adloom doctor` against a real S3: what is read and written is tried out, every fault has its name and next step."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support import kfp_server, seaweedfs, shop
from tests.support.relay import Fault, Relay
from tests.support.seaweedfs import BUCKET, READER, Server

from adloom.doctor.checks import s3
from adloom.doctor.context import read_context
from adloom.doctor.finding import Finding

KEPT = "kept"  # a bucket with versioning
SOURCE = f"s3://{BUCKET}/doctor/orders.csv"
Check = Callable[..., list[Finding]]


@pytest.fixture(scope="module")
def filled(server: Server) -> Server:
    server.client.create_bucket(Bucket=KEPT)
    server.client.put_bucket_versioning(Bucket=KEPT, VersioningConfiguration={"Status": "Enabled"})
    server.client.create_bucket(Bucket="closed")
    server.put(BUCKET, "doctor/orders.csv", b"customer\n")
    server.put(BUCKET, "doctor/orders.csv.old", b"")
    return server


@pytest.fixture
def check(filled: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Return a function that checks S3 with these places for events and results, as a user with these variables."""
    seaweedfs.visit(filled, monkeypatch)
    for name in ("ADLOOM_DVC_REMOTE", "ADLOOM_CHECKPOINT_URI", "ADLOOM_LOG_URI"):
        monkeypatch.delenv(name, raising=False)

    def check(events: str | None, to: str = "data/scored", **variables: str) -> list[Finding]:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        blocks: dict[str, Any] = shop.params()
        blocks["ingest"] = {"events": {"uri": events, "format": "csv"}} if events else {}
        return list(s3.check(read_context(shop.write_params(tmp_path, blocks | {"score": {"to": to}}))))

    return check


def names(found: list[Finding]) -> list[str]:
    return [one.name for one in found]


def versions(server: Server, bucket: str) -> tuple[int, int]:
    listed = server.client.list_object_versions(Bucket=bucket)
    return len(listed.get("Versions", [])), len(listed.get("DeleteMarkers", []))


def test_all_places_are_tried_out_and_nothing_is_left(filled: Server, check: Check) -> None:
    places = {
        "ADLOOM_DVC_REMOTE": f"s3://{KEPT}/remote",
        "ADLOOM_CHECKPOINT_URI": f"s3://{KEPT}/checkpoints",
        "ADLOOM_LOG_URI": f"s3://{KEPT}/log",
    }
    found = check(SOURCE, f"s3://{KEPT}/scored", **places)
    assert [one.found for one in found] == [
        f"{SOURCE} (ingest.events): read",
        f"s3://{KEPT}/scored (score.to): read, written and deleted",
        f"s3://{KEPT}/remote (ADLOOM_DVC_REMOTE): read, written and deleted",
        f"s3://{KEPT}/checkpoints (ADLOOM_CHECKPOINT_URI): read, written and deleted",
        f"s3://{KEPT}/log (ADLOOM_LOG_URI): read, written and deleted",
    ]
    assert set(names(found)) == {"s3-ok"}
    assert versions(filled, KEPT) == (0, 0)


def test_a_bucket_that_forgets_is_told(filled: Server, check: Check) -> None:
    before = filled.keys(BUCKET, "")
    found = check(None, f"s3://{BUCKET}/scored")
    assert names(found) == ["s3-ok", "s3-unversioned"]
    assert found[1].next_step == "enable versioning, unless the bucket has a backup"
    assert filled.keys(BUCKET, "") == before


@pytest.mark.parametrize(
    "variables",
    [
        {"AWS_SECRET_ACCESS_KEY": "sentinel-of-a-secret"},
        {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "sentinel-of-a-secret"},
    ],
)
def test_a_wrong_key_is_told_once_for_all_places_and_never_shown(check: Check, variables: dict[str, str]) -> None:
    found = check(SOURCE, f"s3://{BUCKET}/scored", **variables)
    assert names(found) == ["s3-refused"]
    assert found[0].next_step == "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    assert "sentinel" not in str(found)


def test_a_missing_key_is_told(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    found = check(SOURCE)
    assert names(found) == ["s3-refused"]
    assert found[0].next_step == "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"


def test_a_missing_bucket_is_told_and_the_other_places_are_tried(check: Check) -> None:
    found = check("s3://no-such-bucket/orders", f"s3://{KEPT}/scored")
    assert names(found) == ["s3-no-bucket", "s3-ok"]
    assert found[0].next_step == "make it or correct the uri"


@pytest.mark.parametrize("uri", [f"s3://{BUCKET}/doctor/none", f"s3://{BUCKET}/doctor/orders"])
def test_a_source_that_holds_nothing_is_told(check: Check, uri: str) -> None:
    found = check(uri)
    assert names(found) == ["s3-no-objects"]
    assert found[0].next_step == "put the data there or correct the uri"


@pytest.mark.parametrize("uri", [f"s3://{BUCKET}", f"s3://{BUCKET}/doctor", f"s3://{BUCKET}/doctor/orders.csv.old"])
def test_a_source_may_be_a_bucket_a_prefix_or_an_object_even_an_empty_one(check: Check, uri: str) -> None:
    assert names(check(uri)) == ["s3-ok"]


def test_a_key_that_may_only_read_is_told(filled: Server, check: Check) -> None:
    found = check(SOURCE, f"s3://{BUCKET}/scored", AWS_ACCESS_KEY_ID=READER)
    assert names(found) == ["s3-ok", "s3-unwritable"]
    assert found[1].next_step == "let a policy of its key allow it"


def test_a_bucket_that_is_not_ours_is_told(check: Check) -> None:
    found = check("s3://closed/orders", AWS_ACCESS_KEY_ID=READER)
    assert names(found) == ["s3-denied"]
    assert found[0].next_step == "let a policy of its key allow it"


def test_a_dead_address_is_told_in_seconds(check: Check, relay: Relay) -> None:
    relay.refuse()
    begun = time.monotonic()
    found = check(SOURCE, f"s3://{BUCKET}/scored", AWS_ENDPOINT_URL_S3=relay.endpoint)
    assert names(found) == ["s3-no-answer"]
    assert relay.endpoint in found[0].found
    assert found[0].next_step == "check AWS_ENDPOINT_URL_S3"
    assert time.monotonic() - begun < 10


def test_a_silent_server_is_told_in_seconds(check: Check, relay: Relay) -> None:
    relay.fail(Fault("silent", "write", after=0))
    begun = time.monotonic()
    assert names(check(SOURCE, AWS_ENDPOINT_URL_S3=relay.endpoint)) == ["s3-no-answer"]
    assert time.monotonic() - begun < 15


def test_what_breaks_off_while_it_is_written_leaves_nothing(filled: Server, check: Check, relay: Relay) -> None:
    relay.fail(Fault("cut", "write", after=0, since=b"PUT "))
    found = check(None, f"s3://{KEPT}/scored", AWS_ENDPOINT_URL_S3=relay.endpoint)
    assert names(found) == ["s3-no-answer"]
    assert versions(filled, KEPT) == (0, 0)


def test_what_is_not_s3_is_told(check: Check) -> None:
    with kfp_server.serving() as other:
        found = check(SOURCE, AWS_ENDPOINT_URL_S3=other.url)
    assert names(found) == ["s3-failed"]
    assert found[0].next_step == "check AWS_ENDPOINT_URL_S3"


def test_what_goes_wrong_inside_the_server_is_told_in_its_words(check: Check) -> None:
    said = "<Error><Code>InternalError</Code><Message>the disk is full</Message></Error>"
    with kfp_server.serving() as broken:
        broken.answers.append(kfp_server.Answer(500, said, {"content-type": "application/xml"}))
        (told,) = check(SOURCE, AWS_ENDPOINT_URL_S3=broken.url)
    assert told.name == "s3-failed"
    assert told.found == f"{SOURCE}: {broken.url} answered InternalError: the disk is full"
    assert told.next_step == "see the server's log"


def test_a_server_without_a_place_is_greeted(filled: Server, check: Check) -> None:
    assert [one.found for one in check(None)] == [f"{filled.endpoint} answers; no URI names a bucket there"]
    assert names(check(None, AWS_SECRET_ACCESS_KEY="wrong")) == ["s3-refused"]


def test_where_nothing_is_named_nothing_is_asked(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    assert names(check(None)) == ["s3-not-asked"]
