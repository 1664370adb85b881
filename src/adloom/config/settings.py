"""The environment, read in this one place and never at import."""

import os
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

KERNEL_VARIABLES = (  # select kernels of BLAS, torch, oneDNN and NumPy; other kernels may give other bytes
    "ATEN_CPU_CAPABILITY",
    "BLIS_ARCH_TYPE",
    "MKL_CBWR",
    "MKL_DEBUG_CPU_TYPE",
    "MKL_ENABLE_INSTRUCTIONS",
    "NPY_DISABLE_CPU_FEATURES",
    "NVPL_BLAS_DEBUG_CPU_TYPE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
)


def read_kernel_variables() -> dict[str, str]:
    """Return those of KERNELS that are set; every process that adloom starts gets them unchanged."""
    return {name: os.environ[name] for name in KERNEL_VARIABLES if os.environ.get(name)}


class Settings(BaseSettings):
    """What the environment says; each field names its variable."""

    model_config = SettingsConfigDict(env_prefix="ADLOOM_", frozen=True, extra="ignore")

    home: Path = Field(
        Path(".adloom"),
        description="Downloads, checkpoints and locks, safe to delete between runs; and decisions not yet shipped.",
    )
    pseudonym_key: SecretStr | None = Field(None, description="Key of the pseudonyms; at least 16 bytes.")
    pseudonym_key_file: Path | None = Field(None, description="File that holds the key instead.")
    tracking_uri: str = Field(
        "sqlite:///mlflow.db",
        validation_alias=AliasChoices("MLFLOW_TRACKING_URI"),
        description="MLflow server or database.",
    )
    mlflow_s3_endpoint: str | None = Field(
        None,
        validation_alias=AliasChoices("MLFLOW_S3_ENDPOINT_URL"),
        description="S3 server of MLflow's files, if it is another.",
    )
    parent_run: str | None = Field(
        None, validation_alias=AliasChoices("MLFLOW_RUN_ID"), description="Run in MLflow that tracked runs lie below."
    )
    kfp_run: str | None = Field(
        None, validation_alias=AliasChoices("KFP_RUN_ID"), description="Run of Kubeflow Pipelines that this is part of."
    )
    webhook_url: SecretStr | None = Field(None, description="A pipeline posts there how it ended.")
    s3_endpoint: str | None = Field(
        None, validation_alias=AliasChoices("AWS_ENDPOINT_URL_S3"), description="S3 server other than Amazon's."
    )
    checkpoint_uri: str | None = Field(
        None, description="s3://bucket/prefix where checkpoints lie as well, for pods, whose disk goes with them."
    )
    artifacts_endpoint: str = Field(
        "http://minio-service.kubeflow:9000",
        description="S3 server of Kubeflow's own artifacts, those at minio://.",
    )
    artifacts_access_key: str | None = Field(
        None, description="Access key for it; the first task of a pipeline has it."
    )
    artifacts_secret_key: SecretStr | None = Field(None, description="Secret key for it.")
    rank: int = Field(
        0, ge=0, validation_alias=AliasChoices("RANK"), description="Which of the processes this is; torchrun sets it."
    )
    processes: int | None = Field(
        None,
        gt=0,
        validation_alias=AliasChoices("WORLD_SIZE"),
        description="Processes that torchrun started; absent without torchrun.",
    )
    machines: str | None = Field(
        None,
        validation_alias=AliasChoices("PET_NNODES"),
        description="Machines that torchrun is to join; a pod of Kubeflow Trainer has it.",
    )
    error_file: Path | None = Field(
        None,
        validation_alias=AliasChoices("TORCHELASTIC_ERROR_FILE"),
        description="Where a process that torchrun started leaves its error.",
    )
    dvc_remote: str | None = Field(None, description="Where datasets are pushed to, if not to DVC's default remote.")
    kfp_endpoint: str | None = Field(
        None,
        validation_alias=AliasChoices("ADLOOM_KFP_ENDPOINT", "KF_PIPELINES_ENDPOINT"),
        description="Server of Kubeflow Pipelines.",
    )
    kfp_ui: str | None = Field(
        None,
        validation_alias=AliasChoices("ADLOOM_KFP_UI", "KF_PIPELINES_UI_ENDPOINT"),
        description="Its pages, for links to runs; no links when not set.",
    )
    kfp_namespace: str | None = Field(None, description="Namespace to work in, where the server has many users.")
    kfp_token: SecretStr | None = Field(None, description="Token for Kubeflow Pipelines.")
    kfp_token_file: Path | None = Field(
        None,
        validation_alias=AliasChoices("ADLOOM_KFP_TOKEN_FILE", "KF_PIPELINES_SA_TOKEN_PATH"),
        description="File that holds the token instead, read again at each request; a pod has one by itself.",
    )
    kfp_ca: Path | None = Field(None, description="Certificates (PEM) to trust for Kubeflow Pipelines.")
    trigger_token: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("ADLOOM_TRIGGER_TOKEN", "ADLOOM_TRIGGER_TOKEN_FILE"),
        description="Removed: a token of scope `trigger` in the tokens file replaces it.",
    )
    auth: Literal["off"] | None = Field(None, description="`off` lets anybody ask a service.")
    tokens_file: Path | None = Field(None, description="Who may ask a service: hashes of tokens, with their scopes.")
    tokens_grace_seconds: float = Field(
        60, ge=5, description="Seconds that the tokens read last still pass while their file cannot be read."
    )
    follow_seconds: float = Field(30, gt=0, description="Seconds between two looks at the registry for newer models.")
    otlp_endpoint: str | None = Field(
        None,
        validation_alias=AliasChoices("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        description="Where a service sends its traces; without it there are none.",
    )
    log_uri: str | None = Field(
        None,
        description="Where the decision log is shipped to: s3://bucket/prefix or a folder; else it stays in `home`.",
    )
    log_flush_ms: int = Field(100, gt=0, description="A decision is in a file after so long.")
    log_buffer_mb: int = Field(64, gt=0, description="Decisions that wait to be written, in MiB; more are dropped.")
    log_segment_mb: int = Field(64, gt=0, description="A segment of the log is finished at this size, in MiB.")
    log_segment_seconds: int = Field(60, gt=0, description="A segment of the log is finished after so long.")
    log_disk_mb: int = Field(2048, gt=0, description="Decisions not yet shipped, in MiB; above it more are dropped.")
    serve_threads: int = Field(
        2, gt=0, description="CPU threads of each library that serves: ONNX Runtime, BLAS, OpenMP."
    )
    serve_without_model: Literal["ready", "unready"] = Field(
        "unready",
        description="Whether a service is ready while neither the registry nor the bundle cache says what it serves.",
    )
    bundle_cache: Path | None = Field(
        None, description="Folder of champions, such as a volume that outlives a pod; `bundles` in `home` if not set."
    )
    bundle_cache_mb: int = Field(4096, gt=0, description="Size of that folder, in MiB; the least used are deleted.")
    trial_seconds: float = Field(60, gt=0, description="Time in which a new model must pass its trial.")
    trial_mb: int = Field(1024, gt=0, description="Memory that a model may take in its trial, in MiB.")
    git_commit: str | None = Field(None, description="Commit of this code, for images without git.")
    image: str | None = Field(
        None, description="Container image that this runs in; a pipeline's large trainings know it."
    )
    place: str | None = Field(None, description="JSON of the place in which such a training's own pods run.")
    kubernetes_host: str | None = Field(
        None, validation_alias=AliasChoices("KUBERNETES_SERVICE_HOST"), description="Set in every pod of a cluster."
    )
    kubeconfig: str | None = Field(
        None, validation_alias=AliasChoices("KUBECONFIG"), description="Clusters that kubectl knows; ~/.kube/config."
    )
    image_digest: str | None = Field(None, description="Digest of the container image that this runs in.")
    ci: str | None = Field(None, validation_alias=AliasChoices("CI"), description="Set in continuous integration.")
    quiet: bool = Field(
        False, validation_alias=AliasChoices("CI", "ADLOOM_QUIET"), description="No progress bars; CI sets it."
    )
