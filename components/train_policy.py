"""Train the policy that decides which creative to show."""

from kfp.dsl import Dataset, Input, Metrics, Model, Output

from components._component import component


@component
def train_policy(
    project: str,
    params: str,
    impressions: Input[Dataset],
    audience: Input[Model],
    creatives: Input[Dataset],
    cnn: Input[Model],
    policy: Output[Model],
    metrics: Output[Metrics],
) -> None:
    """Train on the prepared impressions; use segments and pictures if present."""
    from adloom.kubeflow import component_runtime

    inputs = {"impressions": impressions, "audience": audience, "creatives": creatives, "cnn": cnn}
    values = component_runtime.run_stage("train_policy", project, params, inputs, {"policy": policy})
    component_runtime.log_metrics(values, metrics)
