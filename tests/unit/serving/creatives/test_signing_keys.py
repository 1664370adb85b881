"""The signing key: configured by paths, or made once and kept private."""

import logging
from pathlib import Path

import pytest
from tests.support.signed_pictures import KEY, OTHER_KEY

from adloom.config.settings import Settings
from adloom.credentials.keys import to_pem
from adloom.errors import ConfigError
from adloom.serving.creatives.signing_keys import open_signing_key


@pytest.fixture
def pem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.write_bytes(to_pem(KEY.chain))
    key.write_bytes(KEY.key_pem)
    key.chmod(0o600)
    monkeypatch.setenv("ADLOOM_CREDENTIALS_CERTIFICATE", str(certificate))
    monkeypatch.setenv("ADLOOM_CREDENTIALS_KEY", str(key))
    return certificate, key


def test_the_configured_key_signs(pem: tuple[Path, Path]) -> None:
    pem[1].chmod(0o440)  # as Kubernetes mounts a Secret
    assert open_signing_key(Settings()).chain == KEY.chain


def test_a_local_key_is_made_once_with_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = open_signing_key(Settings(home=tmp_path))
    assert open_signing_key(Settings(home=tmp_path)).chain == first.chain
    assert (tmp_path / "credentials" / "key.pem").stat().st_mode & 0o777 == 0o600
    (warning,) = (record for record in caplog.records if record.levelno >= logging.WARNING)
    assert "nobody else trusts" in warning.getMessage()
    assert "ADLOOM_CREDENTIALS_CERTIFICATE" in warning.getMessage()


@pytest.mark.parametrize("mode", [0o604, 0o666, 0o647])
def test_a_key_that_anyone_may_read_is_refused(pem: tuple[Path, Path], mode: int) -> None:
    pem[1].chmod(mode)
    with pytest.raises(ConfigError, match=rf"ADLOOM_CREDENTIALS_KEY=.*mode {mode:04o}.*`chmod 600 .*key.pem`"):
        open_signing_key(Settings())


def test_broken_files_are_named(pem: tuple[Path, Path]) -> None:
    pem[1].write_bytes(OTHER_KEY.key_pem)
    with pytest.raises(ConfigError, match=r"ADLOOM_CREDENTIALS_CERTIFICATE=.*: the key belongs to another certificate"):
        open_signing_key(Settings())
    pem[0].unlink()
    with pytest.raises(ConfigError, match=r"certificate.pem, ADLOOM_CREDENTIALS_KEY=.*: No such file or directory"):
        open_signing_key(Settings())


@pytest.mark.parametrize(("given", "missing"), [("CERTIFICATE", "KEY"), ("KEY", "CERTIFICATE")])
def test_one_variable_of_two_is_not_enough(
    pem: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, given: str, missing: str
) -> None:
    monkeypatch.delenv(f"ADLOOM_CREDENTIALS_{missing}")
    with pytest.raises(ConfigError, match=f"ADLOOM_CREDENTIALS_{given} is set and ADLOOM_CREDENTIALS_{missing} is not"):
        open_signing_key(Settings())


def test_a_home_that_cannot_be_written_says_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"no key can be made here: .*; set ADLOOM_CREDENTIALS_CERTIFICATE"):
        open_signing_key(Settings(home=tmp_path / "file"))
