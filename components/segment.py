"""Find audience segments, and learn to recommend items: one task, because both read the events."""

from kfp.dsl import Dataset, Input, Metrics, Model, Output

from components._component import component


@component
def segment(
    project: str,
    params: str,
    recommend_params: str,
    champion: str,
    events: Input[Dataset],
    audience: Output[Model],
    recommender: Output[Model],
    metrics: Output[Metrics],
) -> None:
    """Segment the users of the prepared events, keep the ids of a champion's segments, and learn to recommend items."""
    from adloom.kubeflow import component_runtime

    segments = component_runtime.segment(project, params, champion, events, audience)
    items = component_runtime.run_stage(
        "recommend", project, recommend_params, {"events": events, "audience": audience}, {"recommender": recommender}
    )
    component_runtime.log_metrics({**segments, **items}, metrics)
