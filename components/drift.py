"""Compare new tables with those that the models learned from. Never cached, because champions change."""

from kfp.dsl import HTML, Artifact, Dataset, Input, Output

from components._component import component


@component
def drift(
    project: str,
    params: str,
    creatives: Input[Dataset],
    events: Input[Dataset],
    impressions: Input[Dataset],
    report: Output[Artifact],
    page: Output[HTML],
) -> None:
    """Report what has drifted; an alarm asks for a retraining."""
    tables = {"creatives": creatives, "events": events, "impressions": impressions}
    from adloom.kubeflow.drift_runtime import find_drift

    find_drift(project, params, tables, report, page)
