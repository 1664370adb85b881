"""Train the picture reader."""

from kfp.dsl import Dataset, Input, Metrics, Model, Output

from components._component import component


@component
def train_cnn(
    project: str, params: str, creatives: Input[Dataset], cnn: Output[Model], metrics: Output[Metrics]
) -> None:
    """Train on the prepared pictures."""
    from adloom.kubeflow.component_runtime import log_metrics, run_stage

    log_metrics(run_stage("train-cnn", project, params, {"creatives": creatives}, {"cnn": cnn}), metrics)
