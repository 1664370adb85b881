"""Export of a segment: tables in, a file and an audit record out, and one line for every mistake."""

import hashlib
import json
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from tests.support.tiny_models import write_audience

from adloom.audience.export import Export
from adloom.data.privacy import PUBLISHED_KEY, pseudonymise
from adloom.errors import ConfigError, DataError
from adloom.stages.segment_export import Request, describe_export, export_segment, render, write_audit
from adloom.storage.local import FolderStore

USERS = [f"{i:03}" for i in range(40)]  # the first half are in segment-1
KEY = b"a key of the shop alone"


@pytest.fixture
def crm(tmp_path: Path) -> Path:
    """Return a table of all users: every fourth refuses, two share an address, and one has none."""
    rows = pd.DataFrame({"user_id": USERS, "email": [f"U{i // 2 * 2 if i < 2 else i}@shop.example" for i in range(40)]})
    rows["consent"] = ["no" if i % 4 == 3 else "yes" for i in range(40)]
    rows.loc[2, "email"] = None
    rows.to_csv(tmp_path / "crm.csv", index=False)
    return tmp_path / "crm.csv"


@pytest.fixture
def audience(tmp_path: Path) -> Path:
    write_audience(tmp_path / "audience", KEY, USERS)
    return tmp_path / "audience"


def export(request: Request, audience: Path, key: bytes | None = KEY) -> Export:
    return export_segment(request, audience, key, FolderStore())


def test_hashed_addresses_and_the_record(audience: Path, crm: Path, tmp_path: Path) -> None:
    request = Request("segment-1", "email", "meta", str(crm), str(crm), match_rate=0.5)
    exported = export(request, audience)
    content = render(request, exported, ".csv")
    header, *lines = content.decode().splitlines()
    contacts = [f"u{i}@shop.example" for i in range(20) if i % 4 != 3 and i not in (1, 2)]
    assert (header, lines) == ("email", sorted(hashlib.sha256(text.encode()).hexdigest() for text in contacts))
    record = describe_export(request, audience, exported.count(), content, "ann")
    assert {name: record[name] for name in ("by", "segment", "users", "refused", "without_contact", "identifiers")} == {
        "by": "ann", "segment": "segment-1", "users": 20, "refused": 5, "without_contact": 1, "identifiers": 13,
    }  # fmt: skip
    assert (record["reach"], record["expected_match_rate"], record["expected_matches"]) == (0.7, 0.35, 6)
    assert (record["currency"], record["sha256"]) == (None, hashlib.sha256(content).hexdigest())
    path = write_audit(record, tmp_path / "exports")
    assert json.loads(path.read_text()) == record
    assert "shop.example" not in path.read_text()


def test_pseudonyms_as_parquet(audience: Path, crm: Path, tmp_path: Path) -> None:
    pd.read_csv(crm, dtype=str)[["user_id", "consent"]].to_parquet(tmp_path / "consent.parquet")
    request = Request("segment-2", "pseudonym", "google", str(tmp_path / "consent.parquet"))
    (tmp_path / "out.parquet").write_bytes(render(request, export(request, audience), ".parquet"))
    expected = sorted(pseudonymise(user, KEY) for i, user in enumerate(USERS) if i >= 20 and i % 4 != 3)
    assert pq.read_table(tmp_path / "out.parquet").to_pydict() == {"user_id": expected}


def test_fewer_than_k_are_not_exported(tmp_path: Path, crm: Path) -> None:
    write_audience(tmp_path / "small", PUBLISHED_KEY, USERS[:12])
    with pytest.raises(DataError, match=r"^segment-1: 5 identifiers of 5 consenting users, expected at least 10, the"):
        export(Request("segment-1", "pseudonym", "google", str(crm)), tmp_path / "small")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"segment": "loyal"}, r"^SEGMENT 'loyal': no published segment; expected one of segment-1, segment-2$"),
        ({"identifier": "phone"}, r"^--identifier phone: no contacts; name a table of them by --contacts$"),
        ({"identifier": "phone", "contacts": "crm.csv"}, r"crm.csv: no column phone; it has user_id, email, consent$"),
        ({"consent": "folder"}, r"^folder: no .csv or .parquet file; expected a table of user_id and consent$"),
        ({"consent": "broken.parquet"}, r"broken.parquet: not readable: "),
        ({"consent": "none.csv"}, r"^none.csv: no such file or folder in "),
    ],
)
def test_a_mistake_is_one_line(
    audience: Path, crm: Path, changes: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(crm.parent)
    Path("folder").mkdir()
    Path("folder/readme.txt").touch()
    Path("broken.parquet").write_bytes(b"PAR1")
    request = {"segment": "segment-1", "identifier": "pseudonym", "platform": "google", "consent": "crm.csv"}
    with pytest.raises((ConfigError, DataError), match=message):
        export(Request(**{**request, **changes}), audience)  # type: ignore[arg-type]


def test_another_key_or_format_is_refused(audience: Path, crm: Path) -> None:
    request = Request("segment-1", "pseudonym", "google", str(crm))
    with pytest.raises(ConfigError, match=r"^users are under the key [0-9a-f]{16}, ADLOOM_PSEUDONYM_KEY is none; set "):
        export(request, audience, None)
    with pytest.raises(ConfigError, match=r"^OUT: a file of .xlsx, expected .csv or .parquet$"):
        render(request, export(request, audience), ".xlsx")
