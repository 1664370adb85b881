"""Put the champions to work on new tables. Never cached: the champions are looked up when it runs."""

from kfp.dsl import Dataset, Input, Output

from components._component import component


@component
def score(
    project: str, params: str, creatives: Input[Dataset], events: Input[Dataset], scored: Output[Dataset]
) -> None:
    """Score the prepared tables and lay the result where the params say."""
    from adloom.kubeflow.component_runtime import score

    score(project, params, creatives, events, scored)
