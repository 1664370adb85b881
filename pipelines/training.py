"""From sources to registered models. The same stages, edges and parameters as dvc.yaml; a test compares them."""

from kfp import dsl
from kfp.dsl.pipeline_channel import PipelineChannel

from adloom.doors import TRAINING
from adloom.io.kubeflow import STARTED
from components.evaluate import evaluate
from components.finish import finish
from components.push_dataset import push_dataset
from components.register import register
from components.report import report
from components.segment import segment
from components.snapshot import snapshot
from components.train_cnn import train_cnn
from components.train_gan import train_gan
from components.train_lstm import train_lstm
from components.train_policy import train_policy
from pipelines._cluster import labelled, never_cached, outside, retried
from pipelines._tables import prepared


def trained(task: dsl.PipelineTask, model: str) -> PipelineChannel:
    """Let a training tell MLflow about itself and keep its checkpoint, from which it goes on; return its model."""
    return retried(outside(task, *TRAINING)).outputs[model]


def measured(
    name: str,
    model: PipelineChannel,
    table: PipelineChannel,
    judge: PipelineChannel,
    project: str,
    params: str,
) -> PipelineChannel:
    """Evaluate a model; return its report."""
    task = evaluate(project=project, params=params, model=model, table=table, judge=judge)
    return labelled(task).set_display_name(f"evaluate {name}").outputs["report"]


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
    retried(never_cached(outside(end, "mlflow", "webhook", "kfp", "s3", "checkpoints"))).set_display_name("finish")
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
        retried(never_cached(outside(seen, "s3", "mlflow", "pseudonyms"))).set_display_name("look at the sources")

        creatives = prepared("creatives", project, seen, ingest_creatives, prepare_creatives).outputs["rows"]
        copy = prepared("copy", project, seen, ingest_copy, prepare_copy).outputs["rows"]
        events = prepared("events", project, seen, ingest_events, prepare_events).outputs["rows"]
        impressions = prepared("impressions", project, seen, ingest_impressions, prepare_impressions).outputs["rows"]
        tables = {"creatives": creatives, "copy": copy, "events": events, "impressions": impressions}

        kept = push_dataset(project=project, **tables)
        retried(never_cached(outside(kept, "s3", "dvc"))).set_display_name("keep the dataset")

        gan = trained(train_gan(project=project, params=train_gan_params, creatives=creatives), "gan")
        cnn = trained(train_cnn(project=project, params=train_cnn_params, creatives=creatives), "cnn")
        lstm = trained(train_lstm(project=project, params=train_lstm_params, copy=copy), "lstm")
        segments = segment(project=project, params=segment_params, events=events)
        audience = outside(segments, "s3", "mlflow").outputs["audience"]
        deciding = train_policy(
            project=project,
            params=train_policy_params,
            impressions=impressions,
            audience=audience,
            creatives=creatives,
            cnn=cnn,
        )
        policy = outside(deciding, "s3", "mlflow").outputs["policy"]

        gan_report = measured("gan", gan, creatives, cnn, project, evaluate_params)
        cnn_report = measured("cnn", cnn, creatives, cnn, project, evaluate_params)
        lstm_report = measured("lstm", lstm, copy, lstm, project, evaluate_params)
        audience_report = measured("audience", audience, events, audience, project, evaluate_params)
        policy_report = measured("policy", policy, impressions, audience, project, evaluate_params)

        page = report(
            project=project,
            params=report_params,
            **tables,
            gan=gan_report,
            cnn=cnn_report,
            lstm=lstm_report,
            audience=audience_report,
            policy=policy_report,
        )
        verdicts = register(
            project=project,
            params=params,
            sources=seen.outputs["sources"],
            dataset=kept.output,
            **tables,
            gan=gan,
            cnn=cnn,
            lstm=lstm,
            audience=audience,
            policy=policy,
            gan_report=gan_report,
            cnn_report=cnn_report,
            lstm_report=lstm_report,
            audience_report=audience_report,
            policy_report=policy_report,
            report=labelled(page).outputs["report"],
        )
        retried(never_cached(outside(verdicts, "s3", "mlflow")))
