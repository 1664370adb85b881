"""Propose the params of the trials of a stage."""

from components._component import component


@component
def propose_trials(tune: str, params: str) -> list:  # type: ignore[type-arg] # KFP has no types of items
    """Return each trial as JSON."""
    from adloom.kubeflow import tuning_runtime

    return tuning_runtime.propose_trials(tune, params)
