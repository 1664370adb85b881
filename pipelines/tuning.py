"""The tuning pipeline: trials of one training stage in parallel, each with other params, and a comparison of them."""

from kfp import dsl

from adloom.config.pod_env import TRAINING_SERVICES
from adloom.kubeflow.client.base import DEFAULT_REASON
from adloom.kubeflow.compiled_pipelines import PIPELINE_TABLES
from components.finish import finish
from components.propose_trials import propose_trials
from components.snapshot import snapshot
from components.summarize_trials import summarize_trials
from components.tune_trial import tune_trial
from pipelines._cluster import add_retries, add_settings, allow_artifact_access, disable_caching
from pipelines._tables import prepare_tables

PARALLEL = 4  # trials at a time


@dsl.pipeline(name="tuning", description="Trials of a training stage with other params, compared on split validation.")
def tuning(
    project: str,
    sources: str,
    ingest_creatives: str,
    ingest_copy: str,
    ingest_tunes: str,
    prepare_creatives: str,
    prepare_copy: str,
    prepare_tunes: str,
    tune_params: str,
    params: str,
    reason: str = DEFAULT_REASON,
) -> None:
    """Parameters are JSON, as in the training pipeline; tables that the stage does not train on have no source."""
    arguments = dict(locals())
    end = finish(project=project)
    add_retries(disable_caching(add_settings(end, "mlflow", "webhook", "kfp"))).set_display_name("finish")
    with dsl.ExitHandler(end, name="tune"):
        sources_task = snapshot(
            project=project,
            creatives=ingest_creatives,
            copy=ingest_copy,
            events="{}",
            impressions="{}",
            tunes=ingest_tunes,
            prepare=prepare_creatives,
            expected=sources,
            reason=reason,
        )
        add_retries(disable_caching(allow_artifact_access(sources_task))).set_display_name("look at the sources")

        tables = prepare_tables(PIPELINE_TABLES["tuning"], project, sources_task, arguments)
        proposed = add_settings(propose_trials(tune=tune_params, params=params))
        with dsl.ParallelFor(proposed.output, name="trials", parallelism=PARALLEL) as trial:
            tried = tune_trial(project=project, tune=tune_params, params=params, trial=trial, **tables)
            add_retries(add_settings(tried, *TRAINING_SERVICES))
        add_settings(summarize_trials(tune=tune_params, params=params, trials=dsl.Collected(tried.output)))
