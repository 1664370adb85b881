"""The key of the pseudonyms: asked for where it is needed, and never shown."""

from pathlib import Path

import pytest
from tests.unit.doctor.conftest import MakeContext

from adloom.data import privacy
from adloom.doctor.checks import key
from adloom.doctor.finding import Kind

KEY = "a key of these tests only"
PUBLIC = {"ingest": {"events": {"uri": "cdnow"}}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    path.chmod(0o600)
    return path


def test_private_tables_need_one(make_context: MakeContext) -> None:
    (found,) = key.check(make_context())
    assert found.name == "key-missing"
    assert found.found == "events: private data without a pseudonym key"  # impressions name no users
    assert found.next_step.startswith("`openssl rand -hex 32 > FILE` makes one")


def test_events_to_score_are_private_too(make_context: MakeContext) -> None:
    scored = {"events": {"uri": "s3://shop/orders", "format": "csv"}}
    (found,) = key.check(make_context(PUBLIC | {"score": scored}))
    assert found.found.startswith("score.events: private data")


def test_public_tables_need_none(make_context: MakeContext) -> None:
    (found,) = key.check(make_context(PUBLIC))
    assert found.name == "key-not-asked"


def test_one_that_is_there_is_told_by_its_fingerprint(make_context: MakeContext, path: Path) -> None:
    (found,) = key.check(make_context(ADLOOM_PSEUDONYM_KEY_FILE=str(path)))
    assert found == Kind.KEY_OK(f"fingerprint {privacy.key_fingerprint(KEY.encode())}, used for events, impressions")


def test_a_short_one_is_told_and_not_shown(make_context: MakeContext) -> None:
    (found,) = key.check(make_context(ADLOOM_PSEUDONYM_KEY="short"))
    assert found == Kind.KEY_SHORT("pseudonym key: 5 bytes, expected at least 16", "`openssl rand -hex 32` makes one")


def test_a_file_that_cannot_be_read_is_told(make_context: MakeContext, tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    (found,) = key.check(make_context(ADLOOM_PSEUDONYM_KEY_FILE=str(absent)))
    assert found.name == "key-unreadable"
    assert found.found == f"ADLOOM_PSEUDONYM_KEY_FILE={absent}: No such file or directory"
    assert found.next_step


@pytest.mark.parametrize(
    ("variables", "advice"),
    [({}, "chmod 600"), ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "defaultMode: 0440")],
)
def test_a_file_that_everybody_can_read_is_told(
    make_context: MakeContext, path: Path, variables: dict[str, str], advice: str
) -> None:
    path.chmod(0o644)
    found = list(key.check(make_context(ADLOOM_PSEUDONYM_KEY_FILE=str(path), **variables)))
    assert [one.name for one in found] == ["key-open", "key-ok"]
    assert advice in found[0].next_step
    assert KEY not in str(found)
