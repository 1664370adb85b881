"""The task that prepares a table; each table has its own, so new rows of one keep the others cached."""

from kfp.dsl import PipelineTask
from kfp.dsl.pipeline_channel import PipelineChannel

from components.prepare import prepare
from pipelines._cluster import add_retries, add_settings

OF_USERS = ("events", "impressions")  # tables with users, which need the pseudonym key and the erasure list


def prepare_table(
    table: str, project: str, sources: PipelineTask, ingest_params: str, prepare_params: str
) -> PipelineChannel:
    """Ingest and prepare a table; return its rows."""
    task = prepare(
        project=project,
        table=table,
        ingest_params=ingest_params,
        params=prepare_params,
        source=sources.outputs[table],
        privacy=sources.outputs["privacy"] if table in OF_USERS else "",
    )
    private = ("pseudonyms",) if table in OF_USERS else ("library",) if table == "creatives" else ()
    return (
        add_retries(add_settings(task, "s3", "checkpoints", *private))
        .set_display_name(f"prepare {table}")
        .outputs["rows"]
    )
