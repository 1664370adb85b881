"""
From sources to registered models. The same stages, edges and parameters as dvc.yaml; a test compares them.

A task may call several stages: every task that runs adds some 50 kB to the run's object in Kubernetes, of which the
server reads 1 MB.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from kfp import dsl
from kfp.dsl.pipeline_channel import PipelineChannel

from adloom.config.models import MODELS, ModelSpec
from adloom.config.params import TABLES, Training, stage_class
from adloom.config.pod_env import TRAINING_SERVICES
from adloom.kubeflow.client.base import DEFAULT_REASON
from components.evaluate import evaluate
from components.finish import finish
from components.register import register
from components.snapshot import snapshot
from pipelines._cluster import allow_artifact_access, context, never_cached, retried
from pipelines._tables import prepared


def train(spec: ModelSpec, params: PipelineChannel, available: Mapping[str, PipelineChannel], project: str) -> Any:
    """Start the task that trains a model from the tables and models it takes; return the model."""
    component = getattr(import_module(f"components.{spec.stage}"), spec.stage)
    inputs = {name: available[name] for name in component.component_spec.inputs if name in available}
    task = context(component(project=project, params=params, **inputs), *TRAINING_SERVICES)
    resumes = issubclass(stage_class(spec.stage), Training)  # from its checkpoint
    return (retried(task) if resumes else task).outputs[spec.name]


@dsl.pipeline(name="training", description="From an advertiser's sources to registered models.")
def training(
    project: str,
    sources: str,
    ingest_creatives: str,
    ingest_copy: str,
    ingest_events: str,
    ingest_impressions: str,
    prepare_creatives: str,
    prepare_copy: str,
    prepare_events: str,
    prepare_impressions: str,
    train_gan_params: str,
    train_cnn_params: str,
    train_lstm_params: str,
    segment_params: str,
    train_policy_params: str,
    evaluate_params: str,
    report_params: str,
    params: str,
    reason: str = DEFAULT_REASON,
) -> None:
    """
    Parameters are JSON: each stage's block of params.yaml, for ingest and prepare that of one table; `params` is all of
    params.yaml, for the record. `sources` holds the digests the run is started for; when it is empty, the run takes the
    sources as it finds them. `reason` becomes a tag of the run in MLflow.
    """
    arguments = dict(locals())
    end = finish(project=project)
    retried(never_cached(context(end, "mlflow", "webhook", "kfp", "s3", "checkpoints"))).set_display_name("finish")
    with dsl.ExitHandler(end, name="train"):
        seen = snapshot(
            project=project,
            creatives=ingest_creatives,
            copy=ingest_copy,
            events=ingest_events,
            impressions=ingest_impressions,
            prepare=prepare_events,
            expected=sources,
            reason=reason,
        )
        retried(never_cached(allow_artifact_access(seen))).set_display_name("look at the sources")

        tables = {
            table: prepared(table, project, seen, arguments[f"ingest_{table}"], arguments[f"prepare_{table}"])
            for table in TABLES
        }
        models: dict[str, PipelineChannel] = {}
        for name, spec in MODELS.items():
            models[name] = train(spec, arguments[f"{spec.stage}_params"], tables | models, project)

        found = evaluate(project=project, params=evaluate_params, report_params=report_params, **tables, **models)
        verdicts = register(
            project=project,
            params=params,
            sources=seen.outputs["sources"],
            **tables,
            **models,
            reports=context(found, "s3", "checkpoints").outputs["reports"],
        )
        retried(never_cached(context(verdicts, "s3", "dvc", "mlflow")))
