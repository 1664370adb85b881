"""The keys of the ConfigMap and the Secret are settings that adloom or a library reads."""

from itertools import chain

from pydantic import AliasChoices

from adloom.config.pod_env import CONFIG_MAP_KEYS, SECRET_KEYS, TRAINING_SERVICES
from adloom.config.settings import Settings

READ_BY_LIBRARIES = {
    *("AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    *("MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"),
}


def test_each_key_is_read() -> None:
    read = {f"ADLOOM_{name.upper()}" for name in Settings.model_fields}
    for field in Settings.model_fields.values():
        if isinstance(field.validation_alias, AliasChoices):
            read |= {str(choice) for choice in field.validation_alias.choices}
    keys = set(chain.from_iterable([*CONFIG_MAP_KEYS.values(), *SECRET_KEYS.values()]))
    assert keys <= read | READ_BY_LIBRARIES


def test_training_services_have_keys() -> None:
    assert set(TRAINING_SERVICES) <= CONFIG_MAP_KEYS.keys() | SECRET_KEYS.keys()
