"""Train the copywriter."""

from kfp.dsl import Dataset, Input, Metrics, Model, Output

from components._component import component


@component
def train_lstm(project: str, params: str, copy: Input[Dataset], lstm: Output[Model], metrics: Output[Metrics]) -> None:
    """Train on the prepared lines."""
    from adloom.kubeflow.component_runtime import log_metrics, run_stage

    log_metrics(run_stage("train-lstm", project, params, {"copy": copy}, {"lstm": lstm}), metrics)
