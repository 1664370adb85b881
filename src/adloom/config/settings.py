"""Settings from environment variables, read on demand and never at import."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from adloom.errors import ConfigError

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
EMPTY_HAS_MEANING = "_VISIBLE_DEVICES"  # CUDA_VISIBLE_DEVICES= hides every device
NO = {"0", "false", "n", "no", "off"}

Flag = Annotated[bool, BeforeValidator(lambda value: str(value).lower() not in NO)]


class SettingsError(ConfigError):
    """Variables with an invalid value."""

    def __init__(self, error: ValidationError, fields: Any) -> None:
        self.reasons = {str(each["loc"][0]): each["msg"] for each in error.errors()}
        self.lines = tuple(  # without the value, which may be secret
            f"{f'ADLOOM_{name.upper()}' if name in fields else name}: {reason}" for name, reason in self.reasons.items()
        )
        super().__init__(f"{'; '.join(self.lines)}; correct or unset it")


def unset_empty_variables() -> None:
    """Remove blank variables from the environment, which libraries and child processes would read as values."""
    for name, value in list(os.environ.items()):
        if not value.strip() and not name.endswith(EMPTY_HAS_MEANING):
            del os.environ[name]


def read_kernel_variables() -> dict[str, str]:
    """Return the KERNEL_VARIABLES that are set; all child processes inherit them."""
    return {name: os.environ[name] for name in KERNEL_VARIABLES if os.environ.get(name)}


class Settings(BaseSettings):
    """Settings from the environment. Raises SettingsError."""

    model_config = SettingsConfigDict(env_prefix="ADLOOM_", frozen=True, extra="ignore")

    home: Path = Field(
        Path(".adloom"),
        description="Downloads, checkpoints and locks, safe to delete between runs, and unshipped decisions.",
    )
    pseudonym_key: SecretStr | None = Field(None, description="Key of the pseudonyms; at least 16 bytes.")
    pseudonym_key_file: Path | None = Field(None, description="File with the key, instead.")
    tracking_uri: str = Field(
        "sqlite:///mlflow.db",
        validation_alias=AliasChoices("MLFLOW_TRACKING_URI"),
        description="MLflow server or database.",
    )
    mlflow_s3_endpoint: str | None = Field(
        None,
        validation_alias=AliasChoices("MLFLOW_S3_ENDPOINT_URL"),
        description="S3 server of MLflow's artifacts, if different.",
    )
    parent_run: str | None = Field(
        None, validation_alias=AliasChoices("MLFLOW_RUN_ID"), description="MLflow parent run of tracked runs."
    )
    kfp_run: str | None = Field(
        None, validation_alias=AliasChoices("KFP_RUN_ID"), description="Kubeflow Pipelines run of this process."
    )
    trigger_url: str | None = Field(
        None,
        description="Trigger server that an alarm of drift asks for a retraining, such as "
        "http://adloom-trigger/v1/trigger; unset, an alarm sends no request.",
    )
    webhook_url: SecretStr | None = Field(None, description="Webhook for a pipeline's result.")
    s3_endpoint: str | None = Field(
        None, validation_alias=AliasChoices("AWS_ENDPOINT_URL_S3"), description="S3 server other than Amazon's."
    )
    checkpoint_uri: str | None = Field(
        None, description="s3://bucket/prefix for copies of checkpoints; a pod loses its own disk."
    )
    artifacts_endpoint: str = Field(
        "http://minio-service.kubeflow:9000",
        description="S3 server of Kubeflow's artifacts (minio://).",
    )
    artifacts_access_key: str | None = Field(
        None, description="Access key of that server; only a pipeline's first task needs it."
    )
    artifacts_secret_key: SecretStr | None = Field(None, description="Secret key of that server.")
    rank: int = Field(
        0, ge=0, validation_alias=AliasChoices("RANK"), description="Rank of this process; torchrun sets it."
    )
    processes: int | None = Field(
        None,
        gt=0,
        validation_alias=AliasChoices("WORLD_SIZE"),
        description="Number of processes; torchrun sets it.",
    )
    machines: str | None = Field(
        None,
        validation_alias=AliasChoices("PET_NNODES"),
        description="Machines that torchrun joins; Kubeflow Trainer sets it.",
    )
    error_file: Path | None = Field(
        None,
        validation_alias=AliasChoices("TORCHELASTIC_ERROR_FILE"),
        description="File in which a torchrun process records its error.",
    )
    dvc_remote: str | None = Field(None, description="Remote for datasets, if not DVC's default remote.")
    kfp_endpoint: str | None = Field(
        None,
        validation_alias=AliasChoices("ADLOOM_KFP_ENDPOINT", "KF_PIPELINES_ENDPOINT"),
        description="Server of Kubeflow Pipelines.",
    )
    kfp_ui: str | None = Field(
        None,
        validation_alias=AliasChoices("ADLOOM_KFP_UI", "KF_PIPELINES_UI_ENDPOINT"),
        description="Web UI of Kubeflow Pipelines, for links to runs; no links if unset.",
    )
    kfp_namespace: str | None = Field(None, description="Namespace on a multi-user server.")
    kfp_token: SecretStr | None = Field(None, description="Token for Kubeflow Pipelines.")
    kfp_token_file: Path | None = Field(
        None,
        validation_alias=AliasChoices("ADLOOM_KFP_TOKEN_FILE", "KF_PIPELINES_SA_TOKEN_PATH"),
        description="File with the token, instead; read at each request. Pods have one by default.",
    )
    kfp_ca: Path | None = Field(None, description="Trusted certificates (PEM) for Kubeflow Pipelines.")
    trigger_token: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("ADLOOM_TRIGGER_TOKEN", "ADLOOM_TRIGGER_TOKEN_FILE"),
        description="Removed: use a token of scope `trigger` in the tokens file.",
    )
    auth: Literal["off"] | None = Field(None, description="`off` disables authentication of a service.")
    token: SecretStr | None = Field(
        None,
        description="Token for requests of `adloom world run` to a service, and of drift alarms to the trigger server.",
    )
    tokens_file: Path | None = Field(None, description="File of token hashes with their scopes.")
    tokens_grace_seconds: float = Field(
        60, ge=5, description="Seconds for which the last tokens stay valid while their file is unreadable."
    )
    follow_seconds: float = Field(30, gt=0, description="Seconds between two checks for newer models in the registry.")
    canary_share: float = Field(
        0,
        ge=0,
        le=0.5,
        description="Share of the requests to generate, copy and classify that the challenger answers, for comparison; "
        "the gate's rejected versions never answer.",
    )
    otlp_endpoint: str | None = Field(
        None,
        validation_alias=AliasChoices("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        description="Destination of a service's traces; no traces if unset.",
    )
    log_uri: str | None = Field(
        None,
        description="Destination of the decision log: s3://bucket/prefix or a folder; if unset it stays in `home`.",
    )
    log_flush_ms: int = Field(100, gt=0, description="Maximum time until a decision is in a file.")
    log_buffer_mb: int = Field(64, gt=0, description="Maximum size of unwritten decisions, in MiB; more are dropped.")
    log_segment_mb: int = Field(64, gt=0, description="Size at which a log file is finished, in MiB.")
    log_segment_seconds: int = Field(60, gt=0, description="Age at which a log file is finished.")
    log_disk_mb: int = Field(2048, gt=0, description="Maximum size of unshipped decisions, in MiB; more are dropped.")
    serve_threads: int = Field(
        2, gt=0, description="CPU threads of each library in a service: ONNX Runtime, BLAS, OpenMP."
    )
    serve_without_model: Literal["ready", "unready"] = Field(
        "unready",
        description="Whether a service is ready while neither the registry nor the bundle cache has a model.",
    )
    bundle_cache: Path | None = Field(
        None, description="Folder of champions, such as a persistent volume; by default `bundles` in `home`."
    )
    bundle_cache_mb: int = Field(
        4096, gt=0, description="Maximum size of that folder, in MiB; the least recently used models are deleted."
    )
    bundle_uri: str | None = Field(
        None,
        description="Copies of the champions in S3, for new pods while the registry is away: s3://bucket/prefix.",
    )
    library_url: SecretStr | None = Field(
        None,
        description="Database of the creative library: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE; by "
        "default `library.db` in `home`.",
    )
    library_files: str | None = Field(
        None,
        description="Files of the creative library: s3://bucket/prefix or a folder; by default `library` in `home`.",
    )
    brand: Path | None = Field(None, description="Brand kit of ads; by default brand.yaml in the working folder.")
    trial_seconds: float = Field(60, gt=0, description="Time limit of a new model's trial.")
    trial_mb: int = Field(1024, gt=0, description="Memory limit of a new model's trial, in MiB.")
    credentials_certificate: Path | None = Field(
        None,
        description="Certificate that signs creatives, its issuers, and earlier certificates (PEM); by default one "
        "that is made in `home`, which nobody else trusts.",
    )
    credentials_key: Path | None = Field(None, description="Key of that certificate (PEM, EC P-256).")
    credentials_trust: Path | None = Field(
        None, description="Certificates (PEM) of other authorities that the verification trusts; none if unset."
    )
    git_commit: str | None = Field(None, description="Git commit of the code, for images without git.")
    image: str | None = Field(None, description="Container image of this process; distributed trainings use it.")
    place: str | None = Field(None, description="Pod resources of a distributed training, as JSON.")
    kubernetes_host: str | None = Field(
        None,
        validation_alias=AliasChoices("KUBERNETES_SERVICE_HOST"),
        description="Kubernetes API server; set in every pod.",
    )
    kubeconfig: str | None = Field(
        None,
        validation_alias=AliasChoices("KUBECONFIG"),
        description="kubectl configuration; by default ~/.kube/config.",
    )
    image_digest: str | None = Field(None, description="Digest of the container image.")
    ci: Flag = Field(
        False,
        validation_alias=AliasChoices("CI"),
        description="Set in continuous integration, to any value but 0, false, no or off.",
    )
    quiet: Flag = Field(
        False,
        validation_alias=AliasChoices("ADLOOM_QUIET", "CI"),
        description="Disables progress bars, with any value but 0, false, no or off; CI sets it.",
    )

    def __init__(self, **values: Any) -> None:
        unset_empty_variables()
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingsError(error, type(self).model_fields) from None
