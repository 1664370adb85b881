"""Train the picture generator."""

from kfp.dsl import Dataset, Input, Metrics, Model, Output

from components._component import component


@component
def train_gan(
    project: str, params: str, creatives: Input[Dataset], gan: Output[Model], metrics: Output[Metrics]
) -> None:
    """Train on the prepared pictures."""
    from adloom.kubeflow import component_runtime

    values = component_runtime.run_stage("train-gan", project, params, {"creatives": creatives}, {"gan": gan})
    component_runtime.log_metrics(values, metrics)
