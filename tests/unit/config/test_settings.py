"""Settings come from the environment, when they are read."""

import pytest

from adloom.config.settings import KERNEL_VARIABLES, Settings, read_kernel_variables


def test_variables_have_the_prefix_or_the_name_that_others_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADLOOM_LOG_FLUSH_MS", "250")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://s3:9000")
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", "http://second")
    monkeypatch.setenv("ADLOOM_KFP_ENDPOINT", "http://first")
    settings = Settings()
    assert settings.log_flush_ms == 250
    assert settings.s3_endpoint == "http://s3:9000"
    assert settings.kfp_endpoint == "http://first"


def test_secrets_are_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADLOOM_PSEUDONYM_KEY", "0123456789abcdef")
    assert "0123456789abcdef" not in repr(Settings())


def test_kernel_variables_that_are_set_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KERNEL_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    monkeypatch.setenv("OPENBLAS_CORETYPE", "")
    assert read_kernel_variables() == {"MKL_CBWR": "COMPATIBLE"}
