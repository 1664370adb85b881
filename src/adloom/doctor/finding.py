"""Findings of checks. docs/how-to/doctor.md explains their names; a name begins with its check and has one state."""

from dataclasses import dataclass
from enum import Enum, StrEnum


class State(StrEnum):
    """The severity of a finding."""

    OK = "ok"
    WARNING = "warning"
    BROKEN = "broken"
    NOT_ASKED = "not asked"


@dataclass(frozen=True)
class Finding:
    """One result of a check."""

    check: str
    name: str
    state: State
    found: str
    next_step: str = ""


class StopCheck(Exception):  # noqa: N818 - ends a check, not a failure
    """A finding that ends its check."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.found)
        self.finding = finding


class Kind(Enum):
    """Every kind of finding: its name and state."""

    PARAMS_OK = "params-ok", State.OK
    PARAMS_NOT_ASKED = "params-not-asked", State.NOT_ASKED
    PARAMS_BROKEN = "params-broken", State.BROKEN
    PARAMS_NO_STAGES = "params-no-stages", State.WARNING
    SETTINGS_OK = "settings-ok", State.OK
    SETTINGS_BROKEN = "settings-broken", State.BROKEN
    PYTHON_OK = "python-ok", State.OK
    PYTHON_NOT_ASKED = "python-not-asked", State.NOT_ASKED
    PYTHON_OLD = "python-old", State.BROKEN
    PYTHON_REQUIREMENT = "python-requirement", State.BROKEN
    PYTHON_IMPORT = "python-import", State.BROKEN
    DISK_OK = "disk-ok", State.OK
    DISK_LOW = "disk-low", State.BROKEN
    DISK_UNWRITABLE = "disk-unwritable", State.BROKEN
    MEMORY_OK = "memory-ok", State.OK
    MEMORY_LOW = "memory-low", State.WARNING
    MEMORY_SHORT = "memory-short", State.BROKEN
    CPU_OK = "cpu-ok", State.OK
    CPU_FEW = "cpu-few", State.WARNING
    PRECISION_OK = "precision-ok", State.OK
    PRECISION_NOT_ASKED = "precision-not-asked", State.NOT_ASKED
    PRECISION_EMULATED = "precision-emulated", State.WARNING
    KEY_OK = "key-ok", State.OK
    KEY_NOT_ASKED = "key-not-asked", State.NOT_ASKED
    KEY_MISSING = "key-missing", State.BROKEN
    KEY_SHORT = "key-short", State.BROKEN
    KEY_UNREADABLE = "key-unreadable", State.BROKEN
    KEY_OPEN = "key-open", State.WARNING
    DOCKER_OK = "docker-ok", State.OK
    DOCKER_NOT_ASKED = "docker-not-asked", State.NOT_ASKED
    DOCKER_ABSENT = "docker-absent", State.WARNING
    DOCKER_NO_ENGINE = "docker-no-engine", State.WARNING
    PLACE_OK = "place-ok", State.OK
    PLACE_NOT_ASKED = "place-not-asked", State.NOT_ASKED
    PLACE_MISSING = "place-missing", State.BROKEN
    PLACE_UNWRITABLE = "place-unwritable", State.BROKEN
    PLACE_UNREADABLE = "place-unreadable", State.BROKEN
    PLACE_NO_ANSWER = "place-no-answer", State.BROKEN
    LIBRARY_OK = "library-ok", State.OK
    LIBRARY_NOT_ASKED = "library-not-asked", State.NOT_ASKED
    LIBRARY_UNWRITABLE = "library-unwritable", State.BROKEN
    LIBRARY_FAILED = "library-failed", State.BROKEN
    S3_OK = "s3-ok", State.OK
    S3_NOT_ASKED = "s3-not-asked", State.NOT_ASKED
    S3_NO_ANSWER = "s3-no-answer", State.BROKEN
    S3_REFUSED = "s3-refused", State.BROKEN
    S3_DENIED = "s3-denied", State.BROKEN
    S3_NO_BUCKET = "s3-no-bucket", State.BROKEN
    S3_NO_OBJECTS = "s3-no-objects", State.BROKEN
    S3_UNWRITABLE = "s3-unwritable", State.BROKEN
    S3_UNVERSIONED = "s3-unversioned", State.WARNING
    S3_FAILED = "s3-failed", State.BROKEN
    MLFLOW_OK = "mlflow-ok", State.OK
    MLFLOW_NOT_ASKED = "mlflow-not-asked", State.NOT_ASKED
    MLFLOW_NEW = "mlflow-new", State.OK
    MLFLOW_NO_ANSWER = "mlflow-no-answer", State.BROKEN
    MLFLOW_REFUSED = "mlflow-refused", State.BROKEN
    MLFLOW_HOST = "mlflow-host", State.BROKEN
    MLFLOW_NO_API = "mlflow-no-api", State.BROKEN
    MLFLOW_VERSION = "mlflow-version", State.WARNING
    MLFLOW_DATABASE = "mlflow-database", State.BROKEN
    MLFLOW_LOCKED = "mlflow-locked", State.BROKEN
    MLFLOW_MOVED = "mlflow-moved", State.WARNING
    MLFLOW_UNWRITABLE = "mlflow-unwritable", State.BROKEN
    MLFLOW_SCHEMA = "mlflow-schema", State.BROKEN
    MLFLOW_FAILED = "mlflow-failed", State.BROKEN
    MLFLOW_FILES_ELSEWHERE = "mlflow-files-elsewhere", State.BROKEN
    MLFLOW_FILES = "mlflow-files", State.BROKEN
    KFP_OK = "kfp-ok", State.OK
    KFP_NOT_ASKED = "kfp-not-asked", State.NOT_ASKED
    KFP_ADDRESS = "kfp-address", State.BROKEN
    KFP_NO_ANSWER = "kfp-no-answer", State.BROKEN
    KFP_REFUSED = "kfp-refused", State.BROKEN
    KFP_DENIED = "kfp-denied", State.BROKEN
    KFP_NAMESPACE = "kfp-namespace", State.BROKEN
    KFP_OLD = "kfp-old", State.BROKEN
    KFP_VERSION = "kfp-version", State.WARNING
    KFP_FAILED = "kfp-failed", State.BROKEN
    KFP_RESTRICTED = "kfp-restricted", State.WARNING
    KFP_PODS_REFUSED = "kfp-pods-refused", State.WARNING
    CHECK_SLOW = "check-slow", State.BROKEN
    CHECK_FAILED = "check-failed", State.BROKEN

    def __call__(self, found: object, next_step: str = "", check: str = "") -> Finding:
        """Create a finding of this kind; its check is the first word of the name by default."""
        name, state = self.value
        return Finding(check or name.partition("-")[0], name, state, str(found), next_step)

    def from_error(self, error: Exception, addition: str = "") -> Finding:
        """Create a finding from an error; most error lines end with the next step."""
        problem, _, next_step = str(error).rpartition("; ")
        if not problem:
            problem, next_step = next_step, "see the server's log"
        return self(problem, "; ".join(filter(None, (next_step, addition))))
