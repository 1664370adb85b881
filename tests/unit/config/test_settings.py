"""Settings come from the environment, when they are read."""

import os

import pytest
from pydantic import AliasChoices

from adloom.config.settings import KERNEL_VARIABLES, Settings, read_kernel_variables
from adloom.errors import ConfigError


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


@pytest.mark.parametrize("value", ["woodpecker", "true", "1", "gitlab-ci"])
def test_any_value_of_ci_is_quiet(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.delenv("ADLOOM_QUIET", raising=False)
    monkeypatch.setenv("CI", value)
    assert (Settings().ci, Settings().quiet) == (True, True)
    monkeypatch.setenv("ADLOOM_QUIET", "0")
    assert (Settings().ci, Settings().quiet) == (True, False)


@pytest.mark.parametrize("value", ["", " ", "false", "0", "No"])
def test_an_empty_or_negative_ci_is_no_ci(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CI", value)
    monkeypatch.setenv("ADLOOM_QUIET", "")
    assert (Settings().ci, Settings().quiet) == (False, False)


def test_every_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {
        f"ADLOOM_{name.upper()}" if info.validation_alias is None else str(info.validation_alias.choices[0])
        for name, info in Settings.model_fields.items()
        if info.validation_alias is None or isinstance(info.validation_alias, AliasChoices)
    }
    for name in (*names, "AWS_PROFILE", "AWS_REGION", "MLFLOW_TRACKING_TOKEN", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "")
    defaults = {name: info.default for name, info in Settings.model_fields.items()}
    assert Settings().model_dump() == defaults
    assert not {*names, "AWS_PROFILE", "AWS_REGION", "MLFLOW_TRACKING_TOKEN", "HTTPS_PROXY"} & {*os.environ}


def test_an_empty_variable_does_not_hide_the_second_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADLOOM_KFP_ENDPOINT", "")
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", "http://second")
    assert Settings().kfp_endpoint == "http://second"


def test_no_visible_device_stays_no_visible_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    Settings()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_invalid_variables_are_named_in_one_line_without_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADLOOM_LOG_DISK_MB", "sentinel")
    monkeypatch.setenv("WORLD_SIZE", "0")
    with pytest.raises(ConfigError, match=r"WORLD_SIZE: .*; ADLOOM_LOG_DISK_MB: .*; correct or unset it") as caught:
        Settings()
    assert "sentinel" not in str(caught.value)
