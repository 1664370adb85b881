"""Compare the trials of a stage."""

from kfp.dsl import Markdown, Output

from components._component import component


@component
def summarize_trials(
    tune: str,
    params: str,
    trials: list,  # type: ignore[type-arg] # KFP has no types of items
    page: Output[Markdown],
) -> None:
    """Write the importance of each param, the best trials and the best params to the page of Kubeflow's UI."""
    from adloom.kubeflow import tuning_runtime

    tuning_runtime.summarize_trials(tune, params, trials, page)
