"""
From sources to registered models. The same stages, edges and parameters as dvc.yaml; a test compares them.

A task may call several stages: every task that runs adds some 50 kB to the run's object in Kubernetes, of which the
server reads 1 MB.
"""

from kfp import dsl
from kfp.dsl.pipeline_channel import PipelineChannel

from adloom.config.pod_env import TRAINING_SERVICES
from adloom.kubeflow.client.base import STARTED
from components.evaluate import evaluate
from components.finish import finish
from components.register import register
from components.segment import segment
from components.snapshot import snapshot
from components.train_cnn import train_cnn
from components.train_gan import train_gan
from components.train_lstm import train_lstm
from components.train_policy import train_policy
from pipelines._cluster import allow_artifact_access, context, never_cached, retried
from pipelines._tables import prepared


def trained(task: dsl.PipelineTask, model: str) -> PipelineChannel:
    """Let a training tell MLflow about itself and keep its checkpoint, from which it goes on; return its model."""
    return retried(context(task, *TRAINING_SERVICES)).outputs[model]


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
    reason: str = STARTED,
) -> None:
    """
    Parameters are JSON: each stage's block of params.yaml, for ingest and prepare that of one table; `params` is all of
    params.yaml, for the record. `sources` holds the digests the run is started for; when it is empty, the run takes the
    sources as it finds them. `reason` becomes a tag of the run in MLflow.
    """
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

        creatives = prepared("creatives", project, seen, ingest_creatives, prepare_creatives)
        copy = prepared("copy", project, seen, ingest_copy, prepare_copy)
        events = prepared("events", project, seen, ingest_events, prepare_events)
        impressions = prepared("impressions", project, seen, ingest_impressions, prepare_impressions)
        tables = {"creatives": creatives, "copy": copy, "events": events, "impressions": impressions}

        gan = trained(train_gan(project=project, params=train_gan_params, creatives=creatives), "gan")
        cnn = trained(train_cnn(project=project, params=train_cnn_params, creatives=creatives), "cnn")
        lstm = trained(train_lstm(project=project, params=train_lstm_params, copy=copy), "lstm")
        segments = segment(project=project, params=segment_params, events=events)
        audience = context(segments, *TRAINING_SERVICES).outputs["audience"]
        deciding = train_policy(
            project=project,
            params=train_policy_params,
            impressions=impressions,
            audience=audience,
            creatives=creatives,
            cnn=cnn,
        )
        policy = context(deciding, *TRAINING_SERVICES).outputs["policy"]

        models = {"gan": gan, "cnn": cnn, "lstm": lstm, "audience": audience, "policy": policy}

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
