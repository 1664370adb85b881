"""Join all measurements into one page, which the pipeline's own pages show."""

from kfp.dsl import HTML, Artifact, Dataset, Input, Output

from components._component import component


@component
def report(
    project: str,
    params: str,
    creatives: Input[Dataset],
    copy: Input[Dataset],
    events: Input[Dataset],
    impressions: Input[Dataset],
    gan: Input[Artifact],
    cnn: Input[Artifact],
    lstm: Input[Artifact],
    audience: Input[Artifact],
    policy: Input[Artifact],
    report: Output[Artifact],
    page: Output[HTML],
) -> None:
    """Write the report of all tables and models."""
    from adloom.kubeflow import component

    tables = {"creatives": creatives, "copy": copy, "events": events, "impressions": impressions}
    models = {"gan": gan, "cnn": cnn, "lstm": lstm, "audience": audience, "policy": policy}
    component.call("report", project, params, {**tables, **models}, {"report": report})
    component.show(report, page)
