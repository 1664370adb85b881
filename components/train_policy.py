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
    copy: Input[Dataset],
    policy: Output[Model],
    metrics: Output[Metrics],
) -> None:
    """Train on the prepared impressions; use segments, pictures and texts if present."""
    from adloom.kubeflow.component_runtime import log_metrics, run_stage

    inputs = {"impressions": impressions, "audience": audience, "creatives": creatives, "cnn": cnn, "copy": copy}
    log_metrics(run_stage("train_policy", project, params, inputs, {"policy": policy}), metrics)
