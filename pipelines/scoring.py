"""The scoring pipeline: the champions assign segments and categories in new tables, which are searched for drift."""

from kfp import dsl

from adloom.kubeflow.client.base import DEFAULT_REASON
from adloom.kubeflow.compiled_pipelines import PIPELINE_TABLES
from components.drift import drift
from components.finish import finish
from components.score import score
from components.snapshot import snapshot
from pipelines._cluster import add_retries, add_settings, allow_artifact_access, disable_caching
from pipelines._tables import prepare_tables


@dsl.pipeline(
    name="scoring", description="Segments and categories for new tables, by the champions, and alarms of drift."
)
def scoring(
    project: str,
    sources: str,
    ingest_creatives: str,
    ingest_events: str,
    ingest_impressions: str,
    prepare_creatives: str,
    prepare_events: str,
    prepare_impressions: str,
    score_params: str,
    drift_params: str,
    reason: str = DEFAULT_REASON,
) -> None:
    """Parameters are JSON, as in the training pipeline; a table without a source is not scored."""
    arguments = dict(locals())
    end = finish(project=project)
    add_retries(disable_caching(add_settings(end, "mlflow", "webhook", "kfp"))).set_display_name("finish")
    with dsl.ExitHandler(end, name="score"):
        sources_task = snapshot(
            project=project,
            creatives=ingest_creatives,
            copy="{}",
            events=ingest_events,
            impressions=ingest_impressions,
            tunes="{}",
            prepare=prepare_events,
            expected=sources,
            reason=reason,
        )
        add_retries(disable_caching(allow_artifact_access(sources_task))).set_display_name("look at the sources")

        tables = prepare_tables(PIPELINE_TABLES["scoring"], project, sources_task, arguments)
        scored = score(project=project, params=score_params, creatives=tables["creatives"], events=tables["events"])
        add_retries(disable_caching(add_settings(scored, "s3", "mlflow")))
        compared = drift(project=project, params=drift_params, **tables)
        add_retries(disable_caching(add_settings(compared, "s3", "mlflow", "trigger")))
