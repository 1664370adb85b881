"""Train the picture generator."""

from kfp.dsl import Dataset, Input, Metrics, Model, Output

from components._component import component


@component
def train_gan(
    project: str, params: str, creatives: Input[Dataset], gan: Output[Model], metrics: Output[Metrics]
) -> None:
    """Train on the prepared pictures."""
    from adloom.kubeflow.component_runtime import log_metrics, run_stage

    log_metrics(run_stage("train-gan", project, params, {"creatives": creatives}, {"gan": gan}), metrics)
