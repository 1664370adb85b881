"""The champions at work: segments for the users and categories for the pictures of new tables."""

from kfp import dsl

from adloom.kubeflow.client.base import DEFAULT_REASON
from components.finish import finish
from components.score import score
from components.snapshot import snapshot
from pipelines._cluster import allow_artifact_access, context, never_cached, retried
from pipelines._tables import prepared


@dsl.pipeline(name="scoring", description="Segments and categories for new tables, by the champions.")
def scoring(
    project: str,
    sources: str,
    ingest_creatives: str,
    ingest_events: str,
    prepare_creatives: str,
    prepare_events: str,
    score_params: str,
    reason: str = DEFAULT_REASON,
) -> None:
    """Parameters are JSON, as in the training pipeline; a table without a source is not scored."""
    end = finish(project=project)
    retried(never_cached(context(end, "mlflow", "webhook", "kfp"))).set_display_name("finish")
    with dsl.ExitHandler(end, name="score"):
        seen = snapshot(
            project=project,
            creatives=ingest_creatives,
            copy="{}",
            events=ingest_events,
            impressions="{}",
            prepare=prepare_events,
            expected=sources,
            reason=reason,
        )
        retried(never_cached(allow_artifact_access(seen))).set_display_name("look at the sources")

        creatives = prepared("creatives", project, seen, ingest_creatives, prepare_creatives)
        events = prepared("events", project, seen, ingest_events, prepare_events)
        scored = score(project=project, params=score_params, creatives=creatives, events=events)
        retried(never_cached(context(scored, "s3", "mlflow")))
