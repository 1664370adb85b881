"""Score new tables with the champions. Never cached, because champions change."""

from kfp.dsl import Dataset, Input, Output

from components._component import component


@component
def score(
    project: str, params: str, creatives: Input[Dataset], events: Input[Dataset], scored: Output[Dataset]
) -> None:
    """Score the prepared tables and write the result to the location in the params."""
    from adloom.kubeflow.component_runtime import score

    score(project, params, creatives, events, scored)
