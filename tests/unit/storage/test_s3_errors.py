"""Faults of S3: how long they may take, and who is said to mend them."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError

from adloom.errors import ConfigError
from adloom.storage.s3 import S3Store
from adloom.storage.s3_errors import Patience, translate_errors

NOWHERE = "http://127.0.0.1:9"


@dataclass
class Clock:
    """Seconds that pass only when something takes them."""

    now: float = 0

    def take(self, seconds: float) -> None:
        self.now += seconds

    def patience(self) -> Patience:
        return Patience(clock=lambda: self.now, sleep=self.take)


@pytest.mark.parametrize(("addresses", "tries"), [(1, 3), (2, 3), (3, 1), (8, 1)])
def test_a_host_of_several_dead_addresses_is_given_up_within_half_a_minute(addresses: int, tries: int) -> None:
    clock, tried = Clock(), []

    def connect() -> None:
        tried.append(clock.now)
        clock.take(addresses * clock.patience().connection)  # each address is waited for
        raise ConnectTimeoutError(endpoint_url=NOWHERE)

    with pytest.raises(ConnectTimeoutError):
        clock.patience().tried(connect)
    assert len(tried) == tries
    assert clock.now < 30


def test_a_long_transfer_that_breaks_off_is_tried_again() -> None:
    clock, tried = Clock(), []

    def transfer() -> str:
        tried.append(clock.now)
        clock.take(600)
        if len(tried) == 1:
            raise ReadTimeoutError(endpoint_url=NOWHERE)
        return "whole"

    assert clock.patience().tried(transfer) == "whole"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("AuthorizationHeaderMalformed", "it expects another region; set AWS_DEFAULT_REGION"),
        ("RequestTimeTooSkewed", "this machine's clock is wrong; set it"),
    ],
)
def test_a_refusal_that_is_not_about_keys_says_what_to_mend(code: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said), translate_errors("s3://shop/a", NOWHERE):
        raise ClientError({"Error": {"Code": code}}, "PutObject")


def test_a_profile_that_has_to_log_in_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = "[profile work]\nsso_start_url = https://a.invalid/start\nsso_region = us-east-1\n"
    (tmp_path / "config").write_text(config + "sso_account_id = 123456789012\nsso_role_name = reader\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "work")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match="no credentials: .*; check AWS_PROFILE, or log in to it again") as caught:
        S3Store(NOWHERE, progress=False).list("s3://shop/a")
    assert "\n" not in str(caught.value)
