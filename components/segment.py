"""Find audience segments."""

from kfp.dsl import Dataset, Input, Metrics, Model, Output

from components._component import component


@component
def segment(
    project: str, params: str, events: Input[Dataset], audience: Output[Model], metrics: Output[Metrics]
) -> None:
    """Segment the users of the prepared events."""
    from adloom.kubeflow import component_runtime

    values = component_runtime.run_stage("segment", project, params, {"events": events}, {"audience": audience})
    component_runtime.log_metrics(values, metrics)
