"""Store the dataset, register all models, promote those that pass the gate. Never cached."""

from kfp.dsl import Artifact, Dataset, Input, Model

from components._component import component


@component
def register(
    project: str,
    params: str,
    sources: str,
    creatives: Input[Dataset],
    copy: Input[Dataset],
    events: Input[Dataset],
    impressions: Input[Dataset],
    tunes: Input[Dataset],
    gan: Input[Model],
    cnn: Input[Model],
    lstm: Input[Model],
    style: Input[Model],
    music: Input[Model],
    audience: Input[Model],
    recommender: Input[Model],
    policy: Input[Model],
    reports: Input[Artifact],
) -> dict[str, str | float]:
    """Return the dataset's digest, and the verdicts with their reasons."""
    artifacts = locals()
    from adloom.kubeflow.component_runtime import register

    return dict(register(project, params, sources, artifacts, reports))
