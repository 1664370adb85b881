"""Ingest, check, pseudonymise and split one table in one pod; raw rows never leave the pod."""

from kfp.dsl import Dataset, Output

from components._component import component


@component
def prepare(
    project: str,
    table: str,
    ingest_params: str,
    params: str,
    source: str,
    privacy: str,
    rows: Output[Dataset],
) -> None:
    """Ingest and prepare the table; `source` is its files' digest, `privacy` that of key and erasure list."""
    from adloom.kubeflow.component_runtime import prepare

    prepare(project, table, ingest_params, params, source, privacy, rows)
