"""From a source to a prepared table. Each table has a lane of its own: new rows of one leave the others be."""

from kfp.dsl import PipelineTask

from components.ingest import ingest
from components.prepare import prepare
from pipelines._cluster import outside, retried

OF_USERS = ("events", "impressions")  # the tables that the pseudonym key and the erasure list concern


def prepared(table: str, project: str, sources: PipelineTask, ingest_params: str, prepare_params: str) -> PipelineTask:
    """Ingest a table, then prepare it; its rows are `.outputs["rows"]`."""
    raw = ingest(project=project, table=table, params=ingest_params, digest=sources.outputs[table])
    rows = prepare(
        project=project,
        table=table,
        params=prepare_params,
        digest=sources.outputs["privacy"] if table in OF_USERS else "",
        raw=raw.outputs["rows"],
    )
    retried(outside(raw, "s3")).set_display_name(f"ingest {table}")
    doors = ("s3", "pseudonyms") if table in OF_USERS else ("s3",)
    retried(outside(rows, *doors)).set_display_name(f"prepare {table}")
    return rows
