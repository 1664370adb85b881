"""MLmodel: every model has a signature and an input example that MLflow reads."""

from pathlib import Path

import pytest
from tests.support.tiny_models import write_models

from adloom.config.models import MODELS
from adloom.registry import mlmodel


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"), b"k" * 32)


@pytest.mark.parametrize("name", MODELS)
def test_mlflow_reads_signature_and_example(name: str, models: Path, tmp_path: Path) -> None:
    from mlflow.models import Model

    mlmodel.write(name, models / name, tmp_path / name, "a run")
    written = Model.load(str(tmp_path / name))
    assert {path.name for path in (models / name).iterdir()} < {path.name for path in (tmp_path / name).iterdir()}
    assert written.signature
    example = written.load_input_example(str(tmp_path / name))
    assert set(written.signature.inputs.input_names()) == set(example)
    assert ("onnx" in written.flavors) == (MODELS[name].signature is None)


def test_columns_that_may_be_null_are_optional(models: Path, tmp_path: Path) -> None:
    from mlflow.models import Model

    mlmodel.write("policy", models / "policy", tmp_path / "policy", "a run")
    signature = Model.load(str(tmp_path / "policy")).signature
    assert [column.name for column in signature.inputs if column.required] == ["creative_id"]
    assert signature.outputs.input_names() == ["probability"]
