"""What a task needs of the cluster: doors to the outside, and patience when one is shut for a while."""

from kfp import kubernetes
from kfp.dsl import PipelineTask

from adloom.config.pod_env import CONFIG_MAP_KEYS, RESOURCE_NAME, SECRET_KEYS

LABELS = {
    "app.kubernetes.io/part-of": RESOURCE_NAME,
    "app.kubernetes.io/component": "stage",
}  # by which networks know pods
RUN_ID = "metadata.labels['pipeline/runid']"


def context(task: PipelineTask, *doors: str) -> PipelineTask:
    """Give a task the configuration and the secrets of these doors to the outside, and no other."""
    kubernetes.use_field_path_as_env(task, "KFP_RUN_ID", RUN_ID)
    if config := {name: name for door in doors for name in CONFIG_MAP_KEYS.get(door, [])}:
        kubernetes.use_config_map_as_env(task, RESOURCE_NAME, config, optional=True)
    if secrets := {name: name for door in doors for name in SECRET_KEYS.get(door, [])}:
        kubernetes.use_secret_as_env(task, RESOURCE_NAME, secrets, optional=True)
    return labelled(task)


def allow_artifact_access(task: PipelineTask) -> PipelineTask:
    """Let the first task of a pipeline look at the artifacts that Kubeflow keeps, with Kubeflow's own key."""
    keys = {"accesskey": "ADLOOM_ARTIFACTS_ACCESS_KEY", "secretkey": "ADLOOM_ARTIFACTS_SECRET_KEY"}
    kubernetes.use_secret_as_env(task, "mlpipeline-minio-artifact", keys, optional=True)
    return context(task, "s3", "checkpoints", "artifacts", "mlflow", "pseudonyms")


def labelled(task: PipelineTask) -> PipelineTask:
    """Let a cluster know a task's pod as one of ours."""
    for key, value in LABELS.items():
        kubernetes.add_pod_label(task, key, value)
    return task


def retried(task: PipelineTask) -> PipelineTask:
    """Try a task that lives by the network again, after 30 seconds, then a minute, then two."""
    return task.set_retry(num_retries=3, backoff_duration="30s", backoff_factor=2.0)


def never_cached(task: PipelineTask) -> PipelineTask:
    """Run a task that looks at the world outside, or changes it, every time."""
    return task.set_caching_options(enable_caching=False)
