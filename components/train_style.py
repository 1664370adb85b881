"""Train the stylizer."""

from kfp.dsl import Dataset, Input, Metrics, Model, Output

from components._component import component


@component
def train_style(
    project: str, params: str, creatives: Input[Dataset], style: Output[Model], metrics: Output[Metrics]
) -> None:
    """Train on the prepared pictures."""
    from adloom.kubeflow.component_runtime import log_metrics, run_stage

    log_metrics(run_stage("train-style", project, params, {"creatives": creatives}, {"style": style}), metrics)
