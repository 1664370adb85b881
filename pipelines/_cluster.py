"""Settings of tasks in the cluster: configuration, secrets, labels, retries, caching."""

from kfp import kubernetes
from kfp.dsl import PipelineTask

from adloom.config.pod_env import CONFIG_MAP_KEYS, RESOURCE_NAME, SECRET_KEYS

LABELS = {
    "app.kubernetes.io/part-of": RESOURCE_NAME,
    "app.kubernetes.io/component": "stage",
}  # network policies select pods by these
RUN_ID = "metadata.labels['pipeline/runid']"


def add_settings(task: PipelineTask, *services: str) -> PipelineTask:
    """Add the configuration and secrets of some services to a task."""
    kubernetes.use_field_path_as_env(task, "KFP_RUN_ID", RUN_ID)
    if config := {name: name for service in services for name in CONFIG_MAP_KEYS.get(service, [])}:
        kubernetes.use_config_map_as_env(task, RESOURCE_NAME, config, optional=True)
    if secrets := {name: name for service in services for name in SECRET_KEYS.get(service, [])}:
        kubernetes.use_secret_as_env(task, RESOURCE_NAME, secrets, optional=True)
    return add_labels(task)


def allow_artifact_access(task: PipelineTask) -> PipelineTask:
    """Let the first task of a pipeline read Kubeflow's own artifacts."""
    keys = {"accesskey": "ADLOOM_ARTIFACTS_ACCESS_KEY", "secretkey": "ADLOOM_ARTIFACTS_SECRET_KEY"}
    kubernetes.use_secret_as_env(task, "mlpipeline-minio-artifact", keys, optional=True)
    return add_settings(task, "s3", "checkpoints", "artifacts", "mlflow", "pseudonyms", "library")


def add_labels(task: PipelineTask) -> PipelineTask:
    """Add labels to a task's pod."""
    for key, value in LABELS.items():
        kubernetes.add_pod_label(task, key, value)
    return task


def add_retries(task: PipelineTask) -> PipelineTask:
    """Retry a task that needs the network after 30 seconds, then one minute, then two."""
    return task.set_retry(num_retries=3, backoff_duration="30s", backoff_factor=2.0)


def disable_caching(task: PipelineTask) -> PipelineTask:
    """Run a task every time, because its result depends on other systems."""
    return task.set_caching_options(enable_caching=False)
