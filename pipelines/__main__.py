"""Compile the pipelines into pipelines/compiled, with the pod resources of params.yaml."""

from pathlib import Path
from tempfile import TemporaryDirectory

from kfp.compiler import Compiler

from adloom.config import params
from adloom.kubeflow.compiled_pipelines import read_pipeline
from pipelines.scoring import scoring
from pipelines.training import training
from pipelines.tuning import tuning

ROOT = Path(__file__).parents[1]


def compile_pipelines() -> dict[str, str]:
    """Return {pipeline: YAML}."""
    texts = {}
    with TemporaryDirectory() as folder:
        for name, pipeline in {"training": training, "scoring": scoring, "tuning": tuning}.items():
            path = Path(folder) / f"{name}.yaml"
            Compiler().compile(pipeline, str(path))
            texts[name] = read_pipeline(path).with_resources(params.load(ROOT / "params.yaml").pipeline).to_yaml()
    return texts


if __name__ == "__main__":
    for name, text in compile_pipelines().items():
        (ROOT / "pipelines" / "compiled" / f"{name}.yaml").write_text(text, encoding="utf-8")
