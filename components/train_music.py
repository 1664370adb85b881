"""Train the composer."""

from kfp.dsl import Dataset, Input, Metrics, Model, Output

from components._component import component


@component
def train_music(
    project: str, params: str, tunes: Input[Dataset], music: Output[Model], metrics: Output[Metrics]
) -> None:
    """Train on the prepared tunes."""
    from adloom.kubeflow.component_runtime import log_metrics, run_stage

    log_metrics(run_stage("train-music", project, params, {"tunes": tunes}, {"music": music}), metrics)
