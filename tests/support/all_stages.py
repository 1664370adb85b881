"""All stages in this process, as `adloom run` calls them, without DVC and registry."""

from adloom.config.models import MODELS, ModelSpec
from adloom.config.params import Params
from adloom.context import StageContext
from adloom.stages import runner, sources_lock

STAGES = [
    *("ingest", "prepare", "train-gan", "train-cnn", "train-lstm", "train-style", "train-music", "segment"),
    *("recommend", "train-policy"),
]


def run_all(params: Params, context: StageContext) -> None:
    """Run every stage with its default paths in the working folder."""
    sources_lock.save(sources_lock.scan(params, context), sources_lock.LOCK)
    for stage in STAGES:
        runner.run_from_params(stage, {}, params, context)
    for spec in MODELS.values():
        runner.run_from_params("evaluate", _paths(spec), params, context)
    runner.run_from_params("report", {}, params, context)


def _paths(spec: ModelSpec) -> dict[str, str]:
    paths = {"model": f"models/{spec.name}", "table": f"data/dataset/{spec.table}", "report": f"reports/{spec.name}"}
    return paths | ({"judge": f"models/{spec.judge}"} if spec.judge else {})
