"""Evaluate every model on its test rows and write one report page, which Kubeflow's UI shows."""

from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output

from components._component import component


@component
def evaluate(
    project: str,
    params: str,
    report_params: str,
    creatives: Input[Dataset],
    copy: Input[Dataset],
    events: Input[Dataset],
    impressions: Input[Dataset],
    tunes: Input[Dataset],
    gan: Input[Model],
    cnn: Input[Model],
    lstm: Input[Model],
    style: Input[Model],
    music: Input[Model],
    audience: Input[Model],
    recommender: Input[Model],
    policy: Input[Model],
    reports: Output[Artifact],
    metrics: Output[Metrics],
    confusion: Output[ClassificationMetrics],
    page: Output[HTML],
) -> None:
    """Evaluate all models and write the report, with a confusion matrix for the picture reader."""
    artifacts = locals()
    from adloom.kubeflow.component_runtime import copy_report, evaluate, log_metrics, read_confusion_matrix

    log_metrics(evaluate(project, params, report_params, artifacts, reports), metrics)
    copy_report(reports, page)
    if matrix := read_confusion_matrix(reports):
        confusion.log_confusion_matrix(*matrix)
