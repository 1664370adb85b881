"""Train a stage with the params of one trial."""

from kfp.dsl import Dataset, Input

from components._component import component


@component
def tune_trial(
    project: str,
    tune: str,
    params: str,
    trial: str,
    creatives: Input[Dataset],
    copy: Input[Dataset],
    tunes: Input[Dataset],
) -> str:
    """Train, and return the result as JSON; the trained model is discarded."""
    from adloom.kubeflow import tuning_runtime

    tables = {"creatives": creatives, "copy": copy, "tunes": tunes}
    return tuning_runtime.run_trial(project, tune, params, trial, tables)
