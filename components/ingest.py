"""Bring one source table in."""

from kfp.dsl import Dataset, Metrics, Output

from components._component import component


@component
def ingest(project: str, table: str, params: str, digest: str, rows: Output[Dataset], metrics: Output[Metrics]) -> None:
    """Ingest the table whose files have this digest."""
    from adloom.kubeflow import component

    counts = component.ingest(project, table, params, digest, rows)
    component.log(counts, metrics)
