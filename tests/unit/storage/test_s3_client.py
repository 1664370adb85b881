"""The S3 client without a server: addresses, and errors of its configuration."""

from pathlib import Path

import pytest

from adloom.errors import ConfigError
from adloom.storage.s3_client import Address, S3Client, parse_address

NOWHERE = "http://127.0.0.1:9"


def test_addresses() -> None:
    assert parse_address("s3://bucket/a/b/") == Address("bucket", "a/b")
    assert parse_address("s3://bucket").join("x") == "x"
    assert parse_address("s3://bucket/a").join("x") == "a/x"
    assert parse_address("s3://bucket//a//b//") == Address("bucket", "/a//b")
    with pytest.raises(ConfigError, match=r"s3:///a: no bucket; expected s3://bucket/prefix"):
        parse_address("s3:///a")


@pytest.mark.slow
def test_a_profile_without_a_login_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = "[profile work]\nsso_start_url = https://a.invalid/start\nsso_region = us-east-1\n"
    (tmp_path / "config").write_text(config + "sso_account_id = 123456789012\nsso_role_name = reader\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "work")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    client = S3Client(NOWHERE)
    with pytest.raises(ConfigError, match="no credentials: .*AWS_PROFILE") as caught, client.translate_errors("s3://a"):
        client.list("a", "")
    assert "\n" not in str(caught.value)
