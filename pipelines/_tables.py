"""From a source to a prepared table, in one task. New rows of one table leave the tasks of the others cached."""

from kfp.dsl import PipelineTask
from kfp.dsl.pipeline_channel import PipelineChannel

from components.prepare import prepare
from pipelines._cluster import context, retried

OF_USERS = ("events", "impressions")  # the tables that the pseudonym key and the erasure list concern


def prepared(
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
    doors = ("s3", "checkpoints", "pseudonyms") if table in OF_USERS else ("s3", "checkpoints")
    return retried(context(task, *doors)).set_display_name(f"prepare {table}").outputs["rows"]
