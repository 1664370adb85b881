"""Measure one model on its test rows."""

from kfp.dsl import Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output

from components._component import component


@component
def evaluate(
    project: str,
    params: str,
    model: Input[Model],
    table: Input[Dataset],
    judge: Input[Model],
    report: Output[Artifact],
    metrics: Output[Metrics],
    confusion: Output[ClassificationMetrics],
) -> None:
    """Evaluate the model; a reader of pictures has a confusion matrix as well."""
    from adloom.kubeflow import component

    values = component.call(
        "evaluate", project, params, {"model": model, "table": table, "judge": judge}, {"report": report}
    )
    component.log(values, metrics)
    if matrix := component.confusion(report):
        confusion.log_confusion_matrix(*matrix)
