"""
The training pipeline, from sources to registered models. It has the stages and edges of dvc.yaml; a test compares them.

Some tasks run several stages, because every task adds about 50 kB to the run's object in Kubernetes, and the server
reads at most 1 MB of it.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from kfp import dsl
from kfp.dsl.pipeline_channel import PipelineChannel

from adloom.config.models import MODELS, ModelSpec
from adloom.config.params import TABLES, stage_class
from adloom.config.pod_env import TRAINING_SERVICES
from adloom.config.training import Training
from adloom.kubeflow.client.base import DEFAULT_REASON
from components.evaluate import evaluate
from components.finish import finish
from components.register import register
from components.snapshot import snapshot
from pipelines._cluster import add_retries, add_settings, allow_artifact_access, disable_caching
from pipelines._tables import prepare_tables


def train(
    spec: ModelSpec, available: Mapping[str, PipelineChannel], arguments: Mapping[str, Any]
) -> dict[str, PipelineChannel]:
    """Add the task that trains a model from its tables and models; return its models."""
    component = getattr(import_module(f"components.{spec.task}"), spec.task)
    values = {**arguments, "params": arguments[f"{spec.stage}_params"], **available}
    inputs = {name: values[name] for name in component.component_spec.inputs}
    keyed = ("pseudonyms",) if spec.task == "segment" else ()  # the noise of segment.privacy.epsilon
    task = add_settings(component(**inputs), *TRAINING_SERVICES, *keyed)
    resumes = issubclass(stage_class(spec.stage), Training)  # from its checkpoint
    outputs = (add_retries(task) if resumes else task).outputs
    return {name: outputs[name] for name in outputs if name in MODELS}


@dsl.pipeline(name="training", description="From an advertiser's sources to registered models.")
def training(
    project: str,
    sources: str,
    ingest_creatives: str,
    ingest_copy: str,
    ingest_events: str,
    ingest_impressions: str,
    ingest_tunes: str,
    prepare_creatives: str,
    prepare_copy: str,
    prepare_events: str,
    prepare_impressions: str,
    prepare_tunes: str,
    train_gan_params: str,
    train_cnn_params: str,
    train_lstm_params: str,
    train_style_params: str,
    train_music_params: str,
    segment_params: str,
    recommend_params: str,
    train_policy_params: str,
    evaluate_params: str,
    report_params: str,
    params: str,
    reason: str = DEFAULT_REASON,
) -> None:
    """
    Parameters are JSON: each stage's block of params.yaml, one table's for ingest and prepare; `params` is all of it.
    `sources` has the expected digests; an empty value accepts any sources. `reason` becomes a tag in MLflow.
    """
    arguments = dict(locals())
    end = finish(project=project)
    add_retries(disable_caching(add_settings(end, "mlflow", "webhook", "kfp", "s3", "checkpoints"))).set_display_name(
        "finish"
    )
    with dsl.ExitHandler(end, name="train"):
        sources_task = snapshot(
            project=project,
            creatives=ingest_creatives,
            copy=ingest_copy,
            events=ingest_events,
            impressions=ingest_impressions,
            tunes=ingest_tunes,
            prepare=prepare_events,
            expected=sources,
            reason=reason,
        )
        add_retries(disable_caching(allow_artifact_access(sources_task))).set_display_name("look at the sources")

        tables = prepare_tables(TABLES, project, sources_task, arguments)
        champion = {"champion": sources_task.outputs["champion"]}
        models: dict[str, PipelineChannel] = {}
        for name, spec in MODELS.items():
            if name not in models:
                models |= train(spec, tables | models | champion, arguments)

        evaluation = evaluate(project=project, params=evaluate_params, report_params=report_params, **tables, **models)
        verdicts = register(
            project=project,
            params=params,
            sources=sources_task.outputs["sources"],
            **tables,
            **models,
            reports=add_settings(evaluation, "s3", "checkpoints").outputs["reports"],
        )
        add_retries(disable_caching(add_settings(verdicts, "s3", "dvc", "mlflow")))
