"""The environment, read in this one place and never at import."""

from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What the environment says; each field names its variable."""

    model_config = SettingsConfigDict(env_prefix="ADLOOM_", frozen=True, extra="ignore")

    home: Path = Field(Path(".adloom"), description="Downloads, checkpoints and locks; safe to delete between runs.")
    pseudonym_key: SecretStr | None = Field(None, description="Key of the pseudonyms; at least 16 bytes.")
    pseudonym_key_file: Path | None = Field(None, description="File that holds the key instead.")
    tracking_uri: str = Field(
        "sqlite:///mlflow.db",
        validation_alias=AliasChoices("MLFLOW_TRACKING_URI"),
        description="MLflow server or database.",
    )
    s3_endpoint: str | None = Field(
        None, validation_alias=AliasChoices("AWS_ENDPOINT_URL_S3"), description="S3 server other than Amazon's."
    )
    serve_threads: int = Field(2, gt=0, description="CPU threads of each served model.")
    git_commit: str | None = Field(None, description="Commit of this code, for images without git.")
    image_digest: str | None = Field(None, description="Digest of the container image that this runs in.")
    quiet: bool = Field(
        False, validation_alias=AliasChoices("CI", "ADLOOM_QUIET"), description="No progress bars; CI sets it."
    )
