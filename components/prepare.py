"""Check, pseudonymise and split one table."""

from kfp.dsl import Dataset, Input, Metrics, Output

from components._component import component


@component
def prepare(
    project: str,
    table: str,
    params: str,
    digest: str,
    raw: Input[Dataset],
    rows: Output[Dataset],
    metrics: Output[Metrics],
) -> None:
    """Prepare the table; `digest` is that of the key and the erasure list, for a table of users."""
    from adloom.kubeflow import component

    counts = component.prepare(project, table, params, digest, raw, rows)
    component.log(counts, metrics)
