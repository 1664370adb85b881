"""End the run in MLflow and notify the webhook, after success or failure."""

from kfp.dsl import PipelineTaskFinalStatus

from components._component import component


@component
def finish(project: str, status: PipelineTaskFinalStatus) -> None:
    """Mark the run as finished or failed and post the result."""
    from adloom.kubeflow.component_runtime import finish

    finish(project, status.pipeline_job_resource_name, status.state, status.error_message)
