"""Compiled pipelines are read, and their stages get the image and resources of the parameters."""

from pathlib import Path

import pytest

from adloom.config.resources import Pipeline
from adloom.errors import ConfigError
from adloom.kubeflow.compiled_pipelines import load_pipeline, read_pipeline, stage_name

FOLDER = Path(__file__).parents[3] / "pipelines" / "compiled"


@pytest.mark.parametrize(
    ("label", "stage"), [("exec-train-gan", "train_gan"), ("exec-evaluate-2", "evaluate"), ("exec-score", "score")]
)
def test_an_executor_names_its_stage(label: str, stage: str) -> None:
    assert stage_name(label) == stage


@pytest.mark.parametrize("text", ["a: [", "a: 1", "a: 1\n---\nb: 2\n", ""])
def test_a_file_that_is_no_pipeline_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "training.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=str(tmp_path / "training.yaml")):
        load_pipeline("training", tmp_path)


def test_a_missing_file_and_an_unknown_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="adloom init"):
        read_pipeline(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="training, scoring"):
        load_pipeline("demo")


@pytest.mark.slow
def test_a_copy_has_the_image_and_the_original_stays() -> None:
    original = load_pipeline("training", FOLDER)
    before = original.digest()
    image = "registry.example/adloom@sha256:" + "0" * 64
    configured = original.with_resources(Pipeline(image=image), distributed={"train_gan"})
    containers = {
        label: executor["container"] for label, executor in configured.pipeline["deploymentSpec"]["executors"].items()
    }
    assert {container["image"] for container in containers.values()} == {image}
    variables = {each["name"] for each in containers["exec-train-gan"]["env"]}
    assert variables == {"ADLOOM_IMAGE_DIGEST", "ADLOOM_IMAGE", "ADLOOM_PLACE"}
    assert original.digest() == before
