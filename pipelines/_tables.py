"""The tasks that prepare tables; each table has its own, so new rows of one keep the others cached."""

from collections.abc import Iterable, Mapping

from kfp.dsl import PipelineTask
from kfp.dsl.pipeline_channel import PipelineChannel

from components.prepare import prepare
from pipelines._cluster import add_retries, add_settings

OF_USERS = ("events", "impressions")  # tables with users, which need the pseudonym key and the erasure list


def prepare_tables(
    tables: Iterable[str], project: str, sources: PipelineTask, arguments: Mapping[str, str]
) -> dict[str, PipelineChannel]:
    """Ingest and prepare tables by the pipeline's arguments ingest_<table> and prepare_<table>; return their rows."""
    return {
        table: _prepare_table(table, project, sources, arguments[f"ingest_{table}"], arguments[f"prepare_{table}"])
        for table in tables
    }


def _prepare_table(
    table: str, project: str, sources: PipelineTask, ingest_params: str, prepare_params: str
) -> PipelineChannel:
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
