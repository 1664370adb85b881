"""Register every model and promote those that pass the gate. Never cached: it changes the world outside."""

from kfp.dsl import Artifact, Dataset, Input, Model

from components._component import component


@component
def register(
    project: str,
    params: str,
    sources: str,
    dataset: str,
    creatives: Input[Dataset],
    copy: Input[Dataset],
    events: Input[Dataset],
    impressions: Input[Dataset],
    gan: Input[Model],
    cnn: Input[Model],
    lstm: Input[Model],
    audience: Input[Model],
    policy: Input[Model],
    gan_report: Input[Artifact],
    cnn_report: Input[Artifact],
    lstm_report: Input[Artifact],
    audience_report: Input[Artifact],
    policy_report: Input[Artifact],
    report: Input[Artifact],
) -> dict[str, str | float]:
    """Give out the verdicts, with their reasons."""
    from adloom.kubeflow import component

    tables = {"creatives": creatives, "copy": copy, "events": events, "impressions": impressions}
    models = {"gan": gan, "cnn": cnn, "lstm": lstm, "audience": audience, "policy": policy}
    of_pictures = {"gan": gan_report, "cnn": cnn_report, "lstm": lstm_report}
    reports = {**of_pictures, "audience": audience_report, "policy": policy_report, "report": report}
    return dict(component.register(project, params, sources, dataset, tables, models, reports))
